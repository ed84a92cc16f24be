"""Keep a growing log within its bound on disk: its head and its tail stay, what is between goes back to the disk."""

from __future__ import annotations

import errno
import os

from reconciler.ports import attempt
from reconciler.ports.failpoint import failpoint
from reconciler.runner import linux

_BLOCK = 4096


def bound_log(directory: str, bound: int, final: bool) -> int:
    """Punch the middle out of the log when it takes more than `bound` bytes of disk; return its apparent size.

    A quarter of the bound stays at the head. While the run writes, the tail is cut to half of the bound, so that not
    every look has to punch; at the end it gets all that is left. What was given up is said before it is gone.
    """
    path = f"{directory}/{attempt.LOG}"
    bound = max(bound, 8 * _BLOCK)
    head = bound // 4 // _BLOCK * _BLOCK
    found = os.stat(path)
    if found.st_blocks * 512 <= bound:
        return found.st_size
    tail = bound - head - _BLOCK if final else bound // 2
    end = (found.st_size - tail) // _BLOCK * _BLOCK
    if end <= head:
        return found.st_size
    attempt.replace(f"{directory}/{attempt.GAP}", {"offset": head, "length": end - head})
    failpoint("runner:after-gap")
    fd = os.open(path, os.O_WRONLY)
    try:
        linux.punch_hole(fd, head, end - head)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        # This file system cannot; then nothing is missing from the log either.
        os.unlink(f"{directory}/{attempt.GAP}")
    finally:
        os.close(fd)
    return found.st_size

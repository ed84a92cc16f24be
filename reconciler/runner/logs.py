"""Keep a growing log within its bound on disk: its head and its tail stay, what is between goes back to the disk."""

from __future__ import annotations

import errno
import os

from reconciler.ports import attempt
from reconciler.ports.attempt import TYPE_CHECKING
from reconciler.ports.failpoint import failpoint
from reconciler.runner import linux
from reconciler.runner.note import note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reconciler.runner.run import Run

_BLOCK = 4096
_LOOK_SECONDS = (0.05, 1.0)


class LogBounds:
    """Looks at the logs of living runs, often while one grows fast. `at` has something done at a boot time."""

    def __init__(
        self, at: Callable[[float, Callable[[], None]], None], runs: Callable[[], Iterable[Run]]
    ) -> None:
        self._at, self._runs = at, runs
        self._pause = 0.0

    def begin(self, run: Run) -> None:
        """Look at this run's log from now on."""
        if run.log_bytes and not self._pause:
            self._pause = _LOOK_SECONDS[0]
            self._at(linux.now()[1] + self._pause, self._look)

    def end(self, run: Run) -> None:
        """Nothing writes to this run's log any more."""
        self._bound(run, final=True)

    def _look(self) -> None:
        bounded = [run for run in self._runs() if run.log_bytes]
        if not bounded:
            self._pause = 0.0
            return
        flood = any(self._bound(run, final=False) > (run.log_bytes or 0) // 8 for run in bounded)
        shortest, longest = _LOOK_SECONDS
        self._pause = shortest if flood else min(longest, self._pause * 2)
        self._at(linux.now()[1] + self._pause, self._look)

    def _bound(self, run: Run, final: bool) -> int:
        if not run.log_bytes:
            return 0
        before = run.log_size
        try:
            run.log_size = bound_log(run.directory, run.log_bytes, final)
        except OSError as error:
            note(f"could not bound the log of {run.key}: {error}")
        return run.log_size - before


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

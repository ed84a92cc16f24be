"""The few calls of Linux that Python's `os` does not have, and the clocks of the runner."""

from __future__ import annotations

import ctypes
import os
import time

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)

_PR_SET_CHILD_SUBREAPER = 36
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01
_P_PID, _WEXITED, _WNOHANG, _WNOWAIT = 1, 4, 1, 0x01000000

# (waitid, ioprio_set); architectures that are not here do without resource use and I/O priorities.
_NUMBERS = {"x86_64": (247, 251), "aarch64": (95, 30), "riscv64": (95, 30)}
_waitid_number, _ioprio_number = _NUMBERS.get(os.uname().machine, (None, None))
_rusage = (ctypes.c_long * 18)()
_siginfo = ctypes.create_string_buffer(128)


def now() -> tuple[float, float]:
    """Return (epoch seconds, seconds of CLOCK_BOOTTIME)."""
    return time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)


def become_subreaper() -> None:
    """Make orphans of our descendants our children, instead of init's."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "could not become a subreaper")


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Give a part of a file back to the disk; it reads as zeros, and the file's size stays."""
    if _libc.fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, offset, length) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def resources_of(pid: int) -> tuple[int, float] | None:
    """Return (peak resident bytes, CPU seconds) of an ended child that is not reaped yet."""
    if _waitid_number is None:
        return None
    options = _WEXITED | _WNOHANG | _WNOWAIT
    if _libc.syscall(_waitid_number, _P_PID, pid, _siginfo, options, _rusage) != 0:
        return None
    seconds = _rusage[0] + _rusage[2] + (_rusage[1] + _rusage[3]) / 1e6
    return _rusage[4] * 1024, seconds


def set_io_priority(text: str) -> None:
    """Give this process `idle`, `best-effort:N` or `realtime:N` (ioprio_set(2))."""
    if _ioprio_number is None:
        raise OSError(0, f"I/O priorities are not known on {os.uname().machine}")
    name, _, level = text.partition(":")
    klass = {"realtime": 1, "best-effort": 2, "idle": 3}[name]
    if _libc.syscall(_ioprio_number, 1, 0, (klass << 13) | int(level or "0")) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

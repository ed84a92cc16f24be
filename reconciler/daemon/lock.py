"""One writer per state directory: a lock that dies with its holder, and says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Self

from reconciler.clock import wall

PRIVATE_UMASK = 0o077
"""For all that is written into a state: a group that may come to the socket may read nothing beside it."""


class StateHeld(Exception):
    """Another process has the state directory; the text says which."""


class StateUnusable(Exception):
    """The state directory cannot be made or written; the text says why and what to do."""


def prepare(state: Path) -> None:
    """Make the state directory (0700) if it is missing. Raises StateUnusable."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = state / ".writable"
        probe.write_text("", encoding="ascii")
        probe.unlink()
        for name in ("status", "requests", "runs"):
            if (state / name).is_dir():
                (state / name).chmod(0o700)
    except OSError as error:
        raise StateUnusable(
            f"cannot write the state directory {state}: {error.strerror or error}; "
            "choose another with --state, or change its owner"
        ) from error


class StateLock:
    """Holds `<state>/lock` until closed or until this process ends, however it ends."""

    def __init__(self, state: Path, purpose: str) -> None:
        """Take the lock or raise StateHeld. `purpose`: `serve` or the verb that takes it for a moment."""
        self._path = state / "lock"
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._holder()
            os.close(self._fd)
            raise StateHeld(f"{state} is in use by {holder}") from None
        record = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "purpose": purpose,
            "since": wall().isoformat(timespec="seconds"),
        }
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, json.dumps(record).encode(), 0)

    def _holder(self) -> str:
        try:
            record = json.loads(os.pread(self._fd, 4096, 0))
            return f"`reconcile {record['purpose']}` (pid {record['pid']} on {record['host']}, since {record['since']})"
        except (ValueError, KeyError):
            return "another process"

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_held(state: Path) -> bool:
    """Whether some process holds the lock of this state directory now."""
    try:
        fd = os.open(state / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False

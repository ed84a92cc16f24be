"""Places where a crash test may kill a process of ours: `RECONCILE_FAILPOINT=name[:at:n]` (the n-th time)."""

from __future__ import annotations

import os
import signal

ALL: tuple[str, ...] = (
    "store:before-commit",
    "store:after-commit",
    "engine:before-start",
    "engine:after-start",
    "engine:after-events",
    "engine:before-outputs",
    "apply:before-commit",
    "apply:after-commit",
    "letters:after-sending",
    "letters:after-settling",
    "runner:after-mkdir",
    "runner:after-order",
    "runner:before-go",
    "runner:after-go",
    "runner:after-spawn",
    "runner:after-pid",
    "runner:before-exit",
    "runner:after-exit",
    "runner:after-reap",
    "runner:after-signal",
    "runner:after-gap",
    "executor:after-send",
    "executor:before-events",
)

_NAME, _, _COUNT = os.environ.get("RECONCILE_FAILPOINT", "").partition(":at:")
_left = int(_COUNT or 1)


def failpoint(name: str) -> None:
    """End this process by SIGKILL if RECONCILE_FAILPOINT=`name[:at:n]` asks for it (the n-th passing).

    With RECONCILE_FAILPOINT_ONCE=FILE only the process that can create the file ends, so that its successor lives.
    """
    global _left
    if name != _NAME:
        return
    _left -= 1
    if _left == 0 and _may_end():
        os.kill(os.getpid(), signal.SIGKILL)


def _may_end() -> bool:
    once = os.environ.get("RECONCILE_FAILPOINT_ONCE")
    if not once:
        return True
    try:
        os.close(os.open(once, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True

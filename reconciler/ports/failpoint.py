"""Places where a crash test may kill a process of ours: `RECONCILE_FAILPOINT=name[:n]` (the n-th time)."""

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
)

_NAME, _, _COUNT = os.environ.get("RECONCILE_FAILPOINT", "").partition(":at:")
_left = int(_COUNT or 1)


def failpoint(name: str) -> None:
    """End this process by SIGKILL if RECONCILE_FAILPOINT=`name[:at:n]` asks for it (the n-th passing)."""
    global _left
    if name != _NAME:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

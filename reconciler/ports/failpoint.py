"""Places where a crash test may kill a process of ours: `RECONCILE_FAILPOINT=name[:n]`, there, the n-th time."""

from __future__ import annotations

import os

ALL = (
    "runner.start.before_go",
    "runner.start.after_go",
    "runner.start.after_spawn",
    "runner.start.after_pid",
    "runner.end.before_exit",
    "runner.end.after_exit",
    "runner.end.after_reap",
    "runner.stop.after_signal",
    "runner.log.after_gap",
    "executor.start.after_mkdir",
    "executor.start.after_order",
    "executor.start.after_send",
    "executor.poll.before_event",
)
"""Every name there is; the crash tests go through all of them."""

_name, _, _count = os.environ.get("RECONCILE_FAILPOINT", "").partition(":")
_left = int(_count or "1")


def failpoint(name: str) -> None:
    """Kill this process (SIGKILL) when the environment names this place; otherwise one comparison."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), 9)

"""What the runner remembers of one run."""

from __future__ import annotations

from reconciler.ports import attempt, process
from reconciler.ports.attempt import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from reconciler.runner.cgroup import Group


class Run:
    """A living run, or one whose leader ended and that left processes behind."""

    __slots__ = (
        "adopted", "directory", "grace", "group", "key", "log_bytes", "log_size", "marks", "over", "pid", "pidfd",
        "stop", "stop_signal", "ticks", "timeout", "wall",
    )  # fmt: skip

    def __init__(
        self, key: str, directory: str, order: dict[str, Any], pid: int, ticks: int, wall: float
    ) -> None:
        self.key, self.directory = key, directory
        self.pid, self.ticks, self.wall = pid, ticks, wall
        self.marks = attempt.marks_of(order.get("environment", {}))
        self.timeout: float | None = order.get("timeout")
        self.grace: float = order.get("stopGrace", 10.0)
        self.stop_signal: str = order.get("stopSignal", "TERM")
        self.log_bytes: int | None = order.get("logBytes")
        self.log_size = 0
        self.group: Group | None = None
        self.pidfd = -1
        self.stop: tuple[str, str] | None = None
        """Reason and by whom, once it is being stopped."""
        self.adopted = self.over = False

    def members(self, table: Sequence[process.Process]) -> list[process.Process]:
        """Return the living processes of its whole tree."""
        return process.members(self.pid, self.ticks, self.marks, f"{self.directory}/{attempt.LOG}", table)

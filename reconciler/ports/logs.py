"""What reads behind the logs of attempts: counts by severity and progress, never in the way of the writer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from reconciler.ports.executor import AttemptId


@dataclass(frozen=True, slots=True)
class LogCounts:
    """Of one attempt so far."""

    lines: int = 0
    infos: int = 0
    warnings: int = 0
    errors: int = 0
    progress: int | None = None


class Logs(Protocol):
    def follow(self, attempt: AttemptId) -> None:
        """Begin (or go on) to read the log of an attempt that runs."""

    def finish(self, attempt: AttemptId) -> LogCounts | None:
        """The counts of an attempt that is over; None when reading takes longer: they come by `poll` later."""

    def poll(self) -> tuple[list[tuple[AttemptId, LogCounts]], list[tuple[AttemptId, LogCounts]]]:
        """Return (final counts of finished attempts, counts so far of running ones) since the last call."""

"""What the daemon writes out, behind the decisions: found in `reconciler/outputs`, never in their way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from reconciler.core.facts import Fact
from reconciler.core.model import TargetId
from reconciler.outputs import Outputs as Found
from reconciler.ports.clock import Clock

if TYPE_CHECKING:
    from reconciler.outputs.metrics import Metrics


class Outputs:
    """All outputs; told what changed, and asked when they want to write."""

    def __init__(self, state: Path, clock: Clock, metrics_max_targets: int = 10_000) -> None:
        self._clock = clock
        self._found = Found(state, metrics_max_targets)
        self.metrics = cast("Metrics", self._found["metrics"])
        self._said: set[str] = set()
        """The outputs that were said to fail. Only that: which of its files failed first may differ each time."""
        self.metrics_page: Callable[[], bytes] = self.metrics.page

    @property
    def problems(self) -> dict[str, str]:
        """Why an output could not be written the last time, by its name."""
        return self._found.problems

    def news(self) -> list[tuple[str, int]]:
        """What is new about outputs that fail or are written again, with the level of syslog(3)."""
        failing = dict(self.problems)
        news = [(f"{why}; tried again", 4) for name, why in failing.items() if name not in self._said]
        news += [(f"{name} is written again", 6) for name in sorted(self._said - failing.keys())]
        self._said = set(failing)
        return news

    def changed(self, targets: set[TargetId]) -> None:
        self._found.changed(targets)

    def count(self, facts: Sequence[tuple[TargetId, Fact]]) -> None:
        self._found.recorded(facts)

    def flush(self) -> float | None:
        """Write what is due; return the seconds until more is."""
        return self._found.flush(self._clock.now().wall.timestamp())

    def close(self) -> None:
        """Write all that there is, however long it takes."""
        self._found.close(self._clock.now().wall.timestamp())

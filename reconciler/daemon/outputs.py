"""What the daemon writes out, behind the decisions: found in `reconciler/outputs`, never in their way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from reconciler.core.facts import Fact
from reconciler.core.model import Instant, TargetId
from reconciler.outputs import Outputs as Found

if TYPE_CHECKING:
    from reconciler.outputs.metrics import Metrics


class Reads(Protocol):
    def now(self) -> Instant: ...


class Outputs:
    """All outputs; told what changed, and asked when they want to write."""

    def __init__(self, state: Path, clock: Reads, metrics_max_targets: int = 10_000) -> None:
        self._clock = clock
        self._found = Found(state, metrics_max_targets)
        self.metrics = cast("Metrics", self._found["metrics"])
        self.metrics_page: Callable[[], bytes] = self.metrics.page

    @property
    def problems(self) -> dict[str, str]:
        """Why an output could not be written the last time, by its name."""
        return self._found.problems

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

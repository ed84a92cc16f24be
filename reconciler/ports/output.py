"""What shows the state to the world outside: files and metrics. Outputs read the state and never change it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reconciler.core.facts import Fact
from reconciler.core.model import TargetId


@dataclass(frozen=True, slots=True)
class Setting:
    """What every output is made of. `database` is a connection for reading, shared by all of one process."""

    state: Path
    database: sqlite3.Connection
    metrics_max_targets: int = 10_000


class Output(Protocol):
    """One kind of output; a module of `reconciler.outputs` with `make(setting) -> Output`."""

    def changed(self, targets: set[TargetId]) -> None:
        """These targets look different now; what they look like is read later."""

    def recorded(self, facts: Sequence[tuple[TargetId, Fact]]) -> None:
        """These facts were committed."""

    def flush(self, now: float, seconds: float) -> float | None:
        """Write what is due at `now` (epoch seconds), for about so many seconds at most.

        Return in how many seconds to call again; None: when something changed. Raises OSError when the world does
        not take it; nothing is lost by that, the next flush tries again.
        """

    def close(self) -> None:
        """Write the last word; nothing is flushed after it."""

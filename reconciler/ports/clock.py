"""The only way to the time of day: one reading per decision, passed down."""

from __future__ import annotations

from typing import Protocol

from reconciler.core.model import Instant


class Clock(Protocol):
    def now(self) -> Instant:
        """Read wall time, boot time and boot id at once."""

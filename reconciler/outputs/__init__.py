"""What the state looks like from outside: status files, run files, events, metrics. The folder is the list."""

from __future__ import annotations

import pkgutil
import sqlite3
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from reconciler.core.facts import Fact
from reconciler.core.model import TargetId
from reconciler.ports.database import uri_of
from reconciler.ports.output import Output, Setting

FLUSH_SECONDS: Final = 0.01
"""How long one flush may keep the thread that decides, for each output."""
PATIENCE_SECONDS: Final = 5.0
"""How far ahead `close` writes what would be due later."""
AGAIN_SECONDS: Final = 10.0
"""After what could not be written."""


def found(setting: Setting) -> dict[str, Output]:
    """Make every output there is, by its name."""
    outputs: dict[str, Output] = {}
    for module in pkgutil.iter_modules(__path__):
        make = getattr(import_module(f"{__name__}.{module.name}"), "make", None)
        if make is not None:
            outputs[module.name] = make(setting)
    return outputs


class Outputs:
    """All outputs of one state directory, with a connection of their own."""

    def __init__(self, state: Path, metrics_max_targets: int = 10_000) -> None:
        self._database = sqlite3.connect(
            uri_of(state / "state.db"),
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10.0,
        )
        self._database.execute("PRAGMA cache_size=-500")
        self._outputs = found(Setting(state, self._database, metrics_max_targets))
        self._retry_at: dict[str, float] = {}
        self.problems: dict[str, str] = {}
        """Why an output could not be written the last time, by its name."""

    def __getitem__(self, name: str) -> Output:
        return self._outputs[name]

    def changed(self, targets: set[TargetId]) -> None:
        """Tell all outputs that these targets look different now."""
        for output in self._outputs.values():
            output.changed(targets)

    def recorded(self, facts: Sequence[tuple[TargetId, Fact]]) -> None:
        """Tell all outputs what was committed."""
        for output in self._outputs.values():
            output.recorded(facts)

    def flush(self, now: float, seconds: float = FLUSH_SECONDS) -> float | None:
        """Have each write what is due; return in how many seconds to call again, None: when something changed."""
        waits = []
        for name, output in self._outputs.items():
            retry_at = self._retry_at.get(name, 0.0)
            if retry_at > now:
                waits.append(retry_at - now)
                continue
            try:
                wait = output.flush(now, seconds)
            except OSError as error:
                self.problems[name] = f"could not write {error.filename or name}: {error.strerror}"
                self._retry_at[name] = now + AGAIN_SECONDS
                waits.append(AGAIN_SECONDS)
                continue
            self.problems.pop(name, None)
            if wait is not None:
                waits.append(wait)
        return min(waits, default=None)

    def close(self, now: float) -> None:
        """Write all that there is to write, however long it takes, and let go."""
        later = now
        while (
            not self.problems
            and (wait := self.flush(later, 60.0)) is not None
            and later < now + PATIENCE_SECONDS
        ):
            later += max(wait, 0.001)
        for output in self._outputs.values():
            output.close()
        self._database.close()

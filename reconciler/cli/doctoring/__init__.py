"""What `reconcile doctor` looks at. One file per part of the machine, found by its name.

A part is a file with `findings(subject) -> Iterator[Finding]`. It never raises for what it came to find.
"""

from __future__ import annotations

import json
import os
import pkgutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, Final

from reconciler.ports.database import reading

SEVERITIES: Final = ("ok", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    severity: str
    message: str
    help: str = ""
    """What to do about it."""


@dataclass
class Subject:
    """The installation that is looked at."""

    state: str
    repository: str
    """"" where it is not known."""
    secrets: str
    now: float
    """Epoch seconds."""
    specs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """(kind, name) -> spec of every document in force; read by the first part that can."""

    @cached_property
    def database(self) -> sqlite3.Connection | None:
        """The state for reading; None when it is not there or cannot be used (the part `state` says why)."""
        path = f"{self.state}/state.db"
        if not os.path.isfile(path):
            return None
        connection = reading(path)
        try:
            for kind, name, body in connection.execute("SELECT kind, name, body FROM objects"):
                self.specs[kind, name] = json.loads(body).get("spec") or {}
        except (sqlite3.Error, ValueError):
            connection.close()
            return None
        return connection

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the state answers; nothing where there is none."""
        if self.database is None:
            return []
        try:
            return self.database.execute(query, values).fetchall()
        except sqlite3.Error:
            return []

    def jobs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and spec of every Job in force."""
        if self.database is not None:
            yield from ((name, spec) for (kind, name), spec in self.specs.items() if kind == "Job")

    @property
    def installation(self) -> dict[str, Any]:
        return self.specs.get(("Installation", "installation"), {}) if self.database is not None else {}

    def close(self) -> None:
        if self.database is not None:
            self.database.close()


def examine(subject: Subject) -> list[Finding]:
    """Have every part look; the order is that of the parts' names."""
    found: list[Finding] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda each: each.name):
        look: Callable[[Subject], Iterator[Finding]] | None = getattr(
            import_module(f"{__name__}.{module.name}"), "findings", None
        )
        if look is not None:
            found.extend(look(subject))
    return found

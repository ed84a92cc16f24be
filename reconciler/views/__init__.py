"""What a person may see. One file per view, found by its name.

A view is a file with `view(connection, who, query) -> dict` of JSON values: `connection` reads `state.db`, `who`
is a `core.access.Viewer`, `query` maps words to words as a URL does. The command line calls views in its own process
where it may read the state; the daemon answers `GET /v1/<view>?<query>` with the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer


class UnknownName(LookupError):
    """Nothing of that name exists for this viewer."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadQuery(ValueError):
    """The query says something that no view understands; the message says what to write."""


def look(name: str, connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """Call one view in one read transaction. Raise UnknownName or BadQuery."""
    function = getattr(_module(name), "view", None)
    if function is None:
        raise UnknownName(f"there is no view `{name}`")
    inside = connection.in_transaction
    if not inside:
        connection.execute("BEGIN")
    try:
        answer: dict[str, Any] = function(connection, who, query)
        return answer
    finally:
        if not inside:
            connection.execute("ROLLBACK")


def _module(name: str) -> ModuleType | None:
    if not name.isidentifier():
        return None
    try:
        return import_module(f"reconciler.views.{name}")
    except ModuleNotFoundError:
        return None

"""Who looks, as the reconciler knows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """The viewer's own name, role and domains."""
    return {"name": who.name, "role": who.role, "domains": list(who.domains)}

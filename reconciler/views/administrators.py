"""Administrators: all of them for the system's, oneself for a domain's. Identities stay in the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reconciler.core.access import Thing, may

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer


def documents(connection: sqlite3.Connection) -> list[tuple[str, dict[str, Any]]]:
    """Every Administrator that holds, as (name, spec)."""
    rows = connection.execute("SELECT name, body FROM objects WHERE kind = 'Administrator' ORDER BY name")
    return [(name, json.loads(body).get("spec") or {}) for name, body in rows]


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """List the administrators that the viewer may know of."""
    word = query.get("contains", "").casefold()
    return {
        "items": [
            {
                "name": name,
                "role": spec.get("role", ""),
                "domains": spec.get("domains") or [],
                "email": spec.get("email") or "",
            }
            for name, spec in documents(connection)
            if may(who, "get", Thing("Administrator", name)) and word in name
        ]
    }

"""What became of the run requests, the newest first; filters `domain`, `contains`, `name`, `limit`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reconciler.views.rows import INSTALLATION, iso, limited

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """List the handled tokens of the areas that the viewer sees."""
    items = []
    limit = limited(query, 50)
    rows = connection.execute(
        "SELECT token, handled, outcome, requester, body FROM tokens ORDER BY handled DESC, token"
    )
    for token, handled, outcome, requester, body in rows:
        area, _, name = token.partition("/")
        domain = "" if area == INSTALLATION or area.startswith("annotation:") else area
        if not who.sees(domain) or not _chosen(query, name, area):
            continue
        items.append({"name": name or token, "domain": domain, **told(handled, outcome, requester, body)})
        if len(items) == limit:
            break
    return {"items": items}


def told(handled: float, outcome: str, requester: str, body: str) -> dict[str, Any]:
    """What became of one request, out of the columns of its row."""
    found = {**json.loads(body), "outcome": outcome, "handledAt": iso(handled), "requester": requester}
    found.pop("handled", None)
    return found


def _chosen(query: Mapping[str, str], name: str, area: str) -> bool:
    return (
        query.get("domain", area) == area
        and query.get("contains", "").casefold() in name
        and query.get("name", name) == name
    )

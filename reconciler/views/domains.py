"""Domains with how their targets fare; filters `contains`, `domain`, `label`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reconciler.views.rows import Where, containing, in_domain, iso, with_labels

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer

_BAD = "'failure', 'interrupted', 'missed'"
_DOMAINS = (
    "SELECT name, body, json_extract(body, '$.spec.description') AS description,"
    " coalesce(json_extract(body, '$.metadata.labels'), '{}') AS labels FROM objects WHERE kind = 'Domain'"
)


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """List the domains that the viewer sees, also those without targets."""
    where = Where(who)
    in_domain(where, who, query)
    counted = {
        row[0]: row[1:]
        for row in connection.execute(
            "SELECT domain, count(*), sum(running > 0), sum(queued > 0), "
            f"sum(state IN ({_BAD})), sum(overdue != ''), min(next_run) "
            f"FROM targets WHERE gone = 0 AND domain != '' AND {where} GROUP BY domain",
            where.values,
        )
    }
    items = []
    documents = _documents(connection, who, query)
    for name in sorted(documents):
        spec, labels = documents[name]
        targets, running, queued, failing, overdue, next_run = counted.get(name, (0, 0, 0, 0, 0, None))
        description = str(spec.get("description") or "")
        items.append(
            {
                "name": name,
                "description": description,
                "labels": labels,
                "targets": targets,
                "running": running,
                "queued": queued,
                "failing": failing,
                "overdue": overdue,
                "nextRun": iso(next_run),
            }
        )
    return {"items": items}


def _documents(
    connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]
) -> dict[str, tuple[dict[str, Any], dict[str, str]]]:
    where = Where(who, "name")
    in_domain(where, who, query, "name")
    with_labels(where, query)
    containing(connection, where, query, "name, description")
    found = {}
    for name, body in connection.execute(f"SELECT name, body FROM ({_DOMAINS}) WHERE {where}", where.values):
        document = json.loads(body)
        found[name] = (document.get("spec") or {}, (document.get("metadata") or {}).get("labels") or {})
    return found

"""What a forecast needs to know besides plans: local pauses and, with `measured=1`, how long runs take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reconciler.views.rows import Where, in_domain

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer

RECENT = 20
"""So many of the latest runs of a target are measured."""


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """List targets that are paused locally (`pausedUntil`) or measured (`durationSeconds`, the mean)."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for job, domain, seen in connection.execute(*_clause(_PAUSES, who, query)):
        if seen:
            import json

            pause = json.loads(seen)
            item = found.setdefault((job, domain), {"job": job, "domain": domain})
            item["pausedUntil"], item["pauseReason"] = pause.get("pause_until"), pause.get("pause_reason", "")
    if query.get("measured"):
        for job, domain, seconds in connection.execute(*_clause(_DURATIONS, who, query)):
            found.setdefault((job, domain), {"job": job, "domain": domain})["durationSeconds"] = seconds
    return {"items": list(found.values())}


_PAUSES = "SELECT job, domain, seen FROM targets WHERE drift != '' AND {}"
_DURATIONS = f"""SELECT job, domain, avg(seconds) FROM (
SELECT job, domain, finished - started AS seconds, row_number() OVER (PARTITION BY job, domain ORDER BY id DESC) AS age
FROM runs WHERE started IS NOT NULL AND finished IS NOT NULL AND {{}}) WHERE age <= {RECENT} GROUP BY job, domain"""


def _clause(statement: str, who: Viewer, query: Mapping[str, str]) -> tuple[str, list[Any]]:
    where = Where(who)
    in_domain(where, who, query)
    return statement.format(where), where.values

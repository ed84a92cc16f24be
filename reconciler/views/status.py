"""How the installation fares: source, daemon, and how many targets are in which state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reconciler.ports.source import area_of
from reconciler.views.rows import Where, in_domain

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer

_COUNTS = (
    "count(*), sum(running > 0), sum(queued > 0), sum(state IN ('failure', 'interrupted')), sum(state = 'warning'),"
    " sum(overdue != ''), sum(paused != ''), sum(not_ready != ''), sum(drift != ''), sum(state = '')"
)
_NAMES = (
    *(
        "targets",
        "running",
        "queued",
        "failing",
        "warning",
        "overdue",
        "paused",
        "notReady",
        "drifted",
        "neverRan",
    ),
)


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """Sum up what the viewer sees; of files, a domain's administrator hears only of the own areas."""
    where = Where(who)
    in_domain(where, who, query)
    row = connection.execute(
        f"SELECT {_COUNTS} FROM targets WHERE gone = 0 AND {where}", where.values
    ).fetchone()
    meta = dict(
        connection.execute("SELECT key, value FROM meta WHERE key IN ('source', 'daemon', 'delivery')")
    )
    source: dict[str, Any] = json.loads(meta.get("source") or "{}")
    daemon: dict[str, Any] | None = json.loads(meta.get("daemon") or "null")
    answer: dict[str, Any] = {
        "targets": {name: count or 0 for name, count in zip(_NAMES, row, strict=True)},
        "source": {
            key: source.get(key)
            for key in ("mode", "revision", "dirty", "signer", "observedRevision", "appliedAt")
        },
        "rejectedFiles": _rejected(connection, who),
        "daemon": daemon if who.is_system else (daemon and {"version": daemon.get("version")}),
    }
    if who.is_system:
        answer["source"].update({key: source.get(key) for key in ("held", "refused", "prune", "notices")})
        answer["reports"] = json.loads(meta.get("delivery") or "{}")
    return answer


def _rejected(connection: sqlite3.Connection, who: Viewer) -> list[dict[str, Any]]:
    found = []
    for path, text in connection.execute(
        "SELECT path, rejected FROM files WHERE rejected != '' ORDER BY path"
    ):
        if who.sees(area_of(path) or ""):
            first = json.loads(text)[:1]
            found.append({"path": path, "errors": [_short(one) for one in first]})
    return found


def _short(diagnostic: Mapping[str, Any]) -> dict[str, Any]:
    return {key: diagnostic.get(key) for key in ("code", "message", "line", "column")}

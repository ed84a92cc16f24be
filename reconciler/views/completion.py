"""The names that a shell completes: jobs, targets and domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reconciler.views.rows import Where, target_text

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer

_MOST = 500


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """List what begins with `prefix=`; `of=domains` or `of=targets` (with jobs)."""
    prefix = query.get("prefix", "")
    where = Where(who)
    column = "domain" if query.get("of") == "domains" else "job"
    start = prefix.partition("@")[0] if column == "job" else prefix
    # An upper bound keeps it a range of the index; every character of a name sorts before it.
    where.add(f"gone = 0 AND {column} >= ? AND {column} < ?", start, start + "\uffff")
    rows = connection.execute(
        f"SELECT job, domain FROM targets WHERE {where} ORDER BY {column} LIMIT {_MOST * 4}",
        where.values,
    )
    if column == "domain":
        found = {domain for _, domain in rows if domain}
    else:
        pairs = rows.fetchall()
        found = {job for job, _ in pairs} if "@" not in prefix else set()
        found |= {target_text(*pair) for pair in pairs if "@" in prefix or not pair[1]}
    return {"items": sorted(name for name in found if name.startswith(prefix))[:_MOST]}

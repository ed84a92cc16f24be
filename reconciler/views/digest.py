"""What a digest says besides what happened in its period: how the targets of one recipient fare."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from reconciler.views.report import usual_seconds
from reconciler.views.rows import target_text

if TYPE_CHECKING:
    import sqlite3

MOST: Final = 100
"""Of each list; the rest is counted."""
_LOOKED_AT: Final = 200
_CHANGE: Final = 1.5
"""A run this many times slower than usual is worth a line."""
_LEAST_SECONDS: Final = 10.0


def values_of(
    connection: sqlite3.Connection, targets: Collection[tuple[str, str]], since: float
) -> dict[str, Any]:
    """Still failing, overdue, never run, and slower than usual since then, each list with how many there are."""
    failing: list[dict[str, Any]] = []
    overdue: list[dict[str, Any]] = []
    never: list[dict[str, Any]] = []
    rows = connection.execute(
        "SELECT job, domain, failures, overdue, state, mode, message FROM (SELECT t.*, r.message FROM targets t"
        " LEFT JOIN runs r ON r.job = t.job AND r.domain = t.domain AND r.run = t.run)"
        " WHERE gone = 0 AND (failures > 0 OR overdue != '' OR state = '') ORDER BY job, domain"
    )
    for job, domain, failures, late, state, mode, message in rows:
        if (job, domain) not in targets:
            continue
        item = {"target": target_text(job, domain), "failures": failures, "message": message or ""}
        if failures:
            if len(failing) < MOST:
                item["since"] = _failing_since(connection, job, domain)
            failing.append(item)
        if late:
            overdue.append({**item, "message": late, "never": state == ""})
        elif state == "" and mode != "disabled":
            never.append(item)
    return {
        "failing": failing[:MOST], "failingCount": len(failing),
        "overdue": overdue[:MOST], "overdueCount": len(overdue),
        "never": never[:MOST], "neverCount": len(never),
        "slower": _slower(connection, targets, since), "targetCount": len(targets),
    }  # fmt: skip


def _failing_since(connection: sqlite3.Connection, job: str, domain: str) -> float | None:
    row = connection.execute(
        "SELECT min(finished) FROM runs WHERE job=?1 AND domain=?2 AND state IN ('failure', 'interrupted') AND finished"
        " > coalesce((SELECT success_at FROM targets WHERE job=?1 AND domain=?2), 0)",
        (job, domain),
    ).fetchone()
    return row[0] if row else None


def _slower(
    connection: sqlite3.Connection, targets: Collection[tuple[str, str]], since: float
) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT job, domain, run, duration FROM targets WHERE gone = 0 AND finished >= ? AND duration >= ?"
        " AND state IN ('success', 'warning') ORDER BY duration DESC LIMIT ?",
        (since, _LEAST_SECONDS, _LOOKED_AT),
    ).fetchall()
    found = []
    for job, domain, run, duration in rows:
        if (job, domain) not in targets:
            continue
        usual = usual_seconds(connection, job, domain)
        if usual and duration > usual * _CHANGE:
            found.append(
                {"target": target_text(job, domain), "run": run, "duration": duration, "usual": usual}
            )
    return sorted(found, key=lambda item: item["duration"] / item["usual"], reverse=True)[:10]

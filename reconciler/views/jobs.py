"""Targets with planning, last and next run; filters `status`, `contains`, `domain`, `label`, `limit`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from reconciler.views import UnknownName
from reconciler.views.names import targets_named
from reconciler.views.rows import (
    INSTALLATION,
    RUN_STATES,
    Where,
    containing,
    in_domain,
    iso,
    limited,
    target_text,
    with_labels,
    words,
)

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer

COLUMNS: Final = (
    "t.job, t.domain, t.gone, t.mode, t.planning, t.description, t.labels, t.path, t.planning_path, "
    "t.next_run, t.state, t.reason, t.run, t.started, t.finished, t.duration, t.exit_code, t.success_at, "
    "t.running, t.queued, t.failures, t.overdue, t.paused, t.drift, t.not_ready, t.plan_digest"
)
_UNREAD: Final = (
    "t.log_run > 0 AND (m.log_run IS NULL OR m.log_run < t.log_run"
    " OR (m.log_run = t.log_run AND m.log_lines < t.log_lines))"
)
_STATUS: Final = {
    **{state: f"t.state = '{state}'" for state in RUN_STATES},
    "running": "t.running > 0",
    "queued": "t.queued > 0",
    "never": "t.state = ''",
    "overdue": "t.overdue != ''",
    "paused": "t.paused != ''",
    "drifted": "t.drift != ''",
    "not-ready": "t.not_ready != ''",
    "unread": _UNREAD,
}


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """List targets; removed ones only when they are named (`name=`) or asked for (`gone=1`).

    `brief=1` leaves the labels out, which tables do not show.
    """
    where = Where(who, "t.domain")
    in_domain(where, who, query, "t.domain")
    with_labels(where, query)
    containing(connection, where, query, "t.job, t.description, t.domain")
    wanted = words(query.get("status", ""), _STATUS, "status")
    if wanted:
        where.add(" OR ".join(f"({_STATUS[word]})" for word in wanted))
    name = query.get("name")
    if name:
        found = targets_named(connection, who, name, query)
        where.add("t.job = ?", found[0][0])
        if len(found) == 1:
            where.add("t.domain = ?", found[0][1])
    elif query.get("gone") != "1":
        where.add("t.gone = 0")
    rows: Iterable[tuple[Any, ...]] = connection.execute(
        f"SELECT {COLUMNS}, {_UNREAD} FROM targets t LEFT JOIN marks m"
        " ON m.administrator = ? AND m.job = t.job AND m.domain = t.domain"
        f" WHERE {where} ORDER BY t.job, t.domain LIMIT ?",
        (who.name, *where.values, limited(query, 0)),
    )
    if query.get("brief"):
        rows = ((*row[:6], "{}", *row[7:]) for row in rows)
    items = [item(row) for row in rows]
    if not items and query.get("domain"):
        _known_domain(connection, who, query["domain"])
    return {"items": items}


def item(row: tuple[Any, ...]) -> dict[str, Any]:
    """One row as a document; `row` has the columns above and whether its log is unread."""
    (job, domain, gone, mode, planning, description, labels, path, planning_path, next_run, *rest) = row
    (state, reason, run, started, finished, duration, exit_code, success_at, running, queued, *more) = rest
    failures, overdue, paused, drift, not_ready, digest, unread = more
    last = None
    if run:
        last = {
            "run": run,
            "state": state,
            "reason": reason,
            "startedAt": iso(started),
            "finishedAt": iso(finished),
            "durationSeconds": duration,
            "exitCode": exit_code,
        }
    if labels != "{}":
        import json

        known = json.loads(labels)
    else:
        known = {}
    return {
        "target": target_text(job, domain),
        "job": job,
        "domain": domain,
        "description": description,
        "labels": known,
        "state": state or "never",
        "running": running,
        "queued": queued,
        "failures": failures,
        "unread": bool(unread),
        "planning": {"mode": mode, "text": planning, "path": planning_path},
        "nextRun": iso(next_run),
        "lastRun": last,
        "lastSuccess": iso(success_at),
        "overdue": overdue,
        "paused": paused,
        "drift": drift,
        "notReady": not_ready,
        "removed": bool(gone),
        "path": path,
        "digest": digest,
    }


def _known_domain(connection: sqlite3.Connection, who: Viewer, domain: str) -> None:
    """An empty list is an answer for a domain that exists, and a mistake for one that does not."""
    from reconciler.views.names import did_you_mean

    where = Where(who)
    known = {
        row[0]
        for row in connection.execute(
            f"SELECT DISTINCT domain FROM targets WHERE {where}",
            where.values,
        )
    }
    known |= {
        row[0]
        for row in connection.execute("SELECT name FROM objects WHERE kind = 'Domain'")
        if who.sees(row[0])
    }
    if domain not in known and domain != INSTALLATION:
        raise UnknownName(f"there is no domain `{domain}`", did_you_mean(domain, known))

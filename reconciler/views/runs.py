"""Runs, the newest first; filters `name`, `status`, `contains`, `domain`, `group`, `since`, `limit`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from reconciler.views.names import named
from reconciler.views.rows import (
    RUN_STATES,
    Where,
    containing,
    in_domain,
    iso,
    limited,
    number,
    target_text,
    why_shown,
    words,
)

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer

LIMIT: Final = 50
COLUMNS: Final = (
    "job, domain, run, group_id, trigger, state, reason, message, cause, requester, note, parameters, slot, "
    "first, count, queued, started, finished, exit_code, signal, attempts, lines, infos, warnings, errors, "
    "progress, revision, dirty, digest, waiting"
)


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """List runs and stretches of slots that were settled alike; `name=` is a target or a run."""
    where = Where(who)
    in_domain(where, who, query)
    containing(connection, where, query, "job, domain, note, message")
    wanted = words(query.get("status", ""), RUN_STATES, "state of a run")
    if wanted:
        where.add(f"state IN ({','.join('?' * len(wanted))})", *wanted)
    if query.get("group"):
        where.add("group_id = ?", query["group"])
    if query.get("name"):
        _of(connection, who, query, where)
    if query.get("since"):
        since = number(query, "since")
        where.add("coalesce(finished, started, queued, slot) >= ? OR state IN ('queued', 'running')", since)
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM runs WHERE {where} ORDER BY id DESC LIMIT ?",
        (*where.values, limited(query, LIMIT)),
    )
    items = [item(row) for row in rows]
    for each in items:
        if each.get("waiting"):
            each["waiting"] = why_shown(who, each["waiting"])
    return {"items": items}


def _of(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str], where: Where) -> None:
    job, at, _ = query["name"].partition("@")
    if not at and "/" not in job and _has_targets(connection, who, job):
        where.add("job = ?", job)
        return
    found = named(connection, who, query["name"], query)
    where.add("job = ? AND domain = ?", found.job, found.domain)
    if found.run:
        where.add("run = ?", found.run)


def _has_targets(connection: sqlite3.Connection, who: Viewer, job: str) -> bool:
    where = Where(who)
    where.add("job = ?", job)
    sql = f"SELECT 1 FROM targets WHERE {where} LIMIT 1"
    return connection.execute(sql, where.values).fetchone() is not None


def item(row: tuple[Any, ...]) -> dict[str, Any]:
    """One row of `COLUMNS` as a document; what is empty is left out."""
    (job, domain, run, group, trigger, state, reason, message, cause, requester, note, parameters, *rest) = (
        row
    )
    (slot, first, count, queued, started, finished, exit_code, signal, attempts, *more) = rest
    lines, infos, warnings, errors, progress, revision, dirty, digest, waiting = more
    target = target_text(job, domain)
    ended = finished is not None and started is not None
    values: dict[str, Any] = {
        "name": f"{target}/{run}",
        "target": target,
        "job": job,
        "domain": domain,
        "run": run,
        "group": group,
        "state": state,
        "reason": reason,
        "message": message,
        "waiting": waiting,
        "trigger": trigger,
        "cause": cause,
        "requester": requester,
        "note": note,
        "parameters": json.loads(parameters) if parameters else None,
        "slot": iso(slot),
        "first": iso(first) if count > 1 else None,
        "count": count if count > 1 else None,
        "queuedAt": iso(queued),
        "startedAt": iso(started),
        "finishedAt": iso(finished),
        "durationSeconds": round(finished - started, 3) if ended else None,
        "exitCode": exit_code,
        "signal": signal,
        "attempts": attempts,
        "log": {"lines": lines, "infos": infos, "warnings": warnings, "errors": errors},
        "progress": progress,
        "revision": revision,
        "dirty": bool(dirty),
        "digest": digest,
    }
    return {key: value for key, value in values.items() if value is not None and value != ""}

"""Facts in words, the newest last; filters `name`, `domain`, `since`, `after` (a number), `limit`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from reconciler.views.names import named, targets_named
from reconciler.views.rows import Where, in_domain, iso, limited, number, target_text

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer

_HIDDEN: Final = frozenset(
    (
        "at",
        "run",
        "plan_digest",
        "schedule_digest",
        "digest",
        "boot_id",
        "not_before_boot",
        "revision",
        "pid",
        "group",
    )
)


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """List the latest facts of what the viewer sees, or with `after` the ones that follow it."""
    where = Where(who)
    in_domain(where, who, query)
    name = query.get("name")
    if name:
        _of(connection, who, query, where)
    if query.get("since"):
        where.add("at >= ?", number(query, "since"))
    after = query.get("after")
    if after is not None:
        where.add("seq > ?", int(number(query, "after")))
    order = "ASC" if after is not None else "DESC"
    rows = connection.execute(
        f"SELECT seq, at, job, domain, kind, run, body FROM facts WHERE {where} ORDER BY seq {order} LIMIT ?",
        (*where.values, limited(query, 50)),
    ).fetchall()
    items = [item(row) for row in rows]
    return {"items": items if after is not None else items[::-1]}


def _of(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str], where: Where) -> None:
    name = query["name"]
    if "/" not in name:
        found = targets_named(connection, who, name, query)
        where.add("job = ?", found[0][0])
        if len(found) == 1:
            where.add("domain = ?", found[0][1])
        return
    one = named(connection, who, name, query)
    where.add("job = ? AND domain = ? AND run = ?", one.job, one.domain, one.run)


def item(row: tuple[Any, ...]) -> dict[str, Any]:
    """One fact as a document, with `text` for people."""
    seq, at, job, domain, kind, run, body = row
    details = json.loads(body)
    details.pop("at", None)
    return {
        "seq": seq,
        "at": iso(at),
        "target": target_text(job, domain),
        "kind": kind,
        "run": run,
        "text": _text(kind, run, details),
        "details": details,
    }


def _text(kind: str, run: str, details: Mapping[str, Any]) -> str:
    attempt = f" attempt {details['attempt']}" if details.get("attempt", 1) > 1 else ""
    said = ", ".join(
        f"{key.replace('_', ' ')} {value}" for key, value in details.items() if key not in _HIDDEN
    )
    match kind:
        case "Settled":
            first, last = details.get("first", ""), details.get("last", "")
            span = first if first == last else f"{first} to {last}"
            return f"{details.get('count', 1)} slots {details.get('state')} ({details.get('reason')}): {span}"
        case "Queued":
            why = details.get("cause") or details.get("requester") or details.get("slot") or ""
            return f"{run} wanted by {details.get('trigger')}" + (f": {why}" if why else "")
        case "Claimed" | "Started":
            return f"{run}{attempt} {kind.lower()}"
        case "Ended":
            end = (
                f"exit {details['exit_code']}"
                if "exit_code" in details
                else f"signal {details.get('signal')}"
            )
            if "exit_code" not in details and "signal" not in details:
                end = str(details.get("reason", "ended"))
            return f"{run}{attempt} ended: {end}" + (
                f", {details['message']}" if details.get("message") else ""
            )
        case "Finished":
            reason = f" ({details['reason']})" if details.get("reason") else ""
            return f"{run} {details.get('state')}{reason}" + (
                f": {details['message']}" if details.get("message") else ""
            )
        case "HistoryRemoved":
            by = f"by {details['by']}" if details.get("by") else f"by retention ({details.get('rule')})"
            size = details.get("size_bytes", 0)
            return f"{details.get('count')} runs removed from the history {by}: {size} bytes"
        case _:
            return f"{run} {said}".strip()

"""All about one thing: `type=job|run|domain|request|administrator` and `name=`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.status import conditions, conditions_in
from reconciler.views import BadQuery, UnknownName, administrators, domains, events, jobs, requests, runs
from reconciler.views.attempts import AttemptLog
from reconciler.views.names import Named, did_you_mean, named
from reconciler.views.rows import INSTALLATION, iso, run_folder, state_of, target_text, why_shown

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer

_RECENT: Final = "5"
_OPEN_FIELDS: Final = frozenset(
    (
        "description",
        "scope",
        "parameters",
        "minInterval",
        "timeout",
        "retry",
        "concurrency",
        "warnings",
        "expect",
    )
)
"""What of a Job a domain's administrator sees."""


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """Put together what is known of one thing."""
    kind = query.get("type", "job")
    describe = _KINDS.get(kind)
    if describe is None:
        raise BadQuery(f"`{kind}` cannot be described: there are {', '.join(_KINDS)}")
    return {"type": kind, **describe(connection, who, query)}


def _job(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    found = named(connection, who, query.get("name", ""), query)
    if found.run:
        return {"type": "run", **_run(connection, who, query)}
    target = target_text(found.job, found.domain)
    item = _item(connection, who, found)
    own = {"name": target if found.domain else f"{target}@{INSTALLATION}", "limit": _RECENT}
    return {
        "item": item,
        "conditions": _conditions(connection, item, found),
        "definition": _definition(connection, who, found.job),
        "planning": _document(connection, "Planning", found.domain, found.job),
        "waiting": _waiting(connection, who, found),
        "runs": runs.view(connection, who, own)["items"],
        "events": events.view(connection, who, {**own, "limit": "10"})["items"],
    }


def _item(connection: sqlite3.Connection, who: Viewer, found: Named) -> dict[str, Any]:
    name = found.job + "@" + (found.domain or INSTALLATION)
    item: dict[str, Any] = jobs.view(connection, who, {"name": name})["items"][0]
    return item


def _conditions(
    connection: sqlite3.Connection, item: Mapping[str, Any], found: Named
) -> list[dict[str, Any]]:
    """As the status file has them, brought up to date: it is written behind."""
    path = f"{state_of(connection)}/status/{found.domain or INSTALLATION}/{found.job}.yaml"
    try:
        with open(path, encoding="utf-8") as file:
            before = conditions_in(file.read())
    except OSError:
        before = []
    return conditions(item, before, "")


def _waiting(connection: sqlite3.Connection, who: Viewer, found: Named) -> list[dict[str, Any]]:
    """The target's runs that wait, why, and which of its domain take their place before."""
    rows = connection.execute(
        "SELECT job, domain, run, waiting, queued, trigger, coalesce(slot, queued) FROM runs "
        "WHERE state = 'queued' AND domain = ?",
        (found.domain,),
    ).fetchall()
    # The order of `core.admit`: requests first, then by instant; locks have an order of their own, which `why` tells.
    rows.sort(key=lambda row: (row[5] != "request", row[6], row[0], row[2]))
    ready: list[str] = []
    items = []
    for job, domain, run, why, queued, _, _ in rows:
        for_place = why.startswith("NoPlace")
        if job == found.job:
            before = list(ready) if for_place else []
            items.append({"run": run, "why": why_shown(who, why), "since": iso(queued), "before": before})
        if for_place:
            ready.append(f"{target_text(job, domain)}/{run}")
    return items


def _document(connection: sqlite3.Connection, kind: str, domain: str, name: str) -> dict[str, Any] | None:
    """The spec of a document in force, and where it stands."""
    row = connection.execute(
        "SELECT path, line, revision, held, body FROM objects WHERE kind = ? AND domain = ? AND name = ?",
        (kind, domain, name),
    ).fetchone()
    if row is None:
        return None
    path, line, revision, held, body = row
    return {
        "path": f"{path}:{line}",
        "revision": revision,
        "held": held,
        "spec": json.loads(body).get("spec") or {},
    }


def _definition(connection: sqlite3.Connection, who: Viewer, job: str) -> dict[str, Any] | None:
    """The Job's document. Its command, environment and selectors are the system's: they may name other domains."""
    document = _document(connection, "Job", "", job)
    if document is not None and not who.is_system:
        document["spec"] = {key: value for key, value in document["spec"].items() if key in _OPEN_FIELDS}
    return document


def _run(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    found = named(connection, who, query.get("name", ""), query)
    if not found.run:
        raise BadQuery(f"`{query.get('name', '')}` is a job: a run is written job@domain/run")
    sql = f"SELECT {runs.COLUMNS} FROM runs WHERE job = ? AND domain = ? AND run = ?"
    row = connection.execute(sql, (found.job, found.domain, found.run)).fetchone()
    item = runs.item(row)
    if item.get("waiting"):
        item["waiting"] = why_shown(who, item["waiting"])
        mine = [each for each in _waiting(connection, who, found) if each["run"] == found.run]
        item["before"] = mine[0]["before"] if mine else []
    folder = run_folder(state_of(connection), found.job, found.domain, found.run)
    attempts = []
    for number in range(1, item["attempts"] + 1):
        log = AttemptLog(f"{folder}/{number}")
        attempts.append(
            {"attempt": number, "log": f"{folder}/{number}/log", "bytes": log.size, "over": log.is_over}
        )
    name = f"{found.job}@{found.domain or INSTALLATION}/{found.run}"
    return {
        "item": item,
        "attempts": attempts,
        "events": events.view(connection, who, {"name": name, "limit": "100"})["items"],
    }


def _domain(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    name = query.get("name", "")
    items = domains.view(connection, who, {})["items"]
    item = _one(items, name, "domain")
    return {
        "item": item,
        "definition": _document(connection, "Domain", "", name),
        "targets": jobs.view(connection, who, {"domain": name})["items"],
    }


def _request(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    name = query.get("name", "")
    item = _one(requests.view(connection, who, {"limit": "0"})["items"], name, "request")
    group = f"request/{item['domain'] or INSTALLATION}/{name}"
    return {"item": item, "runs": runs.view(connection, who, {"group": group, "limit": "0"})["items"]}


def _administrator(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    return {
        "item": _one(
            administrators.view(connection, who, {})["items"], query.get("name", ""), "administrator"
        )
    }


def _one(items: list[dict[str, Any]], name: str, what: str) -> dict[str, Any]:
    for item in items:
        if item["name"] == name:
            return item
    raise UnknownName(f"there is no {what} `{name}`", did_you_mean(name, [item["name"] for item in items]))


_KINDS: Final[dict[str, Callable[[sqlite3.Connection, Viewer, Mapping[str, str]], dict[str, Any]]]] = {
    "job": _job,
    "run": _run,
    "domain": _domain,
    "request": _request,
    "administrator": _administrator,
}

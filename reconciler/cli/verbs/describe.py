"""Show all about one thing: job/NAME (or just NAME), run/NAME, domain/NAME, request/NAME, administrator/NAME."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from reconciler.cli.columns import columns
from reconciler.cli.exits import Failure
from reconciler.cli.frame import DOCUMENT_FORMATS, Call, complete_targets, verb
from reconciler.cli.out import colored, document, paint, status_text, table, watched
from reconciler.cli.reading import read, state_of
from reconciler.cli.times import ago, local, now, span
from reconciler.core.yamlout import dump

_TYPES = {"job": "job", "jobs": "job", "run": "run", "runs": "run", "domain": "domain", "domains": "domain",
          "request": "request", "requests": "request", "administrator": "administrator",
          "administrators": "administrator"}  # fmt: skip


@verb(formats=DOCUMENT_FORMATS, watches=True)
@click.argument("thing", metavar="[TYPE/]NAME", shell_complete=complete_targets)
@click.argument("name", required=False, shell_complete=complete_targets)
def command(call: Call, thing: str, name: str | None) -> None:
    kind, slash, rest = thing.partition("/")
    if name is not None:
        kind, rest = thing, name
    elif not slash or kind not in _TYPES:
        kind, rest = "job", thing

    def render() -> str:
        answer = read(call, "describe", type=_TYPES.get(kind, kind), name=rest)
        if answer["type"] == "job":
            answer["nextRuns"], answer["reports"] = _ahead(call, answer["item"])
        if call.output != "table":
            return document(call.output, answer)
        return "".join(_texts(call, answer))

    watched(call, render)


def _ahead(call: Call, item: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The next five runs and who hears of them, by the plan in force; nothing where the state may not be read."""
    from datetime import UTC, datetime

    from reconciler.cli.proposing import desired_in
    from reconciler.core.forecast import forecast
    from reconciler.core.model import TargetId

    target = TargetId(item["job"], item["domain"])
    try:
        plan = desired_in(state_of(call)).targets.get(target)
    except Failure:
        return [], {}
    if plan is None:
        return [], {}
    start = datetime.fromtimestamp(now(), UTC)
    coming = [
        {"at": one.at.isoformat(timespec="seconds").replace("+00:00", "Z"), "local": one.local.isoformat(),
         "state": str(one.state), "notes": list(one.notes)}
        for one in forecast([(target, plan)], start, None, 5)
    ]  # fmt: skip
    report = plan.report
    reports = {
        "send": report.send,
        "recipients": list(report.recipients),
        "when": list(report.when),
        "webhooks": list(report.webhooks),
        "added": [
            {"recipients": list(one.recipients), "send": one.send, "when": list(one.when), "definedIn": one.origin}
            for one in report.added
        ],
        "definedIn": dict(report.origins),
    }
    return coming, reports


def _texts(call: Call, answer: dict[str, Any]) -> Iterator[str]:
    match answer["type"]:
        case "job":
            yield from _job(call, answer)
        case "run":
            yield from _run(call, answer)
        case "domain":
            yield from _fields(call, [(key, value) for key, value in _flat(answer["item"])])
            yield from _list(call, "Targets", "jobs", answer["targets"])
        case "request":
            yield from _fields(call, [(key, value) for key, value in _flat(answer["item"])])
            yield from _list(call, "Runs", "runs", answer["runs"])
        case _:
            yield from _fields(call, [(key, value) for key, value in _flat(answer["item"])])


def _job(call: Call, answer: dict[str, Any]) -> Iterator[str]:
    item, at = answer["item"], now()
    last, definition = item["lastRun"] or {}, answer["definition"] or {}
    spec = definition.get("spec", {})
    yield from _fields(
        call,
        [
            ("Target", item["target"]),
            ("Description", item["description"]),
            ("State", paint(status_text(item["state"]), item["state"], colored(call))),
            ("Labels", ", ".join(f"{key}={value}" for key, value in item["labels"].items())),
            ("Planning", f"{item['planning']['mode']}: {item['planning']['text']}"),
            ("  decided in", item["planning"]["path"]),
            ("Defined in", item["path"]),
            ("  held", definition.get("held")),
            ("Paused", item["paused"]),
            ("Overdue", item["overdue"]),
            ("Not ready", item["notReady"]),
            ("Drift", item["drift"]),
            ("Last run", f"{last['run']}, {ago(last['startedAt'], at)}, took {span(last['durationSeconds'])}"
             if last else "never"),
            ("Last success", ago(item["lastSuccess"], at)),
            ("Log", "unread" if item["unread"] else ""),
        ],
    )  # fmt: skip
    for run in answer["waiting"]:
        yield f"  {run['run']} waits: {run['why'] or 'its turn'}\n"
        if run["before"]:
            more = f" and {len(run['before']) - 3} more" if len(run["before"]) > 3 else ""
            yield f"    before it in its domain: {', '.join(run['before'][:3])}{more}\n"
    yield from _next(call, answer, at)
    yield from _reports(call, answer["reports"])
    yield _title(call, "Conditions")
    for one in answer["conditions"]:
        since = f" since {one['lastTransitionTime']}" if one["lastTransitionTime"] else ""
        yield f"  {one['type']:<10} {one['status']:<8} {one['reason']}{since}" + (
            f": {one['message']}\n" if one["message"] else "\n"
        )
    if spec.get("parameters"):
        yield _title(call, "Parameters (reconcile run --param NAME=VALUE)")
        for name, declared in spec["parameters"].items():
            yield f"  {name} ({_parameter(declared)}) {declared.get('description', '')}".rstrip() + "\n"
    yield from _list(call, "Recent runs", "runs", answer["runs"])
    yield from _list(call, "Recent events", "events", answer["events"])
    if spec:
        yield _title(call, "Definition")
        yield "".join(f"  {line}\n" for line in dump(spec).splitlines())


def _parameter(declared: dict[str, Any]) -> str:
    """What a parameter may be, in a few words."""
    from reconciler.core.yamlout import scalar

    words = [declared.get("type", "string")]
    if "enum" in declared:
        words.append("one of " + ", ".join(scalar(each) for each in declared["enum"]))
    if "pattern" in declared:
        words.append(f"matching {declared['pattern']}")
    words.append(f"default {scalar(declared['default'])}" if "default" in declared else "no default")
    return ", ".join(words)


def _next(call: Call, answer: dict[str, Any], at: float) -> Iterator[str]:
    coming = answer["nextRuns"]
    if not coming and answer["item"]["nextRun"]:
        yield from _fields(call, [("Next run", local(answer["item"]["nextRun"]))])
    if coming:
        yield _title(call, "Next runs")
        for one in coming:
            notes = f"  {'; '.join(one['notes'])}" if one["notes"] else ""
            yield f"  {one['local']}  {ago(one['at'], at)}{notes}\n"


def _reports(call: Call, reports: dict[str, Any]) -> Iterator[str]:
    if not reports:
        return
    yield _title(call, "Reports")
    who = ", ".join(reports["recipients"]) or "nobody"
    yield f"  {'to ' + who if reports['send'] else 'none (send: false); would go to ' + who}"
    yield f" on {', '.join(reports['when'])}\n"
    for one in reports["added"]:
        whether = "to" if one["send"] else "none (send: false) to"
        yield f"  {whether} {', '.join(one['recipients'])} on {', '.join(one['when'])} (added by {one['definedIn']})\n"
    for field, path in reports["definedIn"].items():
        yield f"    {field} says {path}\n"


def _run(call: Call, answer: dict[str, Any]) -> Iterator[str]:
    item, color = answer["item"], colored(call)
    shown = [
        (key, value) for key, value in _flat(item) if key not in ("State", "Log", "Job", "Domain", "Run")
    ]
    log = item["log"]
    counts = f"{log['lines']} lines, {log['errors']} errors, {log['warnings']} warnings"
    yield from _fields(
        call, [("State", paint(status_text(item["state"]), item["state"], color)), *shown, ("Log", counts)]
    )
    for one in answer["attempts"]:
        yield f"  attempt {one['attempt']}: {one['log']} ({one['bytes']} bytes)\n"
    yield from _list(call, "Events", "events", answer["events"])
    yield f"\nreconcile logs {item['name']}\n"


def _flat(item: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in item.items():
        words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in key)
        if isinstance(value, dict):
            value = ", ".join(f"{name}={part}" for name, part in value.items())
        elif isinstance(value, list):
            value = ", ".join(
                str(part.get("target", part) if isinstance(part, dict) else part) for part in value
            )
        yield words.capitalize(), value


def _fields(call: Call, fields: list[tuple[str, Any]]) -> Iterator[str]:
    color = colored(call)
    for name, value in fields:
        if value not in (None, "", "–", False):
            yield f"{paint(f'{name + chr(58):<14}', 'bold', color)} {value}\n"


def _title(call: Call, text: str) -> str:
    return f"\n{paint(text, 'bold', colored(call))}\n"


def _list(call: Call, title: str, kind: str, items: list[dict[str, Any]]) -> Iterator[str]:
    if items:
        yield _title(call, title)
        shown = [column for column in columns(kind, now(), False) if not column.wide]
        yield "".join(f"  {line}\n" for line in table(items, shown, colored(call)).splitlines())

"""What a report says, as one value that mail in text and HTML, the terminal and webhooks render alike. Pure.

Log lines and messages come from outside: here they are cut and made visible (`core.logs.shown`); what a form needs
besides (escaping) is up to its renderer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from reconciler.core.logs import RANK, read_line, shown
from reconciler.core.report_digest import digest_page
from reconciler.core.report_parts import (
    PHRASES,
    SUBJECT_CHARACTERS,
    Entry,
    Item,
    Line,
    Page,
    Section,
    Times,
    by_kind,
    cut,
    cut_line,
    detail,
    icon,
    span,
    why,
)
from reconciler.core.units import plural

LAST_LINES: Final = 20
MARKED_LINES: Final = 30
LINES_OF_MANY: Final = 5
"""Error and warning lines of each target in a letter about several."""


def page_of(body: Mapping[str, Any], recipient: str, host: str) -> Page:
    """Write the page of a letter (`ports.notifier.Parcel.body`)."""
    times = Times(str(body.get("zone") or "UTC"))
    items: Sequence[Item] = body.get("items", ())
    style = body.get("style")
    if style == "test":
        page = _test(host)
    elif style == "digest":
        page = digest_page(body, items, times)
    elif len(items) == 1 and sum((body.get("members") or {}).values()) <= 1:
        page = _one(items[0], times)
    else:
        page = _many(body, items, times)
    footer = _footer(body, items, recipient, host)
    return Page(page.subject, page.kind, page.title, page.lead, page.sections, footer)


def attachments(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The logs to attach: (file name, text)."""
    found = []
    for item in body.get("items", ()):
        count = int(item.get("attachLog") or 0)
        if not count or not item.get("tail"):
            continue
        lines = str(item["tail"]).splitlines()[-count:]
        name = f"{item['target']}-{item['run']}.log".replace("/", "_")
        found.append((name, "".join(shown(line) + "\n" for line in lines)))
    return found


# One run.


def _one(item: Item, times: Times) -> Page:
    kind, target = str(item["kind"]), str(item["target"])
    reason = why(item)
    lead = f"{target} {_said(kind, item)}" + (f": {reason}" if reason else "")
    failures = int(item.get("failures") or 0)
    if kind in ("failure", "interrupted") and failures > 1:
        lead += f" ({failures} times in a row)"
    sections = [Section(facts=tuple((label, cut(value)) for label, value in _facts(item, times)))]
    lines = _lines(item)
    marked = [line for line in lines if line.level in ("error", "warning")]
    if marked:
        left = len(marked) - MARKED_LINES
        note = f"… and {left} more" if left > 0 else ""
        sections.append(Section("Errors and warnings", lines=tuple(marked[:MARKED_LINES]), note=note))
    last = tuple(lines[-LAST_LINES:])
    if last and any(line not in marked for line in last):
        note = f"All of it: reconcile logs {target}/{item['run']}"
        sections.append(Section("The end of the log", lines=last, note=note))
    subject = f"{icon(kind)} {kind}: {target}" + (f" – {reason}" if reason else "")
    return Page(cut(subject, SUBJECT_CHARACTERS), kind, target, lead, tuple(sections))


def _said(kind: str, item: Item) -> str:
    match kind:
        case "recovered" if not item.get("run"):
            return "is not overdue any more"
        case "recovered":
            return "is well again" + (", with warnings" if item.get("state") == "warning" else "")
        case "failure":
            return "failed"
        case "warning":
            return "ended with warnings"
        case "success":
            return "succeeded"
        case "overdue":
            return "is overdue"
        case "missed" if int(item.get("count") or 1) > 1:
            return f"missed {item['count']} slots"
        case "missed":
            return "missed a slot"
        case _:
            return f"was {kind}"


def _facts(item: Item, times: Times) -> Iterable[tuple[str, str]]:
    description = str(item.get("description") or "")
    if description:
        yield "Job", description
    yield from _slots(item, times)
    if item.get("started"):
        yield "Started", times.text(item["started"])
    if item.get("finished"):
        yield "Ended", times.text(item["finished"])
    if item.get("started") and item.get("finished"):
        took = span(item["finished"] - item["started"])
        usual = item.get("usual")
        yield "Took", took + (f" (usually {span(usual)})" if usual is not None else "")
    if item.get("exitCode") is not None:
        yield "Exit code", str(item["exitCode"])
    if item.get("signal") is not None:
        yield "Signal", str(item["signal"])
    if int(item.get("attempts") or 0) > 1:
        yield "Attempts", str(item["attempts"])
    if item.get("trigger"):
        yield "Started by", _started_by(item, times)
    if item.get("lines"):
        yield "Log", f"{plural(item['lines'], 'line')}, errors: {item['errors']}, warnings: {item['warnings']}"
    yield from _definition(item)
    if item.get("nextRun") is not None:
        yield "Next run", times.text(item["nextRun"])
    if item.get("run"):
        yield "Run", f"{item['target']}/{item['run']}"


def _slots(item: Item, times: Times) -> Iterable[tuple[str, str]]:
    if item.get("first") is None:
        return
    if int(item.get("count") or 1) == 1:
        yield "Slot", times.text(item["first"])
    else:
        yield "Slots", f"{item['count']}, from {times.text(item['first'])} to {times.text(item['last'])}"
    yield "Reason", str(item.get("reason") or "")


def _started_by(item: Item, times: Times) -> str:
    trigger = str(item["trigger"])
    slot = f", slot {times.text(item['slot'])}" if item.get("slot") else ""
    match trigger:
        case "schedule" | "catch-up":
            word = "the schedule" if trigger == "schedule" else "catch-up of the schedule"
            return f"{word} ({item.get('planning') or ''}){slot}"
        case "request":
            by = f" by {item['requester']}" if item.get("requester") else ""
            return f"a request{by}" + (f": {item['note']}" if item.get("note") else "")
        case _:
            return f"its criterion `{item.get('cause') or ''}`"


def _definition(item: Item) -> Iterable[tuple[str, str]]:
    if item.get("path"):
        yield "Defined in", str(item["path"])
    revision = str(item.get("revision") or "")
    if revision:
        author = f" by {item['author']}" if item.get("author") else ""
        yield "Revision", revision[:12] + (" with local edits" if item.get("dirty") else "") + author


def _lines(item: Item) -> list[Line]:
    least = RANK.get(str(item.get("level") or "info"), RANK["info"])
    found = []
    for text in str(item.get("tail") or "").split("\n"):
        if text.startswith("[gap: ") and text.endswith(" not kept]"):
            found.append(Line("gap", text))
            continue
        said = read_line(text.removesuffix("\r"))
        if said.text.strip() and RANK[said.level] >= least:
            found.append(Line(said.level, cut_line(said.text)))
    return found


# Several.


def _many(body: Mapping[str, Any], items: Sequence[Item], times: Times) -> Page:
    jobs = sorted({str(item["job"]) for item in items})
    name = jobs[0] if len(jobs) == 1 else f"{len(jobs)} jobs"
    kinds = by_kind(items)
    total = sum((body.get("members") or {}).values())
    every = {kind: body.get("kinds", {}).get(kind, len(found)) for kind, found in kinds}
    counted = ", ".join(f"{every[kind]} {PHRASES.get(kind, kind)}" for kind, _ in kinds)
    counted += f", of {total}" if total else ""
    if body.get("followUp") and body.get("style") == "group":
        counted += " (what came after the first report)"
    worst = kinds[0][0] if kinds else "success"
    sections = []
    running = sum((body.get("members") or {}).get(state, 0) for state in ("queued", "running"))
    if running:
        sections.append(
            Section(note=f"{running} of the runs have not ended yet; if one fails, a report follows.")
        )
    for kind, found in kinds:
        entries = tuple(Entry(kind, str(item["target"]), detail(item, times)) for item in found)
        title = f"{PHRASES.get(kind, kind).capitalize()} ({every[kind]})"
        note = f"… and {every[kind] - len(found)} more" if every[kind] > len(found) else ""
        sections.append(Section(title, entries=entries, note=note))
    for item in items:
        marked = [line for line in _lines(item) if line.level in ("error", "warning")] or _lines(item)
        if item["kind"] in ("failure", "interrupted", "warning") and marked:
            sections.append(Section(str(item["target"]), lines=tuple(marked[-LINES_OF_MANY:])))
    first = items[0] if items else {}
    if len(jobs) == 1 and first.get("trigger"):
        facts = [*_definition(first)]
        if first["trigger"] != "request" or first.get("requester"):
            facts.insert(0, ("Started by", _started_by(first, times)))
        sections.append(Section("The job", facts=tuple((label, cut(value)) for label, value in facts)))
    subject = f"{icon(worst)} {name}: {counted}"
    return Page(cut(subject, SUBJECT_CHARACTERS), worst, name, f"{name}: {counted}", tuple(sections))


def _test(host: str) -> Page:
    lead = "This is a test: reports of reconcile reach this address."
    return Page(f"{icon('test')} test of reconcile on {host}", "success", "It works", lead, ())


def _footer(body: Item, items: Sequence[Item], recipient: str, host: str) -> tuple[str, ...]:
    found = [f"Sent by reconcile on {host}."]
    places = list(dict.fromkeys(str(each["because"]) for each in (body, *items) if each.get("because")))
    if places:
        more = f" (and {len(places) - 3} more places)" if len(places) > 3 else ""
        found.append(
            f"You get this because {recipient} stands in {', '.join(places[:3])}{more}. To get no more: take it out "
            "there, or narrow `when`."
        )
    return tuple(found)

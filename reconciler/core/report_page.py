"""What a report says, as one value that mail in text and HTML, the terminal and webhooks render alike. Pure.

Log lines and messages come from outside: here they are cut and made visible (`core.logs.shown`); what a form needs
besides (escaping) is up to its renderer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from reconciler.core.icons import ICONS
from reconciler.core.logs import RANK, read_line, shown
from reconciler.core.units import format_duration

LINE_CHARACTERS: Final = 500
"""A longer line is cut."""
LAST_LINES: Final = 20
MARKED_LINES: Final = 30
LINES_OF_MANY: Final = 5
"""Error and warning lines of each target in a letter about several."""
SUBJECT_CHARACTERS: Final = 150

Item = Mapping[str, Any]

_COLOURS: Final = re.compile(r"\x1b\[[0-9;:]*m")
"""What programs write to colour a terminal; it only disturbs here."""
_ICONS: Final = {**ICONS, "recovered": "✔", "overdue": "!", "digest": "Σ", "test": "✉"}
_ORDER: Final = (
    "failure", "interrupted", "overdue", "missed", "warning", "cancelled", "skipped", "recovered", "success",
)  # fmt: skip
_PHRASES: Final = {
    "failure": "failed", "interrupted": "interrupted", "overdue": "overdue", "missed": "missed",
    "warning": "with warnings", "cancelled": "cancelled", "skipped": "skipped", "recovered": "recovered",
    "success": "succeeded",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log."""

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One target in a list."""

    kind: str
    title: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    title: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    entries: tuple[Entry, ...] = ()
    lines: tuple[Line, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    subject: str
    kind: str
    title: str
    lead: str
    sections: tuple[Section, ...]
    footer: tuple[str, ...] = ()


def icon(kind: str) -> str:
    return _ICONS.get(kind, "•")


def page_of(body: Mapping[str, Any], recipient: str, host: str) -> Page:
    """Write the page of a letter (`ports.notifier.Parcel.body`)."""
    times = _Times(str(body.get("zone") or "UTC"))
    items: Sequence[Item] = body.get("items", ())
    style = body.get("style")
    if style == "test":
        page = _test(host)
    elif style == "digest":
        page = _digest(body, items, times)
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


class _Times:
    """Instants as people read them, on the installation's clock."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)

    def text(self, seconds: Any) -> str:
        if seconds is None:
            return ""
        local = datetime.fromtimestamp(float(seconds), UTC).astimezone(self._zone)
        return local.strftime("%a %d %b %Y %H:%M:%S %Z")

    def short(self, seconds: Any) -> str:
        return datetime.fromtimestamp(float(seconds), UTC).astimezone(self._zone).strftime("%d %b %H:%M")


def _cut(text: str, most: int = LINE_CHARACTERS) -> str:
    text = shown(_COLOURS.sub("", " ".join(text[: 8 * most].split("\n"))))
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more)"


def _line(text: str) -> str:
    text = _COLOURS.sub("", text) if len(text) < 100 * LINE_CHARACTERS else text
    rest = len(text) - LINE_CHARACTERS
    return shown(text) if rest <= 0 else f"{shown(text[:LINE_CHARACTERS])}… ({rest} characters more)"


def _span(seconds: Any) -> str:
    value = max(0.0, float(seconds))
    return format_duration(round(value, 2) if value < 10 else round(value))


# One run.


def _one(item: Item, times: _Times) -> Page:
    kind, target = str(item["kind"]), str(item["target"])
    why = _why(item)
    lead = f"{target} {_said(kind, item)}" + (f": {why}" if why else "")
    failures = int(item.get("failures") or 0)
    if kind in ("failure", "interrupted") and failures > 1:
        lead += f" ({failures} times in a row)"
    sections = [Section(facts=tuple((label, _cut(value)) for label, value in _facts(item, times)))]
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
    subject = f"{icon(kind)} {kind}: {target}" + (f" – {why}" if why else "")
    return Page(_cut(subject, SUBJECT_CHARACTERS), kind, target, lead, tuple(sections))


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


def _why(item: Item) -> str:
    reason, message = str(item.get("reason") or ""), str(item.get("message") or "")
    if item.get("kind") == "recovered":
        return "" if not item.get("run") else _cut(message)
    return _cut(message) or reason


def _facts(item: Item, times: _Times) -> Iterable[tuple[str, str]]:
    description = str(item.get("description") or "")
    if description:
        yield "Job", description
    yield from _slots(item, times)
    if item.get("started"):
        yield "Started", times.text(item["started"])
    if item.get("finished"):
        yield "Ended", times.text(item["finished"])
    if item.get("started") and item.get("finished"):
        took = _span(item["finished"] - item["started"])
        usual = item.get("usual")
        yield "Took", took + (f" (usually {_span(usual)})" if usual is not None else "")
    if item.get("exitCode") is not None:
        yield "Exit code", str(item["exitCode"])
    if item.get("signal") is not None:
        yield "Signal", str(item["signal"])
    if int(item.get("attempts") or 0) > 1:
        yield "Attempts", str(item["attempts"])
    if item.get("trigger"):
        yield "Started by", _started_by(item, times)
    if item.get("lines"):
        yield "Log", f"{item['lines']} lines, errors: {item['errors']}, warnings: {item['warnings']}"
    yield from _definition(item)
    if item.get("nextRun") is not None:
        yield "Next run", times.text(item["nextRun"])
    if item.get("run"):
        yield "Run", f"{item['target']}/{item['run']}"


def _slots(item: Item, times: _Times) -> Iterable[tuple[str, str]]:
    if item.get("first") is None:
        return
    if int(item.get("count") or 1) == 1:
        yield "Slot", times.text(item["first"])
    else:
        yield "Slots", f"{item['count']}, from {times.text(item['first'])} to {times.text(item['last'])}"
    yield "Reason", str(item.get("reason") or "")


def _started_by(item: Item, times: _Times) -> str:
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
            found.append(Line(said.level, _line(said.text)))
    return found


# Several.


def _many(body: Mapping[str, Any], items: Sequence[Item], times: _Times) -> Page:
    jobs = sorted({str(item["job"]) for item in items})
    name = jobs[0] if len(jobs) == 1 else f"{len(jobs)} jobs"
    kinds = _by_kind(items)
    total = sum((body.get("members") or {}).values())
    every = {kind: body.get("kinds", {}).get(kind, len(found)) for kind, found in kinds}
    counted = ", ".join(f"{every[kind]} {_PHRASES.get(kind, kind)}" for kind, _ in kinds)
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
        entries = tuple(Entry(kind, str(item["target"]), _detail(item, times)) for item in found)
        title = f"{_PHRASES.get(kind, kind).capitalize()} ({every[kind]})"
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
        sections.append(Section("The job", facts=tuple((label, _cut(value)) for label, value in facts)))
    subject = f"{icon(worst)} {name}: {counted}"
    return Page(_cut(subject, SUBJECT_CHARACTERS), worst, name, f"{name}: {counted}", tuple(sections))


def _detail(item: Item, times: _Times) -> str:
    parts = [_why(item)]
    if int(item.get("count") or 1) > 1:
        parts.append(f"{item['count']} times")
    if item.get("started") and item.get("finished"):
        parts.append(f"took {_span(item['finished'] - item['started'])}")
    parts.append(times.short(item.get("at", 0)))
    return ", ".join(part for part in parts if part)


def _by_kind(items: Sequence[Item]) -> list[tuple[str, list[Item]]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(str(item["kind"]), []).append(item)
    return sorted(found.items(), key=lambda pair: _ORDER.index(pair[0]) if pair[0] in _ORDER else len(_ORDER))


# A digest.


def _digest(body: Mapping[str, Any], items: Sequence[Item], times: _Times) -> Page:
    values = body["digest"]
    kinds = dict(_by_kind(items))
    sections = []
    for kind in _ORDER:
        found = kinds.get(kind, [])
        if found:
            title = "New failures" if kind == "failure" else _PHRASES[kind].capitalize()
            entries = tuple(Entry(kind, str(item["target"]), _detail(item, times)) for item in found)
            sections.append(Section(f"{title} ({len(found)})", entries=entries))
    lists = (
        ("Still failing", "failure", "failing", _still),
        (
            "Overdue",
            "overdue",
            "overdue",
            lambda item, _: "never ran" if item["never"] else str(item["message"]),
        ),
        ("Never ran yet", "skipped", "never", lambda item, _: ""),
    )
    for title, kind, name, detail in lists:
        found = values[name]
        if found:
            count = values[f"{name}Count"]
            note = f"… and {count - len(found)} more" if count > len(found) else ""
            entries = tuple(Entry(kind, item["target"], _cut(detail(item, times))) for item in found)
            sections.append(Section(f"{title} ({count})", entries=entries, note=note))
    if values["slower"]:
        entries = tuple(
            Entry(
                "warning", item["target"], f"took {_span(item['duration'])}, usually {_span(item['usual'])}"
            )
            for item in values["slower"]
        )
        sections.append(Section("Slower than usual", entries=entries))
    news = [f"{len(found)} {_PHRASES[kind]}" for kind, found in kinds.items() if kind in _PHRASES]
    if values["failingCount"]:
        news.append(f"{values['failingCount']} still failing")
    if values["overdueCount"] and "overdue" not in kinds:
        news.append(f"{values['overdueCount']} overdue")
    said = ", ".join(news) or "all is well"
    period = str(body["period"]).split()[0]
    since, until = times.short(body["since"]), times.short(body["until"])
    lead = f"{values['targetCount']} targets from {since} to {until}: {said}."
    worst = next((kind for kind in _ORDER if kinds.get(kind)), "failure" if values["failing"] else "success")
    return Page(
        _cut(f"{icon('digest')} {period} digest: {said}", SUBJECT_CHARACTERS), worst, f"{period} digest".capitalize(),
        lead, tuple(sections),
    )  # fmt: skip


def _still(item: Item, times: _Times) -> str:
    since = f"since {times.short(item['since'])}, " if item.get("since") else ""
    return f"{since}{item['failures']} in a row: {item['message']}"


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

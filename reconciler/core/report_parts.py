"""What reports are made of: sections, entries and lines, and how instants, spans and texts from outside are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from reconciler.core.icons import ICONS
from reconciler.core.logs import shown
from reconciler.core.units import format_duration

LINE_CHARACTERS: Final = 500
"""A longer line is cut."""
SUBJECT_CHARACTERS: Final = 150

Item = Mapping[str, Any]
"""What a letter says of one target."""

_COLOURS: Final = re.compile(r"\x1b\[[0-9;:]*m")
"""What programs write to colour a terminal; it only disturbs here."""
_ICONS: Final = {**ICONS, "recovered": "✔", "overdue": "!", "digest": "Σ", "test": "✉"}
ORDER: Final = (
    "failure", "interrupted", "overdue", "missed", "warning", "cancelled", "skipped", "recovered", "success",
)  # fmt: skip
PHRASES: Final = {
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


class Times:
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


def cut(text: str, most: int = LINE_CHARACTERS) -> str:
    text = shown(_COLOURS.sub("", " ".join(text[: 8 * most].split("\n"))))
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more)"


def cut_line(text: str) -> str:
    text = _COLOURS.sub("", text) if len(text) < 100 * LINE_CHARACTERS else text
    rest = len(text) - LINE_CHARACTERS
    return shown(text) if rest <= 0 else f"{shown(text[:LINE_CHARACTERS])}… ({rest} characters more)"


def span(seconds: Any) -> str:
    value = max(0.0, float(seconds))
    return format_duration(round(value, 2) if value < 10 else round(value))


def why(item: Item) -> str:
    reason, message = str(item.get("reason") or ""), str(item.get("message") or "")
    if item.get("kind") == "recovered":
        return "" if not item.get("run") else cut(message)
    return cut(message) or reason


def detail(item: Item, times: Times) -> str:
    parts = [why(item)]
    if int(item.get("count") or 1) > 1:
        parts.append(f"{item['count']} times")
    if item.get("started") and item.get("finished"):
        parts.append(f"took {span(item['finished'] - item['started'])}")
    parts.append(times.short(item.get("at", 0)))
    return ", ".join(part for part in parts if part)


def by_kind(items: Sequence[Item]) -> list[tuple[str, list[Item]]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(str(item["kind"]), []).append(item)
    return sorted(found.items(), key=lambda pair: ORDER.index(pair[0]) if pair[0] in ORDER else len(ORDER))

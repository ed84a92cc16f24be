"""iCalendar (RFC 5545): coming runs as a feed to subscribe to, and the events of a calendar file.

What is read is what holidays and closures are made of. Whatever would change the meaning and is not understood is
refused with its line, never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from reconciler.core.forecast import UNMEASURED_SECONDS, Coming, Outlook
from reconciler.core.model import INSTALLATION, TargetId
from reconciler.core.zones import FIRST_YEAR, LAST_YEAR, wall_seconds

_FOLD: Final = 75


class IcsError(ValueError):
    """A calendar file that cannot be read: `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


def calendar_text(
    comings: Iterable[Coming], durations: Mapping[TargetId, float], name: str, stamp: datetime
) -> str:
    """Write coming slots as a calendar; those that do not run are cancelled events.

    Each event keeps its UID as long as its target and slot are the same, so that a subscriber follows changes.
    `durations` are seconds; `stamp` says when this was computed.
    """
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//reconciler//forecast//EN"]
    lines.append(f"X-WR-CALNAME:{_escaped(name)}")
    for coming in comings:
        seconds = max(1, round(durations.get(coming.target, UNMEASURED_SECONDS)))
        lines += [
            "BEGIN:VEVENT",
            f"UID:{_utc(coming.slot)}-{coming.target.job}-{coming.target.domain or INSTALLATION}@reconciler",
            f"DTSTAMP:{_utc(stamp)}",
            f"DTSTART:{_utc(coming.at)}",
            f"DURATION:PT{seconds}S",
            f"SUMMARY:{_escaped(str(coming.target))}",
            f"STATUS:{'CONFIRMED' if coming.state is Outlook.RUN else 'CANCELLED'}",
            "TRANSP:TRANSPARENT",
        ]
        if coming.notes:
            lines.append(f"DESCRIPTION:{_escaped('; '.join(coming.notes))}")
        lines.append("END:VEVENT")
    lines.append("END:VCALENDAR")
    return "".join(_folded(line) for line in lines)


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _escaped(text: str) -> str:
    return re.sub(r"([\\;,])", r"\\\1", text).replace("\n", "\\n")


def _folded(line: str) -> str:
    """A content line of at most 75 octets each, cut between characters (RFC 5545, 3.1)."""
    parts: list[str] = []
    part, size = "", 0
    for character in line:
        octets = len(character.encode())
        if size + octets > _FOLD:
            parts.append(part)
            part, size = " ", 1
        part += character
        size += octets
    return "\r\n".join([*parts, part]) + "\r\n"


class IcsTime(NamedTuple):
    """A time as an event writes it: a wall time in `zone` ("" is the reader's), and whether it is a whole day."""

    wall: int
    zone: str
    is_day: bool


@dataclass(slots=True)
class Event:
    """One VEVENT; `rule` is the text of its RRULE, "" where it happens once."""

    line: int
    uid: str = ""
    start: IcsTime | None = None
    end: IcsTime | None = None
    duration_seconds: int | None = None
    rule: str = ""
    added: list[IcsTime] = field(default_factory=list)
    left_out: list[IcsTime] = field(default_factory=list)
    replaces: IcsTime | None = None
    cancelled: bool = False

    @property
    def first(self) -> IcsTime:
        """When it starts for the first time."""
        if self.start is None:
            raise IcsError("the event has no DTSTART", self.line)
        return self.start


class _Line(NamedTuple):
    number: int
    name: str
    parameters: dict[str, str]
    value: str


def read_events(text: str) -> list[Event]:
    """Read the VEVENTs of a calendar, with the occurrences that others replace taken out of them.

    Raise IcsError at what is not understood.
    """
    events: list[Event] = []
    stack: list[str] = []
    for line in _lines(text):
        if line.name == "BEGIN":
            stack.append(line.value.upper())
            if stack[-1] == "VEVENT":
                events.append(Event(line.number))
        elif line.name == "END":
            if not stack or stack.pop() != line.value.upper():
                raise IcsError(f"END:{line.value} ends nothing that began", line.number)
        elif not stack:
            raise IcsError("a calendar begins with BEGIN:VCALENDAR", line.number)
        elif stack[-1] == "VEVENT":
            _take(events[-1], line)
    if stack:
        raise IcsError(f"the {stack[-1]} has no end", text.count("\n") + 1)
    return _with_replacements(events)


def _with_replacements(events: list[Event]) -> list[Event]:
    """Let a changed occurrence stand for itself, no longer for its series; leave out what was called off."""
    for event in events:
        if event.replaces is not None:
            for series in events:
                if series.uid == event.uid and series.rule:
                    series.left_out.append(event.replaces)
    return [event for event in events if not event.cancelled]


def _lines(text: str) -> Iterator[_Line]:
    """Content lines, unfolded; a line keeps the number where it began."""
    number, content = 0, ""
    for at, raw in enumerate(re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff")), 1):
        if raw[:1] in (" ", "\t"):
            content += raw[1:]
            continue
        if content.strip():
            yield _parsed(content, number)
        number, content = at, raw
    if content.strip():
        yield _parsed(content, number)


_PROPERTY = re.compile(r'([A-Za-z0-9-]+)((?:;[A-Za-z0-9-]+=(?:"[^"]*"|[^";:])*)*):(.*)', re.DOTALL)
_PARAMETER = re.compile(r';([A-Za-z0-9-]+)=("[^"]*"|[^";:]*)')


def _parsed(content: str, number: int) -> _Line:
    match = _PROPERTY.fullmatch(content)
    if match is None:
        raise IcsError(f"`{content[:40]}` is not a line of a calendar (NAME:value)", number)
    name, parameters, value = match.groups()
    found = {key.upper(): word.strip('"') for key, word in _PARAMETER.findall(parameters)}
    return _Line(number, name.upper(), found, value)


def _take(event: Event, line: _Line) -> None:
    """Put one property into its event; descriptive ones have no part in when it happens."""
    match line.name:
        case "UID":
            event.uid = line.value
        case "DTSTART":
            event.start = _time(line, line.value)
        case "DTEND":
            event.end = _time(line, line.value)
        case "DURATION":
            event.duration_seconds = _duration(line)
        case "RRULE":
            if event.rule:
                raise IcsError("a second RRULE is not supported", line.number)
            event.rule = line.value
        case "RDATE":
            event.added += [_time(line, value) for value in line.value.split(",")]
        case "EXDATE":
            event.left_out += [_time(line, value) for value in line.value.split(",")]
        case "RECURRENCE-ID":
            if "RANGE" in line.parameters:
                raise IcsError("RECURRENCE-ID with a RANGE is not supported", line.number)
            event.replaces = _time(line, line.value)
        case "EXRULE":
            raise IcsError("EXRULE is not supported; list the dates as EXDATE", line.number)
        case "STATUS":
            event.cancelled = line.value.strip().upper() == "CANCELLED"


def _time(line: _Line, value: str) -> IcsTime:
    match = re.fullmatch(r"(\d{8})(?:T(\d{6})(Z?))?", value.strip(), re.ASCII)
    if match is None:
        raise IcsError(f"`{value}` is not a date or a time", line.number)
    day, time, utc = match.groups()
    if not FIRST_YEAR <= int(day[:4]) <= LAST_YEAR:
        raise IcsError(f"`{value}` is not between {FIRST_YEAR} and {LAST_YEAR}", line.number)
    try:
        moment = datetime.strptime(day + (time or "000000"), "%Y%m%d%H%M%S")  # noqa: DTZ007 - a wall time
    except ValueError as error:
        raise IcsError(f"`{value}` is not a date or a time", line.number) from error
    zone = "" if time is None else "UTC" if utc else line.parameters.get("TZID", "")
    return IcsTime(wall_seconds(moment), zone, time is None)


_DURATION = re.compile(
    r"\+?P(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?", re.ASCII
)


def _duration(line: _Line) -> int:
    match = _DURATION.fullmatch(line.value.strip())
    if match is None:
        raise IcsError(f"`{line.value}` is not a duration of an event", line.number)
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return int(
        timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    )

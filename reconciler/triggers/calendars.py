"""Calendars: which stretches of time a schedule's `calendars: {skip, only}` leave out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from reconciler.core.ics import IcsError
from reconciler.core.zones import DAY, FIRST_YEAR, LAST_YEAR, Zone, instant_seconds, wall_seconds
from reconciler.triggers.errors import ScheduleError
from reconciler.triggers.events import Repeated, stretches_of


@dataclass(frozen=True, slots=True)
class Calendar:
    """Stretches [start, end) of instants, sorted and apart, and events that repeat."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    repeated: tuple[Repeated, ...] = ()

    def covers(self, instant: int) -> bool:
        """Whether `instant` lies in the calendar."""
        place = bisect_right(self.starts, instant)
        if place > 0 and instant < self.ends[place - 1]:
            return True
        return any(event.covers(instant) for event in self.repeated)


@dataclass(frozen=True, slots=True)
class Calendars:
    """The calendars of one schedule, by name."""

    skip: tuple[tuple[str, Calendar], ...] = ()
    only: tuple[tuple[str, Calendar], ...] = ()

    def left_out(self, slot: int) -> str | None:
        """Say `skipped: NAME` or `not in: NAMES` when a slot is left out, None when it stands."""
        for name, calendar in self.skip:
            if calendar.covers(slot):
                return f"skipped: {name}"
        if self.only and not any(calendar.covers(slot) for _, calendar in self.only):
            return f"not in: {', '.join(name for name, _ in self.only)}"
        return None


def compile_calendar(spec: Mapping[str, Any], zone: Zone) -> Calendar:
    """Make a calendar out of its canonical spec; bare dates and times without offset lie in `zone`.

    Raise ScheduleError whose field is a path within the Calendar's spec.
    """
    stretches: list[tuple[int, int]] = []
    for number, text in enumerate(spec.get("dates") or ()):
        stretches.append(day_of(text, f"dates.{number}", zone))
    for number, window in enumerate(spec.get("windows") or ()):
        stretches.append(_window(window, f"windows.{number}", zone))
    repeated: list[Repeated] = []
    if spec.get("icsText"):
        try:
            once, repeated = stretches_of(str(spec["icsText"]), zone)
        except IcsError as error:
            raise ScheduleError(f"the calendar file, {error}", "ics") from error
        stretches += once
    return _merged(stretches, tuple(repeated))


def _window(window: Any, field: str, zone: Zone) -> tuple[int, int]:
    if not isinstance(window, Mapping) or "start" not in window or "end" not in window:
        raise ScheduleError("a window has a `start` and an `end`", field)
    start = moment_of(window["start"], f"{field}.start", zone)[0]
    end = moment_of(window["end"], f"{field}.end", zone)[1]
    if end <= start:
        raise ScheduleError(f"the window ends at {window['end']}, before it starts", f"{field}.end")
    return start, end


def _merged(stretches: Sequence[tuple[int, int]], repeated: tuple[Repeated, ...]) -> Calendar:
    starts: list[int] = []
    ends: list[int] = []
    for start, end in sorted(stretches):
        if ends and start <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        elif end > start:
            starts.append(start)
            ends.append(end)
    return Calendar(tuple(starts), tuple(ends), repeated)


def day_of(text: Any, field: str, zone: Zone) -> tuple[int, int]:
    """The day of a bare date, from its first instant to the first of the next day."""
    try:
        day = date.fromisoformat(str(text))
    except ValueError as error:
        raise ScheduleError(f"`{text}` is not a date", field, "write year-month-day: 2026-12-25") from error
    _check_year(day.year, text, field)
    start = wall_seconds(datetime(day.year, day.month, day.day))  # noqa: DTZ001 - a wall time
    return zone.instant_of(start), zone.instant_of(start + DAY)


def moment_of(text: Any, field: str, zone: Zone) -> tuple[int, int]:
    """A time, or a bare date, as the instants where it begins and where it is over (a time: the same)."""
    word = str(text)
    if len(word) <= 10:
        return day_of(word, field, zone)
    try:
        moment = datetime.fromisoformat(word)
    except ValueError as error:
        hint = "write 2026-12-01, 2026-12-01T18:00 or 2026-12-01T18:00+01:00"
        raise ScheduleError(f"`{text}` is not a time", field, hint) from error
    _check_year(moment.year, text, field)
    instant = zone.instant_of(wall_seconds(moment)) if moment.tzinfo is None else instant_seconds(moment)
    return instant, instant


def _check_year(year: int, text: Any, field: str) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        hint = f"write a year from {FIRST_YEAR} to {LAST_YEAR}"
        raise ScheduleError(f"`{text}` is not in our time", field, hint)

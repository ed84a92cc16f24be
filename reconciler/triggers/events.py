"""The events of a calendar file as stretches of time, repeated ones included."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from math import prod
from typing import Any, Final

from reconciler.core.ics import Event, IcsError, IcsTime, read_events
from reconciler.core.zones import DAY, LAST_YEAR, Zone, wall_moment, wall_seconds
from reconciler.core.zones import zone as find_zone

MAX_A_DAY: Final = 24
MAX_COUNT: Final = 10_000
"""Whoever may write a calendar must not be able to keep the reconciler busy with it."""
_FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")

Stretch = tuple[int, int]
"""Instants, [start, end)."""


class Occurrence:
    """How one occurrence of an event lies in time: whole days on its zone's clock, or a number of seconds."""

    __slots__ = ("seconds", "whole_days", "zone")

    def __init__(self, event: Event, reader: Zone) -> None:
        start = event.first
        self.zone = _zone(start, event, reader)
        self.whole_days = start.is_day
        if event.duration_seconds is not None:
            self.seconds = event.duration_seconds
        elif event.end is None:
            self.seconds = DAY if start.is_day else 0
        elif start.is_day or event.end.is_day:
            self.seconds = event.end.wall - start.wall
        else:
            ends = _zone(event.end, event, reader).instant_of(event.end.wall)
            self.seconds = ends - self.zone.instant_of(start.wall)
        if self.seconds < 0:
            raise IcsError("the event ends before it starts", event.line)

    def at(self, wall: int) -> Stretch:
        """The stretch of the occurrence that begins at a wall time."""
        start = self.zone.instant_of(wall)
        return start, self.zone.instant_of(wall + self.seconds) if self.whole_days else start + self.seconds


class Repeated:
    """An event that repeats: its stretches are found a year at a time, when they are asked for."""

    __slots__ = ("_left_out", "_occurrence", "_rule", "_years")

    def __init__(self, rule: Any, occurrence: Occurrence, left_out: frozenset[int]) -> None:
        self._rule = rule
        self._occurrence = occurrence
        self._left_out = left_out
        self._years: dict[int, tuple[Stretch, ...]] = {}

    def covers(self, instant: int) -> bool:
        """Whether `instant` lies in one of its occurrences."""
        wall = self._occurrence.zone.wall(instant)
        first = wall_moment(wall - self._occurrence.seconds - DAY).year
        last = min(wall_moment(wall + DAY).year, LAST_YEAR)
        return any(
            start <= instant < end for year in range(first, last + 1) for start, end in self._stretches(year)
        )

    def _stretches(self, year: int) -> tuple[Stretch, ...]:
        known = self._years.get(year)
        if known is None:
            bounds = datetime(year, 1, 1), datetime(year, 12, 31, 23, 59, 59)  # noqa: DTZ001 - wall times
            begins = [wall_seconds(moment) for moment in self._rule.between(*bounds, inc=True)]
            stretches = (self._occurrence.at(wall) for wall in begins)
            known = tuple(stretch for stretch in stretches if stretch[0] not in self._left_out)
            self._years[year] = known
        return known


def stretches_of(text: str, reader: Zone) -> tuple[list[Stretch], list[Repeated]]:
    """What the events of a calendar file cover: once, and again and again. Floating times are in `reader`'s zone.

    Raise IcsError at what is not understood.
    """
    once: list[Stretch] = []
    repeated: list[Repeated] = []
    for event in read_events(text):
        occurrence = Occurrence(event, reader)
        left_out = frozenset(_zone(time, event, reader).instant_of(time.wall) for time in event.left_out)
        added = [_zone(time, event, reader).instant_of(time.wall) for time in event.added]
        if event.rule:
            if occurrence.seconds > 366 * DAY:
                raise IcsError("an event that repeats lasts no longer than a year", event.line)
            repeated.append(Repeated(_rule(event, occurrence.zone), occurrence, left_out))
        else:
            added.append(occurrence.zone.instant_of(event.first.wall))
        walls = [occurrence.zone.wall(instant) for instant in added if instant not in left_out]
        once += [occurrence.at(wall) for wall in walls]
    return once, repeated


def _zone(time: IcsTime, event: Event, reader: Zone) -> Zone:
    if not time.zone:
        return reader
    try:
        return find_zone(time.zone)
    except KeyError as error:
        raise IcsError(f"`{time.zone}` is no IANA time zone, such as Europe/Paris", event.line) from error


def _rule(event: Event, zone: Zone) -> Any:
    """The RRULE of an event over naive wall times, ended by LAST_YEAR, so that no rule is searched for ever."""
    from dateutil.rrule import rrulestr

    parts = dict(part.partition("=")[::2] for part in event.rule.upper().strip().rstrip(";").split(";"))
    if parts.get("FREQ") not in _FREQUENCIES:
        raise IcsError(f"RRULE needs a FREQ of {', '.join(_FREQUENCIES)}", event.line)
    if not parts.get("INTERVAL", "1").strip("0").isdigit():
        raise IcsError("RRULE: INTERVAL is 1 or more", event.line)
    if prod(len(parts.get(name, "").split(",")) for name in ("BYHOUR", "BYMINUTE", "BYSECOND")) > MAX_A_DAY:
        raise IcsError(f"RRULE: it repeats more than {MAX_A_DAY} times a day", event.line)
    start = wall_moment(event.first.wall)
    count = parts.pop("COUNT", "")
    parts["UNTIL"] = _until(parts.get("UNTIL", ""), event, zone)
    try:
        rule = rrulestr(";".join(f"{key}={value}" for key, value in parts.items()), dtstart=start)
        if not count:
            return rule
        if int(count) > MAX_COUNT:
            raise IcsError(f"RRULE: COUNT is at most {MAX_COUNT:,}; write UNTIL", event.line)
        counted = list(islice(rule, int(count)))
        parts["UNTIL"] = f"{counted[-1] if counted else start:%Y%m%dT%H%M%S}"
        return rrulestr(";".join(f"{key}={value}" for key, value in parts.items()), dtstart=start)
    except (ValueError, TypeError, AttributeError) as error:
        raise IcsError(f"`RRULE:{event.rule}` is not understood: {error}", event.line) from error


def _until(value: str, event: Event, zone: Zone) -> str:
    """UNTIL as a naive wall time of the event's zone, no later than the end of all repetition."""
    latest = f"{LAST_YEAR}1231T235959"
    if not value:
        return latest
    try:
        moment = datetime.strptime(value.rstrip("Z")[:15], "%Y%m%dT%H%M%S" if "T" in value else "%Y%m%d")  # noqa: DTZ007
    except ValueError as error:
        raise IcsError(f"RRULE: UNTIL={value} is not a date or a time", event.line) from error
    if "T" not in value:
        return min(f"{moment:%Y%m%d}T235959", latest)
    if value.endswith("Z"):
        moment = wall_moment(zone.wall(wall_seconds(moment)))
    return min(f"{moment:%Y%m%dT%H%M%S}", latest)

"""systemd's calendar events (systemd.time(7)) as schedule blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

from reconciler.core.zones import zone as find_zone

_SHORTHANDS = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKDAYS = re.compile(r"[a-z]{3,9}(?:(?:\.\.|-|,)[a-z]{3,9})*,?", re.IGNORECASE)
_DATE = re.compile(r"(?:([^-~]+)-)?([^-~]+)([-~])([^-~]+)")
_PART = re.compile(r"(\d+)(?:\.\.(\d+))?(?:/(\d+))?", re.ASCII)
_MOST_TIMES = 6
"""More times of the day than this read better as a cron expression."""

Values = frozenset[int] | None


class NotCarried(ValueError):
    """Why an event has no equal among our schedules."""


@dataclass(frozen=True, slots=True)
class Event:
    """One calendar event; None is every value. `last` counts days from a month's end, 1 is the last."""

    weekdays: Values = None
    years: Values = None
    months: Values = None
    days: Values = None
    last: Values = None
    hours: Values = frozenset({0})
    minutes: Values = frozenset({0})
    seconds: Values = frozenset({0})
    zone: str = ""

    @property
    def every_date(self) -> bool:
        return self.years is None and self.months is None and self.days is None and self.last is None

    @property
    def times(self) -> list[str]:
        """Its times of the day, or [] when they are more than a list should hold."""
        if self.hours is None or self.minutes is None or self.seconds != frozenset({0}):
            return []
        if len(self.hours) * len(self.minutes) > _MOST_TIMES:
            return []
        return [f"{hour:02}:{minute:02}" for hour, minute in product(sorted(self.hours), sorted(self.minutes))]


def parse(text: str) -> Event:
    """Read an event; raise NotCarried for what systemd refuses too, and for what we cannot say."""
    words = text.split()
    if not words:
        raise NotCarried("there is no calendar event")
    zone = ""
    if len(words) > 1 and _is_zone(words[-1]):
        zone = words.pop()
    if len(words) == 1 and words[0].lower() in _SHORTHANDS:
        words = _SHORTHANDS[words[0].lower()].split()
    weekdays: Values = None
    if words and _WEEKDAYS.fullmatch(words[0]):
        weekdays = _weekdays(words.pop(0))
    date, time = "*-*-*", "00:00:00"
    for word in words:
        if ":" in word:
            time = word
        elif _DATE.fullmatch(word):
            date = word
        else:
            raise NotCarried(f"`{text}` is no calendar event that is known here")
    match = _DATE.fullmatch(date)
    parts = time.split(":")
    if match is None or len(parts) not in (2, 3) or len(words) > 2:
        raise NotCarried(f"`{text}` is no calendar event that is known here")
    year, month, mark, day = match.groups()
    hour, minute, second = [*parts, "0"][:3]
    return Event(
        weekdays,
        _values(year or "*", 1970, 2199),
        _values(month, 1, 12),
        _values(day, 1, 31) if mark == "-" else None,
        _last_days(day) if mark == "~" else None,
        _values(hour, 0, 23),
        _values(minute, 0, 59),
        _values(second, 0, 59),
        zone,
    )


def _is_zone(word: str) -> bool:
    try:
        return word[0].isalpha() and bool(find_zone(word))
    except KeyError:
        return False


def schedules(events: Sequence[Event]) -> list[dict[str, Any]]:
    """The schedule blocks of a timer, `dst` and zone included: one where one can say it all, else several."""
    merged = _merged(events)
    return [merged] if merged else [_schedule(event) for event in events]


def _merged(events: Sequence[Event]) -> dict[str, Any] | None:
    """Times of the same days, or days with the same times, are one weekly schedule."""
    first = events[0]
    if any(not event.every_date or event.zone != first.zone or not event.times for event in events):
        return None
    weekdays = first.weekdays
    if any(event.weekdays != weekdays for event in events):
        if any(event.times != first.times for event in events):
            return None
        weekdays = _union(event.weekdays for event in events)
    weekly: dict[str, Any] = {}
    if weekdays is not None:
        weekly["days"] = [_DAYS[day] for day in sorted(weekdays)]
    weekly["times"] = sorted({time for event in events for time in event.times})
    return {"weekly": weekly} | _clock(first)


def _union(sets: Iterable[Values]) -> Values:
    found: frozenset[int] = frozenset()
    for values in sets:
        if values is None:
            return None
        found |= values
    return found


def _schedule(event: Event) -> dict[str, Any]:
    if merged := _merged([event]):
        return merged
    seconds = "" if event.seconds == frozenset({0}) else _field(event.seconds, 0, 59) + " "
    times = f"{seconds}{_field(event.minutes, 0, 59)} {_field(event.hours, 0, 23)}"
    days, weekdays = _day_fields(event)
    expression = f"{times} {days} {_field(event.months, 1, 12)} {weekdays}"
    return {"cron": expression} | _clock(event) | _years(event.years)


def _clock(event: Event) -> dict[str, Any]:
    """systemd passes over what a clock change leaves out, and takes the first of what it repeats."""
    if event.zone == "UTC":
        return {"timeZone": "UTC"}
    return {"timeZone": event.zone, "dst": "skip"} if event.zone else {"dst": "skip"}


def _years(years: Values) -> dict[str, Any]:
    if years is None:
        return {}
    low, high = min(years), max(years)
    if len(years) != high - low + 1:
        raise NotCarried("its years are no single range, as `from` and `until` say one")
    return {"from": f"{low}-01-01"} | ({"until": f"{high}-12-31"} if high < 2199 else {})


def _day_fields(event: Event) -> tuple[str, str]:
    """The day fields of cron, which mean "or" unless one begins with `*`; systemd always means "and"."""
    weekdays = ",".join(_DAYS[day] for day in sorted(event.weekdays)) if event.weekdays is not None else "*"
    if event.weekdays is not None and len(event.weekdays) > 2:
        weekdays = _field(frozenset(day + 1 for day in event.weekdays), 1, 7)
    if event.last is not None:
        if event.weekdays is None:
            return ",".join("L" if back == 1 else f"L-{back - 1}" for back in sorted(event.last)), "*"
        if event.last == frozenset(range(1, 8)):
            return "*", ",".join(f"{_DAYS[day]}L" for day in sorted(event.weekdays))
        raise NotCarried("cron cannot say `on these weekdays, if they are these last days of a month`")
    days = _field(event.days, 1, 31)
    if event.weekdays is None or event.days is None or days.startswith("*"):
        return days, weekdays
    for week in range(1, 6):
        if event.days == frozenset(range(7 * week - 6, min(7 * week, 31) + 1)):
            return "*", ",".join(f"{_DAYS[day]}#{week}" for day in sorted(event.weekdays))
    raise NotCarried("cron reads a day of the month and a weekday as `or`, where systemd means `and`")


def _field(values: Values, low: int, high: int) -> str:
    """The shortest usual form of a set of numbers."""
    if values is None:
        return "*"
    ordered = sorted(values)
    if len(ordered) < 3:
        return ",".join(map(str, ordered))
    step = ordered[1] - ordered[0]
    if any(later - earlier != step for earlier, later in pairwise(ordered)):
        return ",".join(map(str, ordered))
    if step == 1:
        return f"{ordered[0]}-{ordered[-1]}"
    if ordered[0] == low and ordered[-1] + step > high:
        return f"*/{step}"
    return f"{ordered[0]}-{ordered[-1]}/{step}"


def _weekdays(word: str) -> Values:
    found: set[int] = set()
    for item in word.strip(",").split(","):
        first, _, last = item.replace("..", "-").partition("-")
        low, high = _weekday(first), _weekday(last or first)
        if low > high:
            raise NotCarried(f"`{item}` runs over the end of the week")
        found |= set(range(low, high + 1))
    return frozenset(found)


def _weekday(word: str) -> int:
    for names in (_DAYS, _LONG_DAYS):
        if word.lower() in names:
            return names.index(word.lower())
    raise NotCarried(f"`{word}` is not a day of the week")


def _values(word: str, low: int, high: int) -> Values:
    if word == "*":
        return None
    return frozenset(_numbers(word, low, high))


def _numbers(word: str, low: int, high: int) -> Iterable[int]:
    for item in word.split(","):
        match = _PART.fullmatch(item)
        if match is None:
            raise NotCarried(f"`{item}` is no number, range or repetition of whole numbers")
        first, last, step = match.groups()
        start, end = int(first), int(last) if last else high if step else int(first)
        if not low <= start <= end <= high or step == "0":
            raise NotCarried(f"`{item}` is not within {low} to {high}")
        yield from range(start, end + 1, int(step or 1))


def _last_days(word: str) -> Values:
    """`~03` is the third last day; `~07/2` goes from the seventh last in steps of two to the end."""
    found: set[int] = set()
    for item in word.split(","):
        match = _PART.fullmatch(item)
        if match is None or match[2] or not 1 <= int(match[1]) <= 31 or match[3] == "0":
            raise NotCarried(f"`~{item}` is no day before the end of a month that is known here")
        start, step = int(match[1]), int(match[3] or 0)
        found |= set(range(start, 0, -step)) if step else {start}
    return frozenset(found)

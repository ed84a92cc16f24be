"""An independent judge of slots: walk the clock minute by minute and do what Debian cron does.

Nothing here comes from the code under test. Fields are read by the few lines below; a minute matches as `crontab(5)`
says; and a virtual clock, like that of cron's main loop, catches up over gaps and waits out repeats.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
NAMES = {
    **{
        name: number
        for number, name in enumerate(
            ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
        )
    },
    **{name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])},
}
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@dataclass
class Expression:
    """Five fields."""

    text: str

    def __post_init__(self) -> None:
        self.fields = self.text.split()
        self.minutes, self.hours, _, self.months, _ = (
            plain(field, *bounds) for field, bounds in zip(self.fields, BOUNDS, strict=True)
        )

    @property
    def follows_clock(self) -> bool:
        return self.fields[0][0] == "*" or self.fields[1][0] == "*"

    def matches(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours and self.day_matches(wall)

    def day_matches(self, wall: datetime) -> bool:
        if wall.month not in self.months:
            return False
        of_month = any(day_of_month(item, wall) for item in self.fields[2].split(","))
        of_week = any(day_of_week(item, wall) for item in self.fields[4].split(","))
        either_starred = self.fields[2][0] == "*" or self.fields[4][0] == "*"
        return (of_month and of_week) if either_starred else (of_month or of_week)


def plain(field: str, low: int, high: int) -> set[int]:
    """Numbers, names, ranges, steps and lists; anything else is none of its business."""
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        try:
            begin = low if first == "*" else int(NAMES.get(first, first))
            end = int(NAMES.get(last, last)) if last else high if first == "*" or step else begin
        except ValueError:
            continue
        found |= set(range(begin, end + 1, int(step or 1)))
    return found


def day_of_month(item: str, wall: datetime) -> bool:
    length = calendar.monthrange(wall.year, wall.month)[1]
    days = [wall.replace(day=number) for number in range(1, length + 1)]
    workdays = [day.day for day in days if day.isoweekday() <= 5]
    if item == "L":
        return wall.day == length
    if item == "LW":
        return wall.day == workdays[-1]
    if item.startswith("L-"):
        return wall.day == length - int(item[2:])
    if item.endswith("W"):
        wanted = int(item[:-1])
        return wanted <= length and wall.day == min(workdays, key=lambda day: abs(day - wanted))
    return wall.day in plain(item, 1, 31)


def day_of_week(item: str, wall: datetime) -> bool:
    if item.endswith("L"):
        return wall.isoweekday() % 7 == int(item[:-1]) and (wall + timedelta(days=7)).month != wall.month
    if "#" in item:
        weekday, number = item.split("#")
        return wall.isoweekday() % 7 == int(NAMES.get(weekday, weekday)) and (wall.day - 1) // 7 + 1 == int(
            number
        )
    return bool({wall.isoweekday() % 7, wall.isoweekday()} & plain(item, 0, 7))


@dataclass
class Look:
    """One look at the clock: the minute, the wall time it shows, and what the virtual clock passes over."""

    instant: datetime
    wall: datetime
    is_new: bool
    left_out: list[datetime]


def looks(zone: str, start: datetime, end: datetime) -> Iterator[Look]:
    """Look at the zone's clock once a minute."""
    tz = ZoneInfo(zone)
    virtual = start.astimezone(tz).replace(tzinfo=None) - MINUTE
    instant = start
    while instant < end:
        wall = instant.astimezone(tz).replace(tzinfo=None)
        left_out = []
        missed = virtual + MINUTE
        while missed < wall:
            left_out.append(missed)
            missed += MINUTE
        yield Look(instant, wall, wall > virtual, left_out)
        virtual = max(virtual, wall)
        instant += MINUTE


def slots(text: str, seen: list[Look], dst: str) -> list[int]:
    """The instants at which an expression runs under a rule of `dst`."""
    expression = Expression(text)
    follows = expression.follows_clock
    repeats = dst == "both" or (dst == "once" and follows)
    hours, minutes = expression.hours, expression.minutes
    found: list[int] = []
    for look in seen:
        wall = look.wall
        shown = wall.minute in minutes and wall.hour in hours and expression.day_matches(wall)
        runs = shown and (look.is_new or repeats)
        if look.left_out and not runs and dst != "skip" and not follows:
            runs = any(expression.matches(wall) for wall in look.left_out)
        if runs:
            found.append(int(look.instant.timestamp()))
    return found


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]

"""`weekly: {days: [mon, fri], times: ["02:00", "14:30"]}`: days of the week and times of the day."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from reconciler.triggers.errors import ScheduleError, did_you_mean
from reconciler.triggers.pattern import EveryDay, ListedTimes, Pattern, Weekdays

KEY = "weekly"
EXAMPLES: tuple[Any, ...] = (
    {"days": ["mon", "tue", "wed", "thu", "fri"], "times": ["02:00", "14:30"]},
    {"times": ["02:30"]},
    {"days": ["sun"], "times": ["00:00", "23:59:59"]},
)

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)


def compile(value: Any) -> Pattern:
    """Make the pattern of `days` (default: all) and `times`."""
    if not isinstance(value, Mapping):
        raise ScheduleError("`weekly` takes `days` and `times`", KEY, 'write `weekly: {times: ["02:00"]}`')
    unknown = sorted(set(value) - {"days", "times"})
    if unknown:
        raise ScheduleError(
            f"`{unknown[0]}` is no field of `weekly`", KEY, "its fields are `days` and `times`"
        )
    days = _listed(value.get("days") or DAYS, "days")
    weekdays = frozenset(_weekday(day, number) for number, day in enumerate(days))
    times = _listed(value.get("times") or (), "times")
    if not times:
        raise ScheduleError("`weekly` names no time", f"{KEY}.times", 'write `times: ["02:00"]`')
    seconds = tuple(sorted({_second(time, number) for number, time in enumerate(times)}))
    text = f"weekly {_days_text(weekdays)} {','.join(map(_time_text, seconds))}"
    return Pattern(EveryDay() if len(weekdays) == 7 else Weekdays(weekdays), ListedTimes(seconds), text)


def _listed(value: Any, name: str) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ScheduleError(f"`{name}` is a list", f"{KEY}.{name}", f"write `{name}: [{value}]`")
    return value


def _weekday(day: Any, number: int) -> int:
    if day not in DAYS:
        short = str(day)[:3].lower()
        meant = (
            f"write `{short}`"
            if short in DAYS
            else did_you_mean(str(day), DAYS, f"days are {', '.join(DAYS)}")
        )
        raise ScheduleError(f"`{day}` is not a day", f"{KEY}.days.{number}", meant)
    return DAYS.index(day)


def _second(time: Any, number: int) -> int:
    match = _TIME.fullmatch(time) if isinstance(time, str) else None
    if match is None:
        help_text = 'write hours and minutes with two digits, in quotes: "02:00"; the day ends at "23:59"'
        raise ScheduleError(f"`{time}` is not a time of the day", f"{KEY}.times.{number}", help_text)
    hours, minutes, seconds = match.groups(default="0")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds)


def _days_text(weekdays: frozenset[int]) -> str:
    """`mon-fri`, `sat,sun`, `daily`: three or more days in a row are a range."""
    if len(weekdays) == 7:
        return "daily"
    parts: list[str] = []
    for first in sorted(weekdays):
        if first - 1 in weekdays:
            continue
        last = next(day for day in range(first, 8) if day + 1 not in weekdays)
        row = DAYS[first : last + 1]
        parts += [f"{row[0]}-{row[-1]}"] if len(row) > 2 else row
    return ",".join(parts)


def _time_text(second: int) -> str:
    text = f"{second // 3600:02d}:{second // 60 % 60:02d}"
    return text if second % 60 == 0 else f"{text}:{second % 60:02d}"

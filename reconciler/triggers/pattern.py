"""Which wall times a schedule names: the days, the times of the day, and both together.

Nothing here knows zones or clock changes. Wall times are seconds since 1970-01-01T00:00 on some wall clock,
days are counted from the same date, times of the day are seconds. Everything finds the next or the previous
match directly, never by stepping from one candidate to the next.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Protocol

from reconciler.core.zones import DAY, EPOCH_ORDINAL

_LAST_YEAR: Final = 9990
_FIRST_YEAR: Final = 2


class Days(Protocol):
    """A set of days; each answer is a day, or None when there is none any more."""

    def at_or_after(self, day: int) -> int | None: ...
    def at_or_before(self, day: int) -> int | None: ...


class Times(Protocol):
    """A non-empty set of times of the day, between its first and its last; never asked beyond these."""

    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    def at_or_after(self, second: int) -> int: ...
    def at_or_before(self, second: int) -> int: ...


@dataclass(frozen=True, slots=True)
class EveryDay:
    def at_or_after(self, day: int) -> int | None:
        return day

    def at_or_before(self, day: int) -> int | None:
        return day


class Weekdays:
    """Days of the week, Monday is 0."""

    __slots__ = ("_back", "_forward")

    def __init__(self, weekdays: frozenset[int]) -> None:
        # 1970-01-01 was a Thursday, so that a day's number modulo 7 counts from Thursday.
        marked = [(place + 3) % 7 in weekdays for place in range(7)]
        self._forward = bytes(next(n for n in range(7) if marked[(at + n) % 7]) for at in range(7))
        self._back = bytes(next(n for n in range(7) if marked[(at - n) % 7]) for at in range(7))

    def at_or_after(self, day: int) -> int | None:
        return day + self._forward[day % 7]

    def at_or_before(self, day: int) -> int | None:
        return day - self._back[day % 7]


@dataclass(frozen=True, slots=True)
class OfMonth:
    """Days of the month: listed ones (bit 0 is the first), `L-n` before the last, and `nW` nearest to day n.

    In `nearest`, 0 stands for `LW`, the last of Monday to Friday.
    """

    bits: int = 0
    before_last: tuple[int, ...] = ()
    nearest: tuple[int, ...] = ()

    def mask(self, length: int, first_weekday: int) -> int:
        mask = self.bits & ((1 << length) - 1)
        for back in self.before_last:
            if back < length:
                mask |= 1 << (length - back - 1)
        for day in self.nearest:
            if day <= length:
                mask |= 1 << (_nearest_workday(day or length, length, first_weekday) - 1)
        return mask


def _nearest_workday(day: int, length: int, first_weekday: int) -> int:
    """The day from Monday to Friday nearest to `day`, without leaving the month."""
    weekday = (first_weekday + day - 1) % 7
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < length else day - 2
    return day


@dataclass(frozen=True, slots=True)
class OfWeek:
    """Days of the week (Monday is 0): listed ones, the n-th of a month (weekday, n), the last of a month."""

    weekdays: frozenset[int] = frozenset()
    nth: tuple[tuple[int, int], ...] = ()
    last: tuple[int, ...] = ()
    _plain: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Keep the mask of the listed days for each weekday that a month can begin with."""
        plain = (
            sum(1 << day for day in range(31) if (first + day) % 7 in self.weekdays) for first in range(7)
        )
        object.__setattr__(self, "_plain", tuple(plain))

    def mask(self, length: int, first_weekday: int) -> int:
        mask = self._plain[first_weekday]
        for weekday, number in self.nth:
            mask |= 1 << ((weekday - first_weekday) % 7 + 7 * (number - 1))
        for weekday in self.last:
            last_weekday = first_weekday + length - 1
            mask |= 1 << (length - 1 - (last_weekday - weekday) % 7)
        return mask & ((1 << length) - 1)


_LENGTHS: Final = bytes([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


class MonthDays:
    """Days of some months, told by one mask per month (bit 0 is its first day): months are passed at once."""

    __slots__ = ("_both", "_known", "_months", "_next", "_of_month", "_of_week", "_previous")

    def __init__(self, months: frozenset[int], of_month: OfMonth, of_week: OfWeek, *, both: bool) -> None:
        self._of_month = of_month
        self._of_week = of_week
        self._both = both
        self._months = months
        later = [min(m for m in (*months, 12 + min(months)) if m > at) for at in range(13)]
        earlier = [max(m for m in (max(months) - 12, *months) if m < at) for at in range(1, 13)]
        self._next = bytes(later)
        self._previous = (0, *earlier)
        self._known: dict[int, int] = {}

    def mask(self, year: int, month: int, first_day: int) -> int:
        """The days of one of the months, which begins on `first_day`; only 28 different ones exist."""
        length = _LENGTHS[month]
        if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
            length = 29
        first_weekday = (first_day + 3) % 7
        key = length * 7 + first_weekday
        mask = self._known.get(key)
        if mask is None:
            of_month = self._of_month.mask(length, first_weekday)
            of_week = self._of_week.mask(length, first_weekday)
            mask = self._known[key] = of_month & of_week if self._both else of_month | of_week
        return mask

    def at_or_after(self, day: int) -> int | None:
        today = date.fromordinal(day + EPOCH_ORDINAL)
        year, month, past = today.year, today.month, today.day - 1
        if month in self._months:
            mask = self.mask(year, month, day - past) >> past
            if mask:
                return day + (mask & -mask).bit_length() - 1
        while year < _LAST_YEAR:
            month = self._next[month]
            if month > 12:
                year, month = year + 1, month - 12
            first = date(year, month, 1).toordinal() - EPOCH_ORDINAL
            mask = self.mask(year, month, first)
            if mask:
                return first + (mask & -mask).bit_length() - 1
        return None

    def at_or_before(self, day: int) -> int | None:
        today = date.fromordinal(day + EPOCH_ORDINAL)
        year, month = today.year, today.month
        if month in self._months:
            first = day - today.day + 1
            mask = self.mask(year, month, first) & ((1 << today.day) - 1)
            if mask:
                return first + mask.bit_length() - 1
        while year > _FIRST_YEAR:
            month = self._previous[month]
            if month < 1:
                year, month = year - 1, month + 12
            first = date(year, month, 1).toordinal() - EPOCH_ORDINAL
            mask = self.mask(year, month, first)
            if mask:
                return first + mask.bit_length() - 1
        return None


@dataclass(frozen=True, slots=True)
class ListedTimes:
    """A few times of the day, sorted."""

    seconds: tuple[int, ...]

    @property
    def first(self) -> int:
        return self.seconds[0]

    @property
    def last(self) -> int:
        return self.seconds[-1]

    def at_or_after(self, second: int) -> int:
        return self.seconds[bisect_left(self.seconds, second)]

    def at_or_before(self, second: int) -> int:
        return self.seconds[bisect_right(self.seconds, second) - 1]


@dataclass(frozen=True, slots=True)
class SteppedTimes:
    """Every `step` seconds from midnight; `step` divides the day."""

    step: int

    @property
    def first(self) -> int:
        return 0

    @property
    def last(self) -> int:
        return DAY - self.step

    def at_or_after(self, second: int) -> int:
        return -(-second // self.step) * self.step

    def at_or_before(self, second: int) -> int:
        return second - second % self.step


class ClockTimes:
    """All combinations of some hours, minutes and seconds: the hours, and the seconds within each hour."""

    __slots__ = ("_hours", "_within", "first", "last")

    def __init__(self, hours: Iterable[int], minutes: Iterable[int], seconds: Iterable[int]) -> None:
        ordered = sorted(set(seconds))
        self._hours = bytes(sorted(set(hours)))
        self._within = array(
            "H", [minute * 60 + second for minute in sorted(set(minutes)) for second in ordered]
        )
        self.first = self._hours[0] * 3600 + self._within[0]
        self.last = self._hours[-1] * 3600 + self._within[-1]

    def at_or_after(self, second: int) -> int:
        hour, rest = divmod(second, 3600)
        place = bisect_left(self._hours, hour)
        if self._hours[place] == hour:
            inner = bisect_left(self._within, rest)
            if inner < len(self._within):
                return hour * 3600 + self._within[inner]
            place += 1
        return self._hours[place] * 3600 + self._within[0]

    def at_or_before(self, second: int) -> int:
        hour, rest = divmod(second, 3600)
        place = bisect_right(self._hours, hour) - 1
        if self._hours[place] == hour:
            inner = bisect_right(self._within, rest)
            if inner:
                return hour * 3600 + self._within[inner - 1]
            place -= 1
        return self._hours[place] * 3600 + self._within[-1]


@dataclass(frozen=True, slots=True)
class Pattern:
    """All wall times that a schedule names, and its words for lists (`0 2 * * 1-5`).

    `follows_clock`: under `dst: once` it is not moved out of gaps and runs again when the clock is set back,
    as Debian cron does where the minute or hour field starts with `*`.
    """

    days: Days
    times: Times
    text: str
    follows_clock: bool = False
    _first: int = field(init=False, repr=False)
    _last: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Keep the day's first and last time at hand."""
        object.__setattr__(self, "_first", self.times.first)
        object.__setattr__(self, "_last", self.times.last)

    def at_or_after(self, wall: int) -> int | None:
        """The first named wall time that is not earlier than `wall`."""
        day, second = divmod(wall, DAY)
        if second > self._last:
            day += 1
            second = 0
        found = self.days.at_or_after(day)
        if found is None:
            return None
        if found == day and second > self._first:
            return day * DAY + self.times.at_or_after(second)
        return found * DAY + self._first

    def at_or_before(self, wall: int) -> int | None:
        """The last named wall time that is not later than `wall`."""
        day, second = divmod(wall, DAY)
        if second < self._first:
            day -= 1
            second = DAY
        found = self.days.at_or_before(day)
        if found is None:
            return None
        if found == day and second < self._last:
            return day * DAY + self.times.at_or_before(second)
        return found * DAY + self._last

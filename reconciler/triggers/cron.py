"""`cron: "30 2 * * mon-fri"`: the expressions of cron, read by croniter's grammar, kept as a pattern of ours.

croniter is used for lists, ranges, steps and names only, and what it reads otherwise than cron is rewritten
before it sees it. It is imported when the first expression is compiled, since it costs 50 ms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconciler.triggers.errors import ScheduleError, did_you_mean
from reconciler.triggers.pattern import (
    ClockTimes,
    Days,
    EveryDay,
    MonthDays,
    OfMonth,
    OfWeek,
    Pattern,
    Weekdays,
)

KEY = "cron"
EXAMPLES: tuple[Any, ...] = (
    "30 2 * * *",
    "*/15 * * * *",
    "0 2 * * 1-5",
    "0 9,17 1,15 * mon",
    "15 3 29 2 *",
    "0 4 L * *",
    "0 4 LW * *",
    "0 4 L-3 * *",
    "0 4 15W * *",
    "0 6 * * 5L",
    "0 6 * * tue#2",
    "0 0 */2 * sun",
    "*/10 30 2 * * *",
    "@hourly",
    "@yearly",
)

_ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ITEM: Final = re.compile(r"(?:\*|([0-9a-z]{1,9})(?:-([0-9a-z]{1,9}))?)(?:/(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, word: str) -> int:
        """The value of a number or a name."""
        if word in self.names:
            return self.names.index(word) + self.low
        if not word.isdigit():
            hint = did_you_mean(word, self.names, f"names are {', '.join(self.names)}" if self.names else "")
            raise ScheduleError(f"`{word}` is no {self.name}", KEY, hint or f"write {self.low}-{self.high}")
        value = int(word)
        if not self.low <= value <= self.high:
            raise ScheduleError(f"`{word}` is no {self.name}", KEY, f"write {self.low}-{self.high}")
        return value

    def values(self, found: Sequence[int | str]) -> frozenset[int]:
        """What croniter found; a `*` among others is all there is."""
        numbers = frozenset(value for value in found if isinstance(value, int))
        return numbers if "*" not in found else frozenset(range(self.low, self.high + 1))


_SECOND: Final = _Field("second", 0, 59)
_MINUTE: Final = _Field("minute", 0, 59)
_HOUR: Final = _Field("hour", 0, 23)
_DAY: Final = _Field("day of the month", 1, 31)
_MONTH: Final = _Field("month", 1, 12, _MONTHS)
_WEEKDAY: Final = _Field("day of the week", 0, 7, _WEEKDAYS)
_FIELDS: Final = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


def compile(value: Any) -> Pattern:
    """Make the pattern of an expression of 5 fields, or 6 with seconds first, or `@daily` and its like."""
    if not isinstance(value, str):
        raise ScheduleError(f"`{value}` is not a cron expression", KEY, 'write it in quotes: "30 2 * * *"')
    text = " ".join(value.split())
    words = _words(text)
    second, minute, hour, day, month, weekday = words
    of_month, day = _split_days(day)
    of_week, weekday = _split_weekdays(weekday)
    seconds, minutes, hours, days, months, weekdays = _expand(
        text, (second, minute, hour, day, month, weekday)
    )
    pattern_days = _days(
        OfMonth(sum(1 << (n - 1) for n in days), of_month.before_last, of_month.nearest),
        OfWeek(frozenset((n - 1) % 7 for n in weekdays), of_week.nth, of_week.last),
        months,
        both=words[3].startswith("*") or words[5].startswith("*"),
    )
    if pattern_days.at_or_after(0) is None:
        hint = "no month that it names has such a day; `L` is the last day of a month"
        raise ScheduleError(f"`{text}` never happens", KEY, hint)
    follows_clock = minute.startswith("*") or hour.startswith("*")
    return Pattern(pattern_days, ClockTimes(hours, minutes, seconds), text, follows_clock)


def _words(text: str) -> Sequence[str]:
    """The six fields, seconds first, in lower case; what other dialects mean otherwise is refused."""
    lowered = text.lower()
    if lowered.startswith("@"):
        if lowered not in _ALIASES:
            raise ScheduleError(f"`{text}` is not known here", KEY, _alias_help(lowered))
        lowered = _ALIASES[lowered]
    words = lowered.split()
    if words and "=" in words[0]:
        raise ScheduleError("a cron expression has no variables", KEY, "write the zone as `timeZone`")
    if "?" in lowered:
        raise ScheduleError(
            f"`{text}`: `?` is refused, because it is Quartz's, and Quartz counts weekdays from 1 = Sunday",
            KEY,
            "write `*` instead, and the days of the week by name: `mon-fri`",
        )
    if re.search(r"\bh\b", lowered):
        raise ScheduleError(
            f"`{text}`: `H` is refused", KEY, "write a fixed time, and spread targets with `jitter`"
        )
    if len(words) == 7:
        raise ScheduleError(f"`{text}` has a year", KEY, "leave it out and write `from` and `until`")
    if len(words) not in (5, 6):
        hint = "write minute hour day month weekday, with seconds before them where needed"
        raise ScheduleError(f"`{text}` has {len(words)} fields instead of 5 or 6", KEY, hint)
    return words if len(words) == 6 else ["0", *words]


def _alias_help(word: str) -> str:
    name, _, rest = word.partition(" ")
    if name == "@every":
        return f"write `every: {rest or '15m'}` instead of `cron`"
    if name == "@reboot":
        return "a schedule names times; start at boot by the job's `automatic` criteria"
    return did_you_mean(name, _ALIASES, f"known are {', '.join(_ALIASES)}")


def _split_days(word: str) -> tuple[OfMonth, str]:
    """What croniter does not know of a day field (L, LW, L-3, 15W), and the rest of the field."""
    before_last: list[int] = []
    nearest: list[int] = []
    plain: list[str] = []
    for item in word.split(","):
        if item == "l":
            before_last.append(0)
        elif match := re.fullmatch(r"l-(\d{1,9})", item, re.ASCII):
            before_last.append(_Field("number of days before the last", 1, 30).number(match[1]))
        elif item == "lw":
            nearest.append(0)
        elif match := re.fullmatch(r"(\d{1,9})w", item, re.ASCII):
            nearest.append(_DAY.number(match[1]))
        else:
            plain.append(item)
    return OfMonth(0, tuple(before_last), tuple(nearest)), ",".join(plain)


def _split_weekdays(word: str) -> tuple[OfWeek, str]:
    """What croniter does not know of a weekday field (5L, tue#2), and the rest of the field."""
    nth: list[tuple[int, int]] = []
    last: list[int] = []
    plain: list[str] = []
    for item in word.split(","):
        if item == "l":
            raise ScheduleError(
                "`L` as a day of the week is refused", KEY, "write `6` for Saturday, `5L` for the last Friday"
            )
        if match := re.fullmatch(r"([0-9a-z]{1,9})#(\d{1,9})", item, re.ASCII):
            number = _Field("week of the month", 1, 5).number(match[2])
            nth.append(((_WEEKDAY.number(match[1]) - 1) % 7, number))
        elif match := re.fullmatch(r"(\d|[a-z]{3})l", item, re.ASCII):
            last.append((_WEEKDAY.number(match[1]) - 1) % 7)
        else:
            plain.append(item)
    return OfWeek(frozenset(), tuple(nth), tuple(last)), ",".join(plain)


def _expand(text: str, words: Iterable[str]) -> list[frozenset[int]]:
    """The values of each field; a field that is empty, since only L, W or # stood in it, has none."""
    from croniter import CroniterError, croniter

    plain = [_rewritten(word, known) for word, known in zip(words, _FIELDS, strict=True)]
    second, *rest = [word or "*" for word in plain]
    try:
        expanded, _ = croniter.expand(" ".join([*rest, second]))
    except CroniterError as error:
        raise ScheduleError(f"`{text}` is not a cron expression: {error}", KEY) from error
    return [
        known.values(found) if word else frozenset()
        for word, known, found in zip(plain, _FIELDS, (expanded[-1], *expanded[:-1]), strict=True)
    ]


def _rewritten(word: str, known: _Field) -> str:
    return ",".join(_rewritten_item(item, known) for item in word.split(",")) if word else ""


def _rewritten_item(item: str, known: _Field) -> str:
    """The same values in words that croniter reads as every cron does.

    croniter 6 and later read `4-4` as the whole cycle, where it is Thursday, and take a last weekday of 7 for
    a range that runs over the end of the week, whose steps they count in a way of their own.
    """
    match = _ITEM.fullmatch(item)
    if match is None:
        hint = "write `*`, a number, a range such as `2-4`, a step such as `*/2`, or a list of them"
        raise ScheduleError(f"`{item}` is no {known.name}", KEY, hint)
    first, last, step = match.groups()
    if step is not None and int(step) == 0:
        raise ScheduleError(f"`{item}` steps by nothing", KEY, "a step is 1 or more")
    if first is None:
        return item
    low = known.number(first)
    if last is None:
        return item
    high = known.number(last)
    if low < high and not (known is _WEEKDAY and high == 7):
        return item
    if low > high:
        if step is not None:
            hint = "write two ranges, one up to the end and one from the start"
            raise ScheduleError(f"`{item}` runs over the end with a step", KEY, hint)
        top = 6 if known is _WEEKDAY else known.high
        values = [*range(low, top + 1), *range(known.low, high + 1)]
    else:
        values = list(range(low, high + 1, int(step or 1)))
    return ",".join(str(value) for value in values)


def _days(of_month: OfMonth, of_week: OfWeek, months: frozenset[int], *, both: bool) -> Days:
    if len(months) == 12 and both and of_month.bits == (1 << 31) - 1:
        if len(of_week.weekdays) == 7:
            return EveryDay()
        if not of_week.nth and not of_week.last:
            return Weekdays(of_week.weekdays)
    return MonthDays(months, of_month, of_week, both=both)

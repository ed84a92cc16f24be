"""`every: 15m`: at even steps of the wall clock, counted from midnight."""

from __future__ import annotations

from typing import Any

from reconciler.core.units import format_duration, parse_duration
from reconciler.core.zones import DAY
from reconciler.triggers.errors import ScheduleError
from reconciler.triggers.pattern import EveryDay, Pattern, SteppedTimes

KEY = "every"
EXAMPLES: tuple[Any, ...] = ("15m", "1h", "90m", "6h", "24h", "15s", "1s")


def compile(value: Any) -> Pattern:
    """Make the pattern of a duration that divides 24 hours; like `*/15` it follows the clock."""
    try:
        step = parse_duration(str(value))
    except ValueError as error:
        raise ScheduleError(str(error), KEY, "write a duration that divides 24 h, such as `15m`") from error
    if step < 1 or DAY % step:
        near = _nearest_divisor(step)
        raise ScheduleError(
            f"`every: {value}` does not divide 24 h",
            KEY,
            f"write `{format_duration(near)}`; an interval since the last run is the job's `automatic.every`",
        )
    return Pattern(EveryDay(), SteppedTimes(int(step)), f"every {format_duration(step)}", follows_clock=True)


def _nearest_divisor(step: float) -> int:
    """The duration that divides the day and is most like `step`; in whole minutes from a minute on."""
    unit = 60 if step >= 60 else 1
    return min((n for n in range(unit, DAY + 1, unit) if DAY % n == 0), key=lambda n: (abs(n - step), n))

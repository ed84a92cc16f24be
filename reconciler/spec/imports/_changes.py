"""Which of our rules for clock changes does for one expression in one zone what another program does.

Programs differ only for times that a change leaves out or repeats. So the slots around the changes of ten years tell
whether a difference concerns this expression at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from reconciler.core.zones import DAY, Zone, zone
from reconciler.triggers import CompiledSchedule, cron
from reconciler.triggers.schedule import Dst

_FIRST = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
_LAST = int(datetime(2036, 1, 1, tzinfo=UTC).timestamp())


def matching_dst(expression: str, zone_name: str) -> Dst | None:
    """The rule under which a time left out does not run and a repeated one runs twice, as robfig/cron does.

    None where none of ours is the same for this expression. Raise ScheduleError for a wrong one.
    """
    theirs = _by_the_clock(expression, zone_name)
    pattern = cron.compile(expression)
    for dst in Dst:
        ours = CompiledSchedule(pattern, theirs.zone, dst)
        if all(_slots(ours, at) == _slots(theirs, at) for at in _change_instants(theirs.zone)):
            return dst
    return None


def is_repeated(expression: str, zone_name: str) -> bool:
    """Whether a clock change ever repeats one of its times. Raise ScheduleError for a wrong expression."""
    by_the_clock = _by_the_clock(expression, zone_name)
    once = CompiledSchedule(by_the_clock.pattern, by_the_clock.zone, Dst.SKIP)
    return any(_slots(once, at) != _slots(by_the_clock, at) for at in _change_instants(once.zone))


def _by_the_clock(expression: str, zone_name: str) -> CompiledSchedule:
    pattern = replace(cron.compile(expression), follows_clock=True)
    return CompiledSchedule(pattern, zone(zone_name), Dst.ONCE)


def _change_instants(where: Zone) -> Iterator[int]:
    at = _FIRST
    while (at := where.segment(at).end) < _LAST:
        yield at


def _slots(schedule: CompiledSchedule, change: int) -> list[int]:
    slots: list[int] = []
    slot = schedule.next_after(change - DAY // 2)
    while slot is not None and slot <= change + DAY // 2:
        slots.append(slot)
        slot = schedule.next_after(slot)
    return slots

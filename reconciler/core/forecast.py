"""What will run, and when: the coming slots of many targets in the order of time, with what is special about each."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Final

from reconciler.core.model import Mode, Plan, Schedule, TargetId
from reconciler.core.zones import zone

_NEVER: Final = 1 << 62

UNMEASURED_SECONDS: Final = 60.0
"""How long a run is taken to last that has never been measured."""


class Outlook(StrEnum):
    """What becomes of a coming slot."""

    RUN = "run"
    SKIPPED = "skipped"
    """A calendar leaves it out."""
    GAP = "gap"
    """The clock does not show it, and the schedule says `dst: skip`."""
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Coming:
    """One coming slot of a target; `at` is when it runs, jitter included. Both times are UTC."""

    target: TargetId
    at: datetime
    slot: datetime
    time_zone: str
    state: Outlook
    notes: tuple[str, ...] = ()

    @property
    def local(self) -> datetime:
        """`at` on the clock of the schedule's zone."""
        return zone(self.time_zone).local(int(self.at.timestamp()))


def forecast(
    targets: Iterable[tuple[TargetId, Plan]], start: datetime, until: datetime | None, count: int | None
) -> Iterator[Coming]:
    """Yield what comes in [start, until), at most `count`; without both bounds it may never end.

    Slots that do not run are there too, and count; targets that are not scheduled have none.
    """
    first = math.ceil(start.timestamp())
    end = None if until is None else math.ceil(until.timestamp())
    streams = [
        _of_target(target, plan, plan.schedule, first, end)
        for target, plan in targets
        if plan.mode is Mode.SCHEDULED and plan.schedule is not None
    ]
    return islice(heapq.merge(*streams, key=lambda coming: (coming.at, coming.target)), count)


def _of_target(
    target: TargetId, plan: Plan, schedule: Schedule, first: int, end: int | None
) -> Iterator[Coming]:
    jitter = schedule.jitter_seconds(str(target))

    def coming(slot: int, state: Outlook, notes: tuple[str, ...]) -> Coming:
        at, named = (datetime.fromtimestamp(instant, UTC) for instant in (slot + jitter, slot))
        return Coming(target, at, named, schedule.time_zone, state, notes)

    # A slot from just before the start still runs after it when it has jitter.
    after = first - 1 - jitter
    last = None if end is None else end - 1 - jitter
    while True:
        slot = schedule.next_after(after)
        # Where no slot is left and no end is asked for, the schedule's own end bounds its gaps.
        horizon = min(_NEVER if slot is None else slot, _NEVER if last is None else last)
        for gap, note in schedule.gaps(after, horizon):
            yield coming(gap, Outlook.GAP, (note,))
        if slot is None or (last is not None and slot > last):
            return
        state, reasons = _outlook(plan, schedule, slot)
        yield coming(slot, state, (*reasons, *schedule.notes(slot, str(target))))
        after = slot


def _outlook(plan: Plan, schedule: Schedule, slot: int) -> tuple[Outlook, tuple[str, ...]]:
    for pause in plan.pauses:
        if pause.until is None or slot < pause.until.timestamp():
            return Outlook.PAUSED, (f"paused: {pause.reason}" if pause.reason else "paused",)
    left_out = schedule.left_out(slot)
    return (Outlook.RUN, ()) if left_out is None else (Outlook.SKIPPED, (left_out,))


def load_per_hour(
    comings: Iterable[Coming], durations: Mapping[TargetId, float], time_zone: str
) -> list[list[float]]:
    """Minutes of running for each weekday (Monday first) and hour on the clock of `time_zone`: 7 rows of 24.

    `durations` are seconds. A run that lasts over the hour loads the hours after it too; a run that was never
    measured counts as a minute.
    """
    clock = zone(time_zone)
    load = [[0.0] * 24 for _ in range(7)]
    for coming in comings:
        if coming.state is not Outlook.RUN:
            continue
        instant = coming.at.timestamp()
        rest = durations.get(coming.target, UNMEASURED_SECONDS)
        while rest > 0:
            local = clock.local(int(instant))
            here = min(rest, 3600 - (local.minute * 60 + local.second))
            load[local.weekday()][local.hour] += here / 60
            instant += here
            rest -= here
    return load

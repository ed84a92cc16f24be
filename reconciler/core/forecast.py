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

from reconciler.core.model import Mode, TargetId
from reconciler.core.plan import Plan, Schedule
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
    scheduled = {
        target: (plan, plan.schedule)
        for target, plan in targets
        if plan.mode is Mode.SCHEDULED and plan.schedule is not None
    }
    streams = [_of_target(target, schedule, first, end) for target, (_, schedule) in scheduled.items()]
    # Only what is asked for is put into words: most of many targets' first slots never are.
    for at, target, slot, gap in islice(heapq.merge(*streams), count):
        yield _coming(target, *scheduled[target], at, slot, gap)


def _of_target(
    target: TargetId, schedule: Schedule, first: int, end: int | None
) -> Iterator[tuple[int, TargetId, int, str]]:
    """Yield (when it runs, target, slot, and where the clock leaves the slot out, which time is missing)."""
    jitter = schedule.jitter_seconds(str(target))
    # A slot from just before the start still runs after it when it has jitter.
    after = first - 1 - jitter
    last = _NEVER if end is None else end - 1 - jitter
    while True:
        slot = schedule.next_after(after)
        # Where no slot is left and no end is asked for, the schedule's own end bounds its gaps.
        for gap, note in schedule.gaps(after, last if slot is None else min(slot, last)):
            yield gap + jitter, target, gap, note
        if slot is None or slot > last:
            return
        yield slot + jitter, target, slot, ""
        after = slot


def _coming(target: TargetId, plan: Plan, schedule: Schedule, at: int, slot: int, gap: str) -> Coming:
    runs, named = (datetime.fromtimestamp(instant, UTC) for instant in (at, slot))
    state, reasons = (Outlook.GAP, (gap,)) if gap else _outlook(plan, schedule, slot, runs)
    notes = () if gap else schedule.notes(slot, str(target))
    return Coming(target, runs, named, schedule.time_zone, state, (*reasons, *notes))


def _outlook(plan: Plan, schedule: Schedule, slot: int, at: datetime) -> tuple[Outlook, tuple[str, ...]]:
    for pause in plan.pauses:
        if pause.holds(at):
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

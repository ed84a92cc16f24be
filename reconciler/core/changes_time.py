"""The difference in time: which runs a change adds, removes and moves, and what to look out for in the coming days.

Slots are evaluated once per distinct schedule and bounded in all, so that a change of ten thousand targets is still
shown at once; what was not counted says so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from reconciler.core.desired import Desired
from reconciler.core.forecast import Outlook, forecast
from reconciler.core.model import Mode, TargetId
from reconciler.core.plan import Plan
from reconciler.core.zones import DAY, zone

MAX_SLOTS: Final = 2000
"""Slots of one schedule in the whole stretch; a denser one is not compared run by run."""
MAX_SLOTS_IN_ALL: Final = 400_000
MAX_SAMPLES: Final = 5
MAX_WARNINGS: Final = 10


@dataclass(frozen=True, slots=True)
class RunsChange:
    """How the runs of one target differ within the stretch, with the first few of each kind (UTC)."""

    added: int = 0
    removed: int = 0
    moved: int = 0
    first_added: tuple[datetime, ...] = ()
    first_removed: tuple[datetime, ...] = ()
    first_moved: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.removed or self.moved)


class Agenda:
    """The runs that plans make from `now` on for some days; remembers what it evaluated."""

    def __init__(self, now: datetime, days: int) -> None:
        self.now = now
        self.start = int(now.timestamp())
        self.end = int((now + timedelta(days=days)).timestamp())
        self.days = days
        self._slots: dict[str, list[int] | None] = {}
        self._left = MAX_SLOTS_IN_ALL

    def next_run(self, target: TargetId, plan: Plan) -> datetime | None:
        """When a target runs next by its schedule; within the years to come, since some run once a leap year."""
        if plan.mode is not Mode.SCHEDULED or plan.schedule is None:
            return None
        soon = next(self.due(plan, plan.schedule.jitter_seconds(str(target))), None)
        if soon is not None:
            return _time(soon)
        coming = islice(forecast([(target, plan)], self.now, None, None), 1000)
        return next((each.at for each in coming if each.state is Outlook.RUN and each.at > self.now), None)

    def slots(self, plan: Plan) -> list[int] | None:
        """The slots that stand, from a day before now (a jitter may carry them here); None when there are too many.

        Whether a pause holds is asked when they run: those stay that a jitter may carry past its end.
        """
        if plan.mode is not Mode.SCHEDULED or plan.schedule is None:
            return []
        key = _slots_key(plan)
        if key not in self._slots:
            self._slots[key] = self._evaluate(plan)
        return self._slots[key]

    def _evaluate(self, plan: Plan) -> list[int] | None:
        assert plan.schedule is not None
        if self._left <= 0:
            return None
        schedule, slots = plan.schedule, []
        if _is_paused(plan, self.end + DAY):
            return []
        slot = schedule.next_after(self.start - DAY - 1)
        while slot is not None and slot <= self.end:
            self._left -= 1
            if schedule.left_out(slot) is None and not _is_paused(plan, slot + DAY):
                slots.append(slot)
            if len(slots) > MAX_SLOTS:
                return None
            slot = schedule.next_after(slot)
        return slots

    def runs(self, target: TargetId, plan: Plan | None) -> list[int] | None:
        """When a target runs in the stretch (epoch seconds, jitter included); None when too dense to say."""
        if plan is None or plan.mode is not Mode.SCHEDULED or plan.schedule is None:
            return []
        if self.slots(plan) is None:
            return None
        return list(self.due(plan, plan.schedule.jitter_seconds(str(target))))

    def due(self, plan: Plan, jitter: int) -> Iterator[int]:
        """Yield when a plan's slots run in the stretch (epoch seconds) with a jitter; none when too dense to say."""
        slots = self.slots(plan) or []
        for slot in slots[bisect_right(slots, self.start - jitter) :]:
            at = slot + jitter
            if at > self.end:
                return
            if not _is_paused(plan, at):
                yield at

    def compare(
        self, target: TargetId, old: Plan | None, new: Plan | None, renamed_from: TargetId | None = None
    ) -> RunsChange | None:
        """Say which runs come, go and move; a run that goes and one that comes on the same day is one that moved."""
        before, after = self.runs(renamed_from or target, old), self.runs(target, new)
        if before is None or after is None:
            return None
        gone, come = sorted(set(before) - set(after)), sorted(set(after) - set(before))
        if not gone or not come:
            return RunsChange(len(come), len(gone), 0, _times(come), _times(gone))
        assert new is not None
        clock = zone(new.schedule.time_zone if new.schedule else "UTC")
        by_day: dict[int, list[int]] = {}
        for instant in come:
            by_day.setdefault(clock.wall(instant) // DAY, []).append(instant)
        moved, removed = [], []
        for instant in gone:
            same_day = by_day.get(clock.wall(instant) // DAY)
            if same_day:
                moved.append((instant, same_day.pop(0)))
            else:
                removed.append(instant)
        added = sorted(instant for rest in by_day.values() for instant in rest)
        pairs = tuple((_time(a), _time(b)) for a, b in moved[:MAX_SAMPLES])
        return RunsChange(len(added), len(removed), len(moved), _times(added), _times(removed), pairs)


def _slots_key(plan: Plan) -> str:
    """Plans of the same key have the same slots: pauses are no part of the schedule's digest."""
    return f"{plan.schedule_digest} {[pause.until for pause in plan.pauses]}"


def _is_paused(plan: Plan, instant: int) -> bool:
    # Nearly no plan has pauses, and there are many instants to make times of.
    return bool(plan.pauses) and plan.is_paused(_time(instant))


def _time(instant: int) -> datetime:
    return datetime.fromtimestamp(instant, UTC)


def _times(instants: Iterable[int]) -> tuple[datetime, ...]:
    return tuple(_time(each) for each in islice(instants, MAX_SAMPLES))


def warnings_of(
    before: Desired, after: Desired, changed: Collection[TargetId], agenda: Agenda
) -> Iterator[str]:
    """What to look out for because of what changed: clock changes, shared locks, more at once than may run."""
    plans = {target: after.targets[target] for target in sorted(changed) if target in after.targets}
    plans = {target: plan for target, plan in plans.items() if plan.mode is Mode.SCHEDULED and plan.schedule}
    if not plans:
        return
    yield from islice(_clock_changes(plans, agenda), MAX_WARNINGS)
    yield from islice(_collisions(plans, after, agenda), MAX_WARNINGS)
    yield from _hot_spots(plans, before, after, agenda)


def _clock_changes(plans: Mapping[TargetId, Plan], agenda: Agenda) -> Iterator[str]:
    """Slots that a clock change shifts, repeats or leaves out, once per schedule."""
    done: set[str] = set()
    for target, plan in plans.items():
        schedule = plan.schedule
        if schedule is None or plan.schedule_digest in done:
            continue
        done.add(plan.schedule_digest)
        clock = zone(schedule.time_zone)
        change = clock.segment(agenda.start).end
        while change <= agenda.end:
            if clock.wall(change) - clock.wall(change - 1) != 1:
                yield from _around_change(target, plan, change)
            change = clock.segment(change).end


def _around_change(target: TargetId, plan: Plan, change: int) -> Iterator[str]:
    schedule = plan.schedule
    assert schedule is not None
    clock = zone(schedule.time_zone)
    day = f"{clock.local(change):%a %d %b %Y}"
    for _, note in schedule.gaps(change - DAY, change + DAY):
        yield f"{target}: the clock changes on {day} in {schedule.time_zone}; {note}"
    slot, bound = schedule.next_after(change - 4 * 3600), 50
    while slot is not None and slot <= change + 4 * 3600 and bound:
        for note in schedule.notes(slot):
            if note.startswith("DST"):
                at = f"{clock.local(slot):%H:%M}"
                yield f"{target}: the clock changes on {day} in {schedule.time_zone}; runs at {at} ({note})"
                return
        slot, bound = schedule.next_after(slot), bound - 1


def _collisions(plans: Mapping[TargetId, Plan], after: Desired, agenda: Agenda) -> Iterator[str]:
    """Targets of different jobs that share a lock and are due at the same minute, where one of them changed."""
    locks = {lock for plan in plans.values() for lock in plan.locks}
    if not locks:
        return
    holders: dict[str, list[tuple[TargetId, Plan]]] = {}
    for target, plan in after.targets.items():
        for lock in locks.intersection(plan.locks):
            if plan.mode is Mode.SCHEDULED and len(holders.setdefault(lock, [])) < 200:
                holders[lock].append((target, plan))
    for lock, sharing in sorted(holders.items()):
        due: dict[int, dict[str, TargetId]] = {}
        for target, plan in sharing:
            for instant in agenda.runs(target, plan) or ():
                due.setdefault(instant // 60, {}).setdefault(target.job, target)
        pairs: dict[tuple[str, str], list[int]] = {}
        for minute, jobs in due.items():
            if len(jobs) > 1 and any(target in plans for target in jobs.values()):
                first, second, *_ = sorted(jobs.values())
                pairs.setdefault((str(first), str(second)), []).append(minute * 60)
        for (one, other), times in sorted(pairs.items()):
            at = f"{_time(min(times)):%a %d %b %H:%M} UTC"
            more = f", {len(times)} times" if len(times) > 1 else ""
            yield f"{one} and {other} are due together and share the lock {lock}: one waits (first {at}{more})"


def _hot_spots(
    plans: Mapping[TargetId, Plan], before: Desired, after: Desired, agenda: Agenda
) -> Iterator[str]:
    """Instants at which more is due than may run at once, and more than before."""
    limit = after.limits.max_parallel
    if len(after.targets) <= limit:
        return
    instants = {instant for target, plan in plans.items() for instant in agenda.runs(target, plan) or ()}
    now = _due(after, agenda)
    hot = [(now[at], at) for at in instants if now[at] > limit]
    if hot:
        then = _due(before, agenda)
        hot = [(count, at) for count, at in hot if count > then[at]]
    if not hot:
        return
    count, at = max(hot, key=lambda each: (each[0], -each[1]))
    yield (
        f"{count} runs are due at once at {_time(at):%a %d %b %H:%M} UTC, and {limit} may run (maxParallel)"
        + (f"; so it is at {len(hot) - 1} other times" if len(hot) > 1 else "")
        + "; `jitter` spreads them"
    )


def _due(desired: Desired, agenda: Agenda) -> Counter[int]:
    """How many runs are due at each instant."""
    groups: Counter[tuple[str, int]] = Counter()
    plans: dict[str, Plan] = {}
    for target, plan in desired.targets.items():
        if plan.mode is Mode.SCHEDULED and plan.schedule is not None:
            key = _slots_key(plan)
            groups[key, plan.schedule.jitter_seconds(str(target))] += 1
            plans[key] = plan
    due: Counter[int] = Counter()
    for (key, jitter), count in groups.items():
        for instant in agenda.due(plans[key], jitter):
            due[instant] += count
    return due

"""Schedules: every slot up to now is settled, once, as a run, skipped or missed with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from reconciler.core import facts as f
from reconciler.core.decision import Case, Decision, cancelled, pause_of, pauses_of, run_name
from reconciler.core.facts import Fact, epoch, from_epoch
from reconciler.core.model import Instant, Mode, Reason, State, TargetId, Trigger
from reconciler.core.plan import CatchUp, Concurrency, Plan, Schedule
from reconciler.core.seen import RunSeen, Seen

ON_TIME_SECONDS = 60
"""A slot that is at most this late is run as scheduled; later it is a catch-up."""
DEFAULT_DEADLINE_SECONDS = 86400
MAX_CATCH_UP = 100
"""`catchUp: all` starts at most this many of the missed slots, the latest ones."""
MAX_SLOTS = 1000
"""Slots looked at one by one in one decision; an older stretch is settled as one."""
MAX_COUNTED = 20_000


def settle_slots(out: Decision, case: Case) -> None:
    """Settle every slot up to now, in order, and say when the next one is due."""
    plan, seen, now = case.plan, case.seen, case.now
    schedule = plan.schedule
    assert schedule is not None
    offset = schedule.jitter_seconds(str(case.target))
    until = epoch(now.wall) - offset
    cursor = seen.cursor if seen.cursor is not None else until
    slots = _open_slots(out, plan, seen, cursor, (until, offset), now)
    if slots:
        cursor = _settle(out, case, _Due(slots, offset, until))
    following = schedule.next_after(max(cursor, until))
    behind = schedule.last_until(until, cursor) is not None
    if following is None:
        return
    at = from_epoch(following + offset)
    out.next_run = _next_standing(plan, seen, following, offset, now)
    if not case.paused and not behind:
        out.wake(at)


def _next_standing(plan: Plan, seen: Seen, slot: int, offset: int, now: Instant) -> datetime | None:
    """The next slot that no calendar and no pause leaves out; None when there is none in sight."""
    schedule = plan.schedule
    assert schedule is not None
    paused, resumes = pause_of(plan, seen, now.wall)
    if paused and resumes is None:
        return None
    if paused and resumes is not None and slot + offset < resumes.timestamp():
        following = schedule.next_after(epoch(resumes) - offset - 1)
        if following is None:
            return None
        slot = following
    candidate: int | None = slot
    for _ in range(MAX_SLOTS):
        if candidate is None:
            return None
        if schedule.left_out(candidate) is None:
            return from_epoch(candidate + offset)
        candidate = schedule.next_after(candidate)
    return None


def _open_slots(
    out: Decision, plan: Plan, seen: Seen, cursor: int, due: tuple[int, int], now: Instant
) -> list[int]:
    """The unsettled slots up to now, the latest MAX_SLOTS of them; an older stretch is settled as one."""
    schedule = plan.schedule
    assert schedule is not None
    until, offset = due
    slots: list[int] = []
    slot = schedule.last_until(until, cursor)
    while slot is not None and len(slots) < MAX_SLOTS:
        slots.append(slot)
        slot = schedule.last_until(slot - 1, cursor)
    slots.reverse()
    if slot is not None:
        out.facts.append(_older(plan, seen, cursor, slot, offset, now))
    return slots


def _older(plan: Plan, seen: Seen, cursor: int, last: int, offset: int, now: Instant) -> f.Settled:
    """One fact for a stretch that is too long to look at slot by slot; its count stops at MAX_COUNTED."""
    paused = _paused_at(plan, seen, last + offset)
    verdict = (State.SKIPPED, Reason.PAUSED) if paused else (State.MISSED, Reason.RECONCILER_DOWN)
    return _all_alike(plan.schedule, cursor, last, verdict, now)


def _all_alike(
    schedule: Schedule | None, cursor: int, last: int, verdict: tuple[State, Reason], now: Instant
) -> f.Settled:
    """One fact for every slot from `cursor` to `last`."""
    assert schedule is not None
    first = schedule.next_after(cursor)
    assert first is not None
    count, slot = 1, first
    while slot < last and count < MAX_COUNTED:
        following = schedule.next_after(slot)
        if following is None:
            break
        slot, count = following, count + 1
    text = "at least" if count >= MAX_COUNTED else ""
    return f.Settled(now.wall, *verdict, from_epoch(first), from_epoch(last), count, text)


def settle_rest(plan: Plan, seen: Seen, now: Instant) -> list[Fact]:
    """Settle what the last decision under a schedule left open (jitter, catch-up), as another one takes over."""
    if plan.mode is not Mode.SCHEDULED or plan.schedule is None or seen.cursor is None:
        return []
    last = plan.schedule.last_until(epoch(now.wall), seen.cursor)
    if last is None:
        return []
    return [_all_alike(plan.schedule, seen.cursor, last, (State.SKIPPED, Reason.SCHEDULE_CHANGED), now)]


def _paused_at(plan: Plan, seen: Seen, instant: int) -> bool:
    """Whether a slot due at `instant` fell into a pause, also one that has expired since."""
    return any(pause.holds(from_epoch(instant)) for pause in pauses_of(plan, seen))


@dataclass(frozen=True, slots=True)
class _Due:
    slots: Sequence[int]
    offset: int
    until: int


def _settle(out: Decision, case: Case, due: _Due) -> int:
    """Settle the slots one after the other; give the last one settled."""
    plan, seen, active, now = case.plan, case.seen, case.active, case.now
    schedule = plan.schedule
    assert schedule is not None
    catch_up = CatchUp(schedule.catch_up)
    cursor = due.slots[0] - 1
    stretch = _Stretch(out, now)
    standing = [
        slot
        for slot in due.slots
        if schedule.left_out(slot) is None and not _paused_at(plan, seen, slot + due.offset)
    ]
    allowed = set(standing[-MAX_CATCH_UP:] if catch_up is CatchUp.ALL else standing[-1:])
    wished = False
    for slot in due.slots:
        verdict = _verdict(plan, seen, slot, allowed, due)
        late = due.until - slot > ON_TIME_SECONDS
        if verdict is None and catch_up is CatchUp.ALL and late and (active or wished):
            # One after the other: the end of the run before it brings the target here again.
            break
        cursor = slot
        if verdict is None:
            verdict = _clash(plan, active, wished)
        if verdict is not None:
            stretch.add(slot, *verdict)
            continue
        stretch.close()
        _make_way(out, plan, active, now)
        out.facts.append(_wish(case.target, plan, slot, due.offset, late, now))
        wished = True
    stretch.close()
    return cursor


def _verdict(plan: Plan, seen: Seen, slot: int, allowed: set[int], due: _Due) -> tuple[State, Reason] | None:
    """Why this slot starts no run, whatever runs; None when it may."""
    schedule = plan.schedule
    assert schedule is not None
    if schedule.left_out(slot) is not None:
        return State.SKIPPED, Reason.CALENDAR
    if _paused_at(plan, seen, slot + due.offset):
        return State.SKIPPED, Reason.PAUSED
    late = due.until - slot
    if slot not in allowed:
        return State.MISSED, Reason.RECONCILER_DOWN
    if late > ON_TIME_SECONDS and CatchUp(schedule.catch_up) is CatchUp.NONE:
        return State.MISSED, Reason.RECONCILER_DOWN
    if late > max(deadline_seconds(plan, slot), ON_TIME_SECONDS):
        return State.MISSED, Reason.DEADLINE_EXCEEDED
    return None


def deadline_seconds(plan: Plan, slot: int) -> int:
    """How late the slot may start: as written, else until the next slot, at most a day."""
    schedule = plan.schedule
    assert schedule is not None
    if schedule.starting_deadline_seconds is not None:
        return schedule.starting_deadline_seconds
    if CatchUp(schedule.catch_up) is CatchUp.ALL:
        return DEFAULT_DEADLINE_SECONDS
    following = schedule.next_after(slot)
    if following is None:
        return DEFAULT_DEADLINE_SECONDS
    return min(DEFAULT_DEADLINE_SECONDS, following - slot)


def _clash(plan: Plan, active: dict[str, RunSeen], wished: bool) -> tuple[State, Reason] | None:
    """Why the target's other runs forbid a further one."""
    match plan.concurrency:
        case Concurrency.SKIP:
            return (State.SKIPPED, Reason.STILL_RUNNING) if active or wished else None
        case Concurrency.QUEUE:
            queued = wished or any(run.waiting and run.attempt == 0 for run in active.values())
            return (State.SKIPPED, Reason.QUEUE_FULL) if queued else None
        case Concurrency.REPLACE | Concurrency.ALLOW:
            return None


def clash(plan: Plan, seen: Seen) -> Reason | None:
    """Why a request for a run now is refused by the target's concurrency rule; None when it is taken."""
    found = _clash(plan, seen.runs, False)
    return found[1] if found else None


def make_way(plan: Plan, seen: Seen, now: Instant) -> list[Fact]:
    """The facts by which `concurrency: replace` clears the target for a run now."""
    out = Decision()
    _make_way(out, plan, dict(seen.runs), now)
    return out.facts


def _make_way(out: Decision, plan: Plan, active: dict[str, RunSeen], now: Instant) -> None:
    """`replace`: end what runs and drop what waits."""
    if plan.concurrency is not Concurrency.REPLACE:
        return
    for run in list(active.values()):
        if run.waiting:
            out.facts.append(cancelled(run, Reason.REPLACED, now))
            del active[run.run]
        elif not run.stop_reason and run.ended is None:
            out.facts.append(f.StopAsked(now.wall, run.run, Reason.REPLACED))


def _wish(target: TargetId, plan: Plan, slot: int, offset: int, late: bool, now: Instant) -> f.Queued:
    at = from_epoch(slot)
    return f.Queued(
        now.wall,
        run=run_name(at),
        trigger=Trigger.CATCH_UP if late else Trigger.SCHEDULE,
        group=f"{target.job}/{run_name(at)}",
        slot=at,
        deadline=from_epoch(slot + offset + max(deadline_seconds(plan, slot), ON_TIME_SECONDS)),
    )


class _Stretch:
    """Collects consecutive slots that are settled alike into one fact."""

    def __init__(self, out: Decision, now: Instant) -> None:
        self._out, self._now = out, now
        self._key: tuple[State, Reason] | None = None
        self._first = self._last = self._count = 0

    def add(self, slot: int, state: State, reason: Reason) -> None:
        if self._key != (state, reason):
            self.close()
            self._key, self._first, self._count = (state, reason), slot, 0
        self._last = slot
        self._count += 1

    def close(self) -> None:
        if self._key is not None:
            self._out.facts.append(
                f.Settled(
                    self._now.wall,
                    *self._key,
                    first=from_epoch(self._first),
                    last=from_epoch(self._last),
                    count=self._count,
                )
            )
        self._key = None

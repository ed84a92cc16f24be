"""What one target needs now: wishes for runs, settled slots, stops, retries, ends, and when to look again.

Pure: nothing is asked of the world; the same arguments always give the same decision. Fold its facts and decide again
until there are none; that takes a few passes. A decision never starts a run, it only wishes for one; `admit` makes
the claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler.core import facts as f
from reconciler.core.facts import Fact, RunSeen, Seen, epoch, from_epoch
from reconciler.core.model import (
    CatchUp,
    Concurrency,
    Instant,
    Mode,
    Plan,
    Reason,
    Schedule,
    State,
    TargetId,
    Trigger,
)
from reconciler.core.outcome import may_retry, outcome_of
from reconciler.core.window import is_open, opens_after

ON_TIME_SECONDS = 60
"""A slot that is at most this late is run as scheduled; later it is a catch-up."""
DEFAULT_DEADLINE_SECONDS = 86400
MAX_CATCH_UP = 100
"""`catchUp: all` starts at most this many of the missed slots, the latest ones."""
MAX_SLOTS = 1000
"""Slots looked at one by one in one decision; an older stretch is settled as one."""
MAX_COUNTED = 20_000
FAILED_PROBES_OVERDUE = 3
UNSTARTED_OVERDUE = 2


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the executor to end an attempt that runs."""

    run: str
    attempt: int
    reason: Reason
    by: str = ""


@dataclass(slots=True)
class Decision:
    facts: list[Fact] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    probe: bool = False
    """Start the probe now."""
    wake_at: datetime | None = None
    next_run: datetime | None = None

    def wake(self, at: datetime | None) -> None:
        if at is not None and (self.wake_at is None or at < self.wake_at):
            self.wake_at = at


def decide(target: TargetId, plan: Plan | None, seen: Seen, now: Instant) -> Decision:
    """Decide for one target. `plan` None: it is not in the source any more. `seen` is read, never changed."""
    out = Decision()
    active = dict(seen.runs)
    for run in list(active.values()):
        if _progress(out, target, plan, run, now):
            del active[run.run]
    if out.facts:
        # All else counts from the last start and the last end: those are folded first.
        return out
    if plan is None or seen.since is None or seen.gone:
        for run in active.values():
            if run.waiting and run.attempt == 0:
                out.facts.append(_cancel(run, Reason.REMOVED, now))
        return out
    paused, resumes = pause_of(plan, seen, now.wall)
    if plan.mode is Mode.SCHEDULED and plan.schedule is not None:
        _slots(out, target, plan, seen, active, now, paused)
    elif plan.mode is Mode.AUTOMATIC and plan.criteria is not None:
        _criteria(out, target, plan, seen, active, now, paused)
    if paused:
        out.wake(resumes)
        _drop_waiting(out, active, Reason.PAUSED, now)
    elif plan.mode is Mode.DISABLED:
        _drop_waiting(out, active, Reason.DISABLED, now)
    _overdue(out, plan, seen, now, paused)
    return out


def pause_of(plan: Plan, seen: Seen, wall: datetime) -> tuple[bool, datetime | None]:
    """Whether a pause holds at `wall`, and when the last of them expires (None: not by itself)."""
    paused, latest, forever = False, wall, False
    for pause in plan.pauses:
        if pause.until is None:
            paused = forever = True
        elif pause.until > wall:
            paused, latest = True, max(latest, pause.until)
    if seen.pause_until is not None and seen.pause_until > wall:
        paused, latest = True, max(latest, seen.pause_until)
    return paused, None if forever or not paused else latest


def _cancel(run: RunSeen, reason: Reason, now: Instant) -> f.Finished:
    return f.Finished(now.wall, run.run, State.CANCELLED, reason)


def _drop_waiting(out: Decision, active: dict[str, RunSeen], reason: Reason, now: Instant) -> None:
    """Disabling or pausing cancels what waits on schedule or criteria; a request survives."""
    for run in active.values():
        if run.waiting and run.attempt == 0 and run.trigger is not Trigger.REQUEST:
            out.facts.append(_cancel(run, reason, now))


# Runs that are not over.


def _progress(out: Decision, target: TargetId, plan: Plan | None, run: RunSeen, now: Instant) -> bool:
    """Move one run on; True when it is over."""
    if not run.waiting:
        if run.ended is not None:
            return _ended(out, plan, run, run.ended, now)
        if run.stop_reason:
            out.stops.append(Stop(run.run, run.attempt, run.stop_reason, run.stop_by))
        return False
    if run.stop_reason:
        out.facts.append(f.Finished(now.wall, run.run, State.CANCELLED, run.stop_reason, _by(run)))
        return True
    if run.deadline is not None and run.attempt == 0:
        if now.wall >= run.deadline:
            out.facts.append(f.Finished(now.wall, run.run, State.MISSED, Reason.DEADLINE_EXCEEDED))
            return True
        out.wake(run.deadline)
    if run.not_before is not None and retry_wait_seconds(run, now) > 0:
        out.wake(now.wall + timedelta(seconds=retry_wait_seconds(run, now)))
    return False


def retry_wait_seconds(run: RunSeen, now: Instant) -> float:
    """How long the run still has to wait for its retry; on boot time, on wall time after a restart of the machine."""
    if run.not_before is None:
        return 0.0
    if run.not_before_boot_id == now.boot_id:
        return max(0.0, run.not_before_boot - now.boot)
    return max(0.0, (run.not_before - now.wall).total_seconds())


def _by(run: RunSeen) -> str:
    return f"by {run.stop_by}" if run.stop_by else ""


def _ended(out: Decision, plan: Plan | None, run: RunSeen, ended: f.Ended, now: Instant) -> bool:
    outcome = outcome_of(plan, run, ended)
    if may_retry(plan, run, ended, outcome):
        assert plan is not None
        assert plan.retry is not None
        delay = plan.retry.delay_before(run.attempt + 1)
        out.facts.append(
            f.Delayed(
                now.wall,
                run.run,
                run.attempt + 1,
                now.wall + timedelta(seconds=delay),
                now.boot + delay,
                now.boot_id,
            )
        )
        out.wake(now.wall + timedelta(seconds=delay))
        return False
    # The run ended when its attempt did, not when somebody looked.
    out.facts.append(f.Finished(ended.at, run.run, outcome.state, outcome.reason, outcome.message))
    return True


# Schedules.


def _slots(
    out: Decision,
    target: TargetId,
    plan: Plan,
    seen: Seen,
    active: dict[str, RunSeen],
    now: Instant,
    paused: bool,
) -> None:
    """Settle every slot up to now, in order, and say when the next one is due."""
    schedule = plan.schedule
    assert schedule is not None
    offset = schedule.jitter_seconds(str(target))
    until = epoch(now.wall) - offset
    cursor = seen.cursor if seen.cursor is not None else until
    slots = _open_slots(out, plan, seen, cursor, (until, offset), now)
    if slots:
        cursor = _settle(out, target, plan, seen, active, now, _Due(slots, offset, until))
    following = schedule.next_after(max(cursor, until))
    behind = schedule.last_until(until, cursor) is not None
    if following is None:
        return
    at = from_epoch(following + offset)
    out.next_run = _next_standing(plan, seen, following, offset, now)
    if not paused and not behind:
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
    if seen.pause_until is not None and instant < seen.pause_until.timestamp():
        return True
    return any(pause.until is None or instant < pause.until.timestamp() for pause in plan.pauses)


@dataclass(frozen=True, slots=True)
class _Due:
    slots: Sequence[int]
    offset: int
    until: int


def _settle(
    out: Decision,
    target: TargetId,
    plan: Plan,
    seen: Seen,
    active: dict[str, RunSeen],
    now: Instant,
    due: _Due,
) -> int:
    """Settle the slots one after the other; give the last one settled."""
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
        out.facts.append(_wish(target, plan, slot, due.offset, late, now))
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
            out.facts.append(_cancel(run, Reason.REPLACED, now))
            del active[run.run]
        elif not run.stop_reason and run.ended is None:
            out.facts.append(f.StopAsked(now.wall, run.run, Reason.REPLACED))


def run_name(instant: datetime, suffix: str = "") -> str:
    """The name of a run: the UTC instant in basic ISO form, and for causes a suffix."""
    return instant.strftime("%Y%m%dT%H%M%SZ") + (f"-{suffix}" if suffix else "")


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


# The job's own criteria.


def _criteria(
    out: Decision,
    target: TargetId,
    plan: Plan,
    seen: Seen,
    active: dict[str, RunSeen],
    now: Instant,
    paused: bool,
) -> None:
    criteria = plan.criteria
    assert criteria is not None
    causes = list(seen.causes)
    if criteria.every_seconds is not None:
        due = every_due(plan, seen, criteria.every_seconds, now.wall)
        unstarted = any(run.cause == "every" and run.started_at is None for run in active.values())
        if due <= now.wall and not unstarted:
            causes.append("every")
        elif due > now.wall:
            out.wake(due)
        out.next_run = max(due, now.wall)
    if criteria.probe is not None and not paused:
        _probe(out, criteria.probe.every_seconds, seen, active, now)
    if criteria.on_change and seen.fingerprint != seen.fingerprint_handled:
        causes.append("change")
    if paused:
        out.next_run = None
        return
    if not causes:
        return
    if criteria.window is not None and not is_open(criteria.window, now.wall):
        opens = opens_after(criteria.window, now.wall)
        out.wake(opens)
        out.next_run = opens
        return
    if active and plan.concurrency is not Concurrency.ALLOW:
        # The criterion stays met; the end of the run brings the target here again.
        return
    cause = causes[0]
    word = cause.partition(" ")[0]
    out.facts.append(
        f.Queued(
            now.wall,
            run=run_name(now.wall, word),
            trigger=Trigger.AUTOMATIC,
            group=_group(target, cause, now),
            cause=cause,
        )
    )


def _group(target: TargetId, cause: str, now: Instant) -> str:
    """Runs of one job that the same event started share a group; others stand alone."""
    _, _, origin = cause.partition(" ")
    if origin:
        return f"{target.job}/after-{origin.replace('/', '-')}"
    return f"{target}/{run_name(now.wall, cause)}"


def every_due(plan: Plan, seen: Seen, every_seconds: float, wall: datetime) -> datetime:
    """When `automatic.every` is met: at once when nothing ever started, after an edit or a resume a full interval."""
    assert seen.since is not None
    interval = timedelta(seconds=every_seconds)
    if seen.last_started_at is None:
        return seen.since if seen.every_from is None else seen.every_from + interval
    due = seen.last_started_at + interval
    ends = [pause.until for pause in plan.pauses] + [seen.pause_until, seen.every_from]
    anew = max((end for end in ends if end is not None and end <= wall), default=None)
    return due if anew is None or due > anew else anew + interval


def _probe(out: Decision, every_seconds: float, seen: Seen, active: dict[str, RunSeen], now: Instant) -> None:
    if seen.probing or active or "probe" in seen.causes:
        return
    due = now.wall if seen.probed_at is None else seen.probed_at + timedelta(seconds=every_seconds)
    if due <= now.wall:
        out.probe = True
        out.facts.append(f.Probed(now.wall, "started"))
    else:
        out.wake(due)


# Overdue.


def _overdue(out: Decision, plan: Plan, seen: Seen, now: Instant, paused: bool) -> None:
    message = _overdue_message(out, plan, seen, now, paused)
    if message and seen.overdue_since is None:
        out.facts.append(f.OverdueBegan(now.wall, message))
    elif not message and seen.overdue_since is not None:
        out.facts.append(f.OverdueEnded(now.wall))


def _overdue_message(out: Decision, plan: Plan, seen: Seen, now: Instant, paused: bool) -> str:
    if paused:
        return ""
    limit = plan.expect.success_every_seconds
    if limit is not None:
        assert seen.since is not None
        base = seen.last_success.finished_at if seen.last_success else seen.since
        at = base + timedelta(seconds=limit)
        if now.wall >= at:
            ended = base.isoformat(timespec="seconds") if seen.last_success else None
            return f"no success since {ended}" if ended else "never succeeded"
        out.wake(at)
    if seen.waiting or any(isinstance(fact, f.Queued) for fact in out.facts):
        # A waiting run may still make it good: neither begins nor ends anything.
        return seen.overdue_message
    if plan.mode is Mode.SCHEDULED and seen.unstarted + _unstarted(out.facts) >= UNSTARTED_OVERDUE:
        return "two slots in a row or more started no run"
    if plan.mode is Mode.AUTOMATIC and seen.probe_failures >= FAILED_PROBES_OVERDUE:
        return f"the probe failed {seen.probe_failures} times in a row: {seen.probe_message}"
    return ""


def _unstarted(facts: Sequence[Fact]) -> int:
    return sum(fact.count for fact in facts if isinstance(fact, f.Settled) and not fact.is_on_purpose)

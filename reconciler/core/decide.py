"""What one target needs now: wishes for runs, settled slots, stops, retries, ends, and when to look again.

Pure: nothing is asked of the world; the same arguments always give the same decision. Fold its facts and decide again
until there are none; that takes a few passes. A decision never starts a run, it only wishes for one; `admit` makes
the claims.
"""

from __future__ import annotations

from datetime import timedelta

from reconciler.core import facts as f
from reconciler.core.criteria import meet_criteria
from reconciler.core.decision import Case, Decision, Stop, cancelled, pause_of
from reconciler.core.model import Instant, Mode, Reason, State, TargetId, Trigger
from reconciler.core.outcome import may_retry, outcome_of
from reconciler.core.overdue import watch_overdue
from reconciler.core.plan import Plan
from reconciler.core.seen import RunSeen, Seen
from reconciler.core.slots import settle_slots
from reconciler.core.window import is_open, opens_after


def decide(target: TargetId, plan: Plan | None, seen: Seen, now: Instant) -> Decision:
    """Decide for one target. `plan` None: it is not in the source any more. `seen` is read, never changed."""
    out = Decision()
    active = dict(seen.runs)
    for run in list(active.values()):
        if _progress(out, plan, run, now):
            del active[run.run]
    if out.facts:
        # All else counts from the last start and the last end: those are folded first.
        return out
    if plan is None or seen.since is None or seen.gone:
        for run in active.values():
            if run.waiting and run.attempt == 0:
                out.facts.append(cancelled(run, Reason.REMOVED, now))
        return out
    paused, resumes = pause_of(plan, seen, now.wall)
    case = Case(target, plan, seen, active, now, paused)
    if plan.mode is Mode.SCHEDULED and plan.schedule is not None:
        settle_slots(out, case)
    elif plan.mode is Mode.AUTOMATIC and plan.criteria is not None:
        meet_criteria(out, case)
    if paused:
        out.wake(resumes)
        _drop_waiting(out, active, Reason.PAUSED, now)
    elif plan.mode is Mode.DISABLED:
        _drop_waiting(out, active, Reason.DISABLED, now)
    watch_overdue(out, case)
    return out


def _drop_waiting(out: Decision, active: dict[str, RunSeen], reason: Reason, now: Instant) -> None:
    """Disabling or pausing cancels what waits on schedule or criteria; a request survives."""
    for run in active.values():
        if run.waiting and run.attempt == 0 and run.trigger is not Trigger.REQUEST:
            out.facts.append(cancelled(run, reason, now))


def _progress(out: Decision, plan: Plan | None, run: RunSeen, now: Instant) -> bool:
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
    if plan is not None and waits_for_window(plan, run, now):
        assert plan.criteria is not None
        assert plan.criteria.window is not None
        out.wake(opens_after(plan.criteria.window, now.wall))
    if run.not_before is not None and retry_wait_seconds(run, now) > 0:
        out.wake(now.wall + timedelta(seconds=retry_wait_seconds(run, now)))
    return False


def waits_for_window(plan: Plan, run: RunSeen, now: Instant) -> bool:
    """Whether an automatic run may not start yet, or not any more before its window opens again."""
    window = plan.criteria.window if plan.criteria is not None else None
    if window is None or run.trigger is not Trigger.AUTOMATIC or run.attempt > 0:
        return False
    return not is_open(window, now.wall)


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

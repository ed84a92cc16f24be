"""The job's own criteria (`automatic`): any one of them starts it."""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.core import facts as f
from reconciler.core.decision import Case, Decision, run_name
from reconciler.core.model import Instant, TargetId, Trigger
from reconciler.core.plan import Concurrency, Plan
from reconciler.core.seen import Seen
from reconciler.core.window import is_open, opens_after


def meet_criteria(out: Decision, case: Case) -> None:
    """Wish for a run when a criterion is met, or say when to look again."""
    plan, seen, active, now = case.plan, case.seen, case.active, case.now
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
    if criteria.probe is not None and not case.paused:
        _probe(out, case, criteria.probe.every_seconds)
    if criteria.on_change and seen.fingerprint != seen.fingerprint_handled:
        causes.append("change")
    if case.paused:
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
            group=_group(case.target, cause, now),
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


def _probe(out: Decision, case: Case, every_seconds: float) -> None:
    seen, now = case.seen, case.now
    if seen.probing or case.active or "probe" in seen.causes:
        return
    due = now.wall if seen.probed_at is None else seen.probed_at + timedelta(seconds=every_seconds)
    if due <= now.wall:
        out.probe = True
        out.facts.append(f.Probed(now.wall, "started"))
    else:
        out.wake(due)

"""The columns of a target that lists show, out of its plan and what has been seen of it."""

from __future__ import annotations

from datetime import datetime

from reconciler.core.decision import pause_of, pauses_of
from reconciler.core.model import Instant, State
from reconciler.core.plan import Plan
from reconciler.core.seen import Seen
from reconciler.ports.store import Summary


def _seconds(instant: datetime | None) -> float | None:
    return None if instant is None else instant.timestamp()


def summarize(
    plan: Plan | None,
    seen: Seen,
    now: Instant,
    wake_at: datetime | None,
    next_run: datetime | None,
    not_ready: str,
) -> Summary:
    """Make the row of one target. The state is that of the run in progress, else of the last run that started."""
    running = seen.running
    waiting = seen.waiting
    last = seen.last
    summary = Summary(
        mode=str(plan.mode if plan else seen.mode),
        planning=plan.planning_text if plan else "removed",
        wake_at=_seconds(wake_at),
        next_run=_seconds(next_run),
        state=str(last.state) if last else "",
        reason=str(last.reason) if last else "",
        run=last.run if last else "",
        started=_seconds(last.started_at) if last else None,
        finished=_seconds(last.finished_at) if last else None,
        duration=last.duration_seconds if last else None,
        exit_code=last.exit_code if last else None,
        success_at=_seconds(seen.last_success.finished_at) if seen.last_success else None,
        running=len(running),
        queued=len(waiting),
        failures=seen.failures,
        overdue=seen.overdue_message,
        paused=_paused(plan, seen, now),
        drift=_drift(seen, now),
        not_ready=not_ready,
    )
    current = running[-1] if running else waiting[0] if waiting else None
    if current is not None:
        summary.state = str(State.RUNNING if running else State.QUEUED)
        summary.reason = ""
        summary.run = current.run
        if running:
            summary.started = _seconds(current.started_at or current.claimed_at)
            summary.finished = summary.duration = summary.exit_code = None
    return summary


def _paused(plan: Plan | None, seen: Seen, now: Instant) -> str:
    if plan is None:
        return ""
    paused, until = pause_of(plan, seen, now.wall)
    if not paused:
        return ""
    reasons = [pause.reason for pause in pauses_of(plan, seen) if pause.reason and pause.holds(now.wall)]
    words = f"until {until.isoformat(timespec='seconds')}" if until else "until removed"
    return words + (f": {'; '.join(reasons)}" if reasons else "")


def _drift(seen: Seen, now: Instant) -> str:
    pause = seen.local_pause
    if pause is None or pause.until is None or not pause.holds(now.wall):
        return ""
    by = f" by {seen.pause_by}" if seen.pause_by else ""
    why = f": {pause.reason}" if pause.reason else ""
    return f"paused locally{by} until {pause.until.isoformat(timespec='seconds')}{why}"

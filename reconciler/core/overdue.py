"""Overdue (CONTRACT.md 2): `successEvery` exceeded, slots in a row without a run, or a probe that keeps failing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from reconciler.core import facts as f
from reconciler.core.decision import Case, Decision
from reconciler.core.facts import Fact
from reconciler.core.model import Mode

FAILED_PROBES_OVERDUE = 3
UNSTARTED_OVERDUE = 2


def watch_overdue(out: Decision, case: Case) -> None:
    """Say when a success, a start or a probe is overdue, and when it is not any more."""
    seen, now = case.seen, case.now
    message = _message(out, case)
    if message and seen.overdue_since is None:
        out.facts.append(f.OverdueBegan(now.wall, message))
    elif not message and seen.overdue_since is not None:
        out.facts.append(f.OverdueEnded(now.wall))


def _message(out: Decision, case: Case) -> str:
    plan, seen, now = case.plan, case.seen, case.now
    if case.paused:
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

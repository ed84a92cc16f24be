"""What the end of an attempt means: the state of the run, its reason, and whether another attempt follows."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.facts import Ended
from reconciler.core.model import Reason, State
from reconciler.core.plan import Expect, Plan, Warnings
from reconciler.core.seen import RunSeen
from reconciler.core.units import plural

_INTERRUPTED = (Reason.EXIT_UNKNOWN, Reason.MACHINE_RESTARTED, Reason.FORGOTTEN)
_FAILED = (Reason.TIMED_OUT, Reason.OUT_OF_MEMORY, Reason.START_FAILED, Reason.SECRET_MISSING)


@dataclass(frozen=True, slots=True)
class Outcome:
    state: State
    reason: Reason = Reason.NONE
    message: str = ""


def outcome_of(plan: Plan | None, run: RunSeen, ended: Ended) -> Outcome:
    """The state that the end of an attempt gives its run. Non-zero is never success, an unknown end neither."""
    if ended.reason in _INTERRUPTED:
        return Outcome(State.INTERRUPTED, ended.reason, ended.message)
    if run.stop_reason:
        by = f"by {run.stop_by}" if run.stop_by else ended.message
        return Outcome(State.CANCELLED, run.stop_reason, by)
    if ended.reason in _FAILED:
        return Outcome(State.FAILURE, ended.reason, ended.message)
    if ended.signal is not None:
        return Outcome(State.FAILURE, Reason.SIGNAL, ended.message or f"ended by signal {ended.signal}")
    if ended.exit_code is None:
        return Outcome(State.INTERRUPTED, Reason.EXIT_UNKNOWN, ended.message)
    warnings = plan.warnings if plan is not None else Warnings()
    if ended.exit_code != 0:
        if ended.exit_code in warnings.exit_codes:
            return Outcome(State.WARNING, Reason.WARNING_EXIT_CODE, f"exit code {ended.exit_code}")
        return Outcome(State.FAILURE, Reason.EXIT_CODE, f"exit code {ended.exit_code}")
    broken = _broken_expectation(plan.expect if plan is not None else Expect(), run, ended)
    if broken:
        return Outcome(State.WARNING, Reason.EXPECTATION, broken)
    said = _said(warnings.level, ended)
    if said:
        return Outcome(State.WARNING, Reason.LOG_ERRORS, said)
    return Outcome(State.SUCCESS)


def _said(level: str, ended: Ended) -> str:
    parts = []
    if level in ("error", "warning") and ended.errors:
        parts.append(f"{ended.errors} error line{'s' if ended.errors != 1 else ''}")
    if level == "warning" and ended.warnings:
        parts.append(f"{ended.warnings} warning line{'s' if ended.warnings != 1 else ''}")
    return " and ".join(parts) + " in the log" if parts else ""


def _broken_expectation(expect: Expect, run: RunSeen, ended: Ended) -> str:
    started = run.started_at or run.claimed_at or ended.at
    waited = (started - (run.slot or run.queued_at)).total_seconds()
    if expect.start_within_seconds is not None and waited > expect.start_within_seconds:
        return f"started {waited:.0f} s late, expected within {expect.start_within_seconds:g} s"
    took = (ended.at - (run.attempt_started_at or started)).total_seconds()
    if expect.duration_min_seconds is not None and took < expect.duration_min_seconds:
        return f"took {took:.1f} s, expected at least {expect.duration_min_seconds:g} s"
    if expect.duration_max_seconds is not None and took > expect.duration_max_seconds:
        return f"took {took:.1f} s, expected at most {expect.duration_max_seconds:g} s"
    if expect.output_lines_min is not None and ended.lines < expect.output_lines_min:
        return f"wrote {plural(ended.lines, 'line')}, expected at least {expect.output_lines_min}"
    return ""


def may_retry(plan: Plan | None, run: RunSeen, ended: Ended, outcome: Outcome) -> bool:
    """Whether the job's retry rule asks for another attempt after this end."""
    if plan is None or plan.retry is None or run.stop_reason:
        return False
    retry = plan.retry
    if run.attempt >= retry.attempts or outcome.state not in retry.states:
        return False
    if outcome.state is State.FAILURE and retry.exit_codes:
        return ended.exit_code in retry.exit_codes
    return True

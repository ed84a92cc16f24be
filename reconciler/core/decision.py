"""What a decision is made of, and what all its parts share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from reconciler.core import facts as f
from reconciler.core.facts import Fact
from reconciler.core.model import Instant, Reason, State, TargetId
from reconciler.core.plan import Pause, Plan
from reconciler.core.seen import RunSeen, Seen


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


@dataclass(frozen=True, slots=True)
class Case:
    """What a decision is about: the target, its plan, what was seen of it, and the moment."""

    target: TargetId
    plan: Plan
    seen: Seen
    active: dict[str, RunSeen]
    """The runs that are not over, without those that this decision has ended."""
    now: Instant
    paused: bool


def pauses_of(plan: Plan, seen: Seen) -> tuple[Pause, ...]:
    """The pauses of a target, those that have expired included: of the source, and of this machine alone."""
    local = seen.local_pause
    return plan.pauses if local is None else (*plan.pauses, local)


def pause_of(plan: Plan, seen: Seen, wall: datetime) -> tuple[bool, datetime | None]:
    """Whether a pause holds at `wall`, and when the last of them expires (None: not by itself)."""
    if not plan.pauses and seen.pause_until is None:
        return False, None
    ends = [pause.until for pause in pauses_of(plan, seen) if pause.holds(wall)]
    known = [end for end in ends if end is not None]
    return bool(ends), max(known, default=None) if len(known) == len(ends) else None


def cancelled(run: RunSeen, reason: Reason, now: Instant) -> f.Finished:
    """The end of a run that never started."""
    return f.Finished(now.wall, run.run, State.CANCELLED, reason)


@lru_cache(maxsize=64)
def run_name(instant: datetime, suffix: str = "") -> str:
    """The name of a run: the UTC instant in basic ISO form, and for causes a suffix."""
    return instant.strftime("%Y%m%dT%H%M%SZ") + (f"-{suffix}" if suffix else "")

"""What a decision is made of, and what all its parts share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core import facts as f
from reconciler.core.facts import Fact
from reconciler.core.model import Instant, Reason, State, TargetId
from reconciler.core.plan import Plan
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


def cancelled(run: RunSeen, reason: Reason, now: Instant) -> f.Finished:
    """The end of a run that never started."""
    return f.Finished(now.wall, run.run, State.CANCELLED, reason)


def run_name(instant: datetime, suffix: str = "") -> str:
    """The name of a run: the UTC instant in basic ISO form, and for causes a suffix."""
    return instant.strftime("%Y%m%dT%H%M%SZ") + (f"-{suffix}" if suffix else "")

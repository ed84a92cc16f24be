"""One target under the pure core: it is looked at, claimed, started and ended by hand, at given times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.core import facts as f
from reconciler.core.decide import decide
from reconciler.core.decision import Decision, Stop
from reconciler.core.facts import Fact
from reconciler.core.fold import fold
from reconciler.core.model import Instant, Mode, Reason, TargetId
from reconciler.core.plan import Criteria, Plan
from reconciler.core.seen import RunSeen, Seen
from reconciler.triggers import compile_schedule

TARGET = TargetId("backup")
BOOT = "boot-1"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def utc(text: str) -> datetime:
    """`2026-03-01T02:00`, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def instant(wall: datetime, boot_id: str = BOOT) -> Instant:
    """A reading of a clock that never stepped."""
    return Instant(wall, (wall - EPOCH).total_seconds(), boot_id)


def scheduled(schedule: Mapping[str, Any], calendars: Mapping[str, Any] = {}, **fields: Any) -> Plan:
    """A plan that follows this schedule block, by UTC where it names no zone."""
    compiled = compile_schedule(schedule, "UTC", calendars)
    return plan(
        mode=Mode.SCHEDULED, schedule=compiled, schedule_digest=repr(sorted(schedule.items())), **fields
    )


def automatic(criteria: Criteria, **fields: Any) -> Plan:
    return plan(mode=Mode.AUTOMATIC, criteria=criteria, schedule_digest=repr(criteria), **fields)


def plan(**fields: Any) -> Plan:
    """A plan of the job `backup`, with these fields."""
    given: dict[str, Any] = {
        "job": "backup", "scope": "installation", "mode": Mode.DISABLED, "digest": "d1",
        "schedule_digest": "s1",
    }  # fmt: skip
    return Plan(**{**given, **fields})


class Life:
    """A target that was applied at `applied`; `facts` is all that ever happened to it."""

    def __init__(self, plan: Plan, applied: str, target: TargetId = TARGET) -> None:
        self.plan: Plan | None = plan
        self.target = target
        self.seen = Seen()
        self.facts: list[Fact] = []
        self.stops: list[Stop] = []
        self.apply(plan, applied)

    def tell(self, *facts: Fact) -> None:
        for fact in facts:
            self.facts.append(fact)
            fold(self.seen, fact)

    def apply(self, plan: Plan, at: str) -> None:
        """Apply anew, as an edit of the schedule does."""
        self.plan = plan
        again = self.seen.since is not None
        self.tell(f.Joined(utc(at), plan.mode, plan.digest, plan.schedule_digest, again=again))

    def look(self, at: str | datetime, boot_id: str = BOOT) -> list[Fact]:
        """Decide until nothing more follows; the facts that followed."""
        now = instant(utc(at) if isinstance(at, str) else at, boot_id)
        told: list[Fact] = []
        for _ in range(4):
            decision = decide(self.target, self.plan, self.seen, now)
            if not decision.facts:
                self.stops = decision.stops
                return told
            told.extend(decision.facts)
            self.tell(*decision.facts)
        raise AssertionError(f"does not come to rest: {told}")

    def decision(self, at: str | datetime) -> Decision:
        """What is decided at rest: when to look again, when the next run is."""
        self.look(at)
        return decide(self.target, self.plan, self.seen, instant(utc(at) if isinstance(at, str) else at))

    def wishes(self, at: str) -> list[str]:
        """Look; the names of the runs that are wished for."""
        return [fact.run for fact in self.look(at) if isinstance(fact, f.Queued)]

    def settled(self, at: str) -> list[tuple[str, str, int]]:
        """Look; (state, reason, count) of the slots that start no run."""
        return [
            (str(fact.state), str(fact.reason), fact.count)
            for fact in self.look(at)
            if isinstance(fact, f.Settled)
        ]

    def finished(self, at: str, boot_id: str = BOOT) -> list[tuple[str, str, str]]:
        """Look; (run, state, reason) of the runs that are over with it."""
        return [
            (fact.run, str(fact.state), str(fact.reason))
            for fact in self.look(at, boot_id)
            if isinstance(fact, f.Finished)
        ]

    def run(self, name: str) -> RunSeen:
        return self.seen.runs[name]

    def start(self, name: str, at: str) -> None:
        """Claim the next attempt of a waiting run, and have it started."""
        attempt = self.run(name).attempt + 1
        self.tell(f.Claimed(utc(at), name, attempt, BOOT, "d1"), f.Started(utc(at), name, attempt, 100))

    def end(self, name: str, at: str, code: int | None = 0, **fields: Any) -> None:
        reason = fields.pop("reason", Reason.EXIT_CODE if code else Reason.NONE)
        self.tell(f.Ended(utc(at), name, self.run(name).attempt, exit_code=code, reason=reason, **fields))

    def request(self, name: str, at: str) -> None:
        """A run now, taken."""
        from reconciler.core.model import Trigger

        self.tell(f.Queued(utc(at), name, Trigger.REQUEST))


def replayed(facts: Iterable[Fact]) -> Seen:
    """Fold facts as they come back from the store."""
    seen = Seen()
    for fact in facts:
        fold(seen, f.fact_from_json(type(fact).__name__, f.to_json(fact)))
    return seen


def later(at: str, **delta: float) -> datetime:
    return utc(at) + timedelta(**delta)


__all__ = [
    "BOOT", "TARGET", "Life", "automatic", "instant", "later", "plan", "replace", "replayed", "scheduled", "utc",
]  # fmt: skip

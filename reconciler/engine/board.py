"""The targets that a round works on: their folded state, what changed, and what is to be done after the commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from reconciler.core import facts as f
from reconciler.core.decision import Decision, Stop
from reconciler.core.desired import Desired
from reconciler.core.facts import Fact, is_heartbeat
from reconciler.core.fold import fold, is_ahead
from reconciler.core.model import Instant, Reason, State, TargetId
from reconciler.core.plan import Plan
from reconciler.core.seen import Seen
from reconciler.engine.summary import summarize
from reconciler.ports.executor import AttemptId
from reconciler.ports.store import Store

MAX_PASSES = 8
"""A target settles in two or three passes; more means that a rule contradicts itself."""
CLOCK_TOLERANCE = timedelta(minutes=5)


Decide = Callable[[TargetId, Plan | None, Seen, Instant], Decision]


@dataclass(slots=True)
class Effects:
    """What is done after the commit."""

    stops: list[tuple[AttemptId, Reason, str]] = field(default_factory=list)
    probes: list[TargetId] = field(default_factory=list)
    changed: set[TargetId] = field(default_factory=set)
    discards: list[AttemptId] = field(default_factory=list)
    over: list[tuple[TargetId, f.Finished]] = field(default_factory=list)
    followed: int = 0
    """How many of `over` were followed up."""
    facts: list[tuple[TargetId, Fact]] = field(default_factory=list)


_STIRRING = (f.Queued, f.Finished, f.Delayed, f.Ended)


@dataclass(slots=True)
class _Wakes:
    wake_at: datetime | None = None
    next_run: datetime | None = None


class Board:
    """Looks at targets: decides, records and folds facts, and keeps the rows. Use it inside a transaction."""

    def __init__(self, store: Store, not_ready: Callable[[Plan], str], decide: Decide) -> None:
        self.store = store
        self.desired = Desired()
        self.effects = Effects()
        self.active: dict[TargetId, Seen] = {}
        """Targets with a run that is not over."""
        self.stirred = True
        """Something changed that may let a waiting run start."""
        self._touched: dict[TargetId, Seen] = {}
        self._wakes: dict[TargetId, _Wakes] = {}
        self._dirty: dict[TargetId, None] = {}
        self._not_ready, self._decide = not_ready, decide

    def reload(self) -> None:
        """Forget all that is in memory: after a rollback the store alone says what is so."""
        self.active.clear()
        self._touched.clear()
        self._wakes.clear()
        self._dirty.clear()
        self.effects = Effects()
        for target in self.store.active():
            seen = self.store.seen(target)
            if seen is not None and seen.runs:
                self.active[target] = seen

    def plan_of(self, target: TargetId) -> Plan | None:
        return self.desired.targets.get(target)

    def not_ready(self, target: TargetId) -> str:
        plan = self.plan_of(target)
        return self._not_ready(plan) if plan is not None else ""

    def seen(self, target: TargetId) -> Seen:
        """The folded state of a target; made on first use."""
        seen = self.active.get(target) or self._touched.get(target)
        if seen is None:
            seen = self.store.seen(target) or Seen()
            self._touched[target] = seen
        return seen

    def record(self, target: TargetId, fact: Fact) -> None:
        """Write a fact and fold it."""
        seen = self.seen(target)
        if not is_heartbeat(fact):
            self.store.record(target, fact)
            self.effects.facts.append((target, fact))
        fold(seen, fact)
        self._dirty[target] = None
        if seen.runs:
            self.active[target] = seen
        elif target in self.active:
            del self.active[target]
            self._touched[target] = seen
        if isinstance(fact, _STIRRING):
            self.stirred = True
        if isinstance(fact, f.Finished):
            self.effects.over.append((target, fact))

    def look(self, target: TargetId, now: Instant) -> None:
        """Decide for the target until nothing more follows."""
        self.look_under(target, self.plan_of(target), now)

    def look_under(self, target: TargetId, plan: Plan | None, now: Instant) -> None:
        """Decide under this plan: the wanted one, or the last applied one when it is about to be swapped."""
        seen = self.seen(target)
        if is_ahead(seen, now.wall + CLOCK_TOLERANCE):
            self.record(target, f.ClockSetBack(now.wall))
        for _ in range(MAX_PASSES):
            decision = self._decide(target, plan, seen, now)
            for fact in decision.facts:
                self.record(target, self._named(target, fact, now) if isinstance(fact, f.Queued) else fact)
            if decision.probe:
                self.effects.probes.append(target)
            if not decision.facts:
                break
        else:
            raise AssertionError(f"{target} does not come to rest: {decision.facts!r}")
        self._note_stops(target, decision.stops)
        if any(run.waiting for run in seen.runs.values()):
            self.stirred = True
        self._wakes[target] = _Wakes(decision.wake_at, decision.next_run)
        self._dirty[target] = None

    def _named(self, target: TargetId, fact: f.Queued, now: Instant) -> Fact:
        """No name is used again, though the clock was set back: a slot that has its run is skipped, others count on."""
        if not self.store.run_exists(target, fact.run):
            return fact
        if fact.slot is not None:
            return f.Settled(now.wall, State.SKIPPED, Reason.CLOCK_STEPPED, fact.slot, fact.slot, 1)
        number = 2
        while self.store.run_exists(target, f"{fact.run}-{number}"):
            number += 1
        return replace(fact, run=f"{fact.run}-{number}")

    def _note_stops(self, target: TargetId, stops: list[Stop]) -> None:
        for stop in stops:
            attempt = AttemptId.of(target, stop.run, stop.attempt)
            self.effects.stops.append((attempt, stop.reason, stop.by))

    def look_at_rest(self, now: Instant) -> None:
        """Look at all that changed and was not looked at."""
        while unseen := [target for target in self._dirty if target not in self._wakes]:
            for target in unseen:
                self.look(target, now)

    def flush(self, now: Instant) -> None:
        """Write the rows of all targets that changed."""
        self.look_at_rest(now)
        for target in self._dirty:
            seen = self.seen(target)
            wakes = self._wakes.get(target) or _Wakes()
            plan = self.plan_of(target)
            row = summarize(plan, seen, now, wakes.wake_at, wakes.next_run, self.not_ready(target))
            self.store.save(target, seen, row)
        self.effects.changed.update(self._dirty)
        self._dirty.clear()

    def touch(self, target: TargetId) -> None:
        """Count this target among those that this transaction concerns."""
        self._dirty[target] = None

    def changed(self) -> list[TargetId]:
        """The targets that this transaction concerns so far."""
        return list(self._dirty)

    def forget(self, target: TargetId) -> None:
        """Read this target's state from the store again."""
        self.active.pop(target, None)
        self._touched.pop(target, None)

    def finish(self) -> Effects:
        """After the commit: give what is to be done, and let go of targets at rest."""
        effects, self.effects = self.effects, Effects()
        self._touched.clear()
        self._wakes.clear()
        return effects

"""The targets that a round works on: their folded state, what changed, and what is to be done after the commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core import facts as f
from reconciler.core.decide import Decision, Stop
from reconciler.core.facts import Fact, Seen, epoch, is_heartbeat
from reconciler.core.fold import fold
from reconciler.core.model import Desired, Instant, Plan, Reason, State, TargetId
from reconciler.engine.summary import summarize
from reconciler.ports.executor import AttemptId
from reconciler.ports.store import Store

MAX_PASSES = 8
"""A target settles in two or three passes; more means that a rule contradicts itself."""
CLOCK_TOLERANCE_SECONDS = 300


Decide = Callable[[TargetId, Plan | None, Seen, Instant], Decision]


@dataclass(slots=True)
class Effects:
    """What is done after the commit."""

    stops: list[tuple[AttemptId, Reason, str]] = field(default_factory=list)
    probes: list[TargetId] = field(default_factory=list)
    changed: set[TargetId] = field(default_factory=set)
    discards: list[AttemptId] = field(default_factory=list)
    over: list[tuple[TargetId, f.Finished]] = field(default_factory=list)
    facts: list[tuple[TargetId, Fact]] = field(default_factory=list)


_STIRRING = (f.Queued, f.Finished, f.Delayed, f.Ended)


@dataclass(slots=True)
class _Wakes:
    wake_at: datetime | None = None
    next_run: datetime | None = None


class Board:
    """Looks at targets: decides, records and folds facts, and keeps the rows. Use it inside a transaction."""

    def __init__(self, store: Store, not_ready: Callable[[TargetId, Plan], str], decide: Decide) -> None:
        self.store = store
        self.desired = Desired()
        self.effects = Effects()
        self.active: dict[TargetId, Seen] = {}
        """Targets with a run that is not over."""
        self.stirred = True
        """Something changed that may let a waiting run start."""
        self._touched: dict[TargetId, Seen] = {}
        self._wakes: dict[TargetId, _Wakes] = {}
        self._dirty: set[TargetId] = set()
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
        return self._not_ready(target, plan) if plan is not None else ""

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
        self._dirty.add(target)
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
        if seen.cursor is not None and seen.cursor > epoch(now.wall) + CLOCK_TOLERANCE_SECONDS:
            self.record(target, f.ClockSetBack(now.wall))
        for _ in range(MAX_PASSES):
            decision = self._decide(target, plan, seen, now)
            for fact in decision.facts:
                if isinstance(fact, f.Queued) and self.store.run_exists(target, fact.run):
                    self._settle_again(target, fact, now)
                else:
                    self.record(target, fact)
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
        self._dirty.add(target)

    def _settle_again(self, target: TargetId, fact: f.Queued, now: Instant) -> None:
        """A slot whose run name exists never runs again (the clock was set back, a backup was restored)."""
        at = fact.slot or now.wall
        self.record(target, f.Settled(now.wall, State.SKIPPED, Reason.CLOCK_STEPPED, at, at, 1))
        if fact.slot is None:
            self.seen(target).causes.clear()
            self.seen(target).every_from = now.wall

    def _note_stops(self, target: TargetId, stops: list[Stop]) -> None:
        for stop in stops:
            attempt = AttemptId.of(target, stop.run, stop.attempt)
            self.effects.stops.append((attempt, stop.reason, stop.by))

    def flush(self, now: Instant) -> None:
        """Write the rows of all targets that changed."""
        while unseen := [target for target in self._dirty if target not in self._wakes]:
            for target in unseen:
                self.look(target, now)
        for target in self._dirty:
            seen = self.seen(target)
            wakes = self._wakes.get(target) or _Wakes()
            plan = self.plan_of(target)
            row = summarize(plan, seen, now, wakes.wake_at, wakes.next_run, self.not_ready(target))
            self.store.save(target, seen, row)
        self.effects.changed |= self._dirty
        self._dirty.clear()

    def joined_or_changed(self) -> set[TargetId]:
        """The targets that facts of this transaction concern so far."""
        return set(self._dirty)

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

"""Performs what the pure core decides: one round takes what happened, decides, commits, and only then acts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from reconciler.core import facts as f
from reconciler.core.desired import Desired
from reconciler.core.facts import from_epoch
from reconciler.core.model import Instant, Reason, TargetId
from reconciler.engine.admission import Admitting
from reconciler.engine.applying import Applying
from reconciler.engine.attempts import Attempts
from reconciler.engine.board import Board, Effects
from reconciler.engine.parts import Parts
from reconciler.engine.upstream import Upstream
from reconciler.ports.executor import AttemptId, Order
from reconciler.ports.failpoint import failpoint

MAX_TARGETS = 2000
ROUND_SECONDS = 0.020
"""A round takes at most about this long; what is left is the next round's..."""
FIRST_ROUND_SECONDS = 0.004
"""...and at most this while nothing waits to be started: the first of many runs start while others are decided."""
START_SECONDS = 0.0004
"""What one start takes an executor, about: a round is over before it has nothing left to start."""
HOLD_SECONDS = 60.0
"""After a step of the clock forward by over an hour, no new wishes for this long."""
FORWARD_STEP_SECONDS = 3600.0
BACKWARD_STEP_SECONDS = 300.0
RETRY_STATE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Round:
    """When the engine wants its next round, in seconds from now (None: only when something happens)."""

    wait_seconds: float | None
    worked: bool = False
    """Whether there was anything to decide."""


class Engine:
    """One installation's runs. Single-threaded; every public method is one transaction and its effects."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.store = parts.store
        self.board = Board(parts.store, parts.orders.not_ready, parts.decide)
        self.applying = Applying(self.board)
        self.upstream = Upstream(self.board)
        self.problem = ""
        """Why the state cannot be written at the moment."""
        self.admitting = Admitting(self.board, parts)
        self.attempts = Attempts(self.board, parts, self.admitting.start_again)
        self._touched: list[TargetId] = []
        self._last: Instant | None = None
        self._hold_until_boot = 0.0

    # Beginning.

    def open(self, desired: Desired) -> None:
        """Take up the state: what was applied last, and every attempt that was claimed and is not over."""
        now = self.parts.clock.now()
        self.board.desired = desired
        self.upstream.index(desired)
        self.board.reload()
        self._check_stored_clock(now)
        for target, seen in self.board.active.items():
            self._touched.append(target)
            for run in seen.running:
                if run.ended is None:
                    attempt = AttemptId.of(target, run.run, run.attempt)
                    if run.attempt_started_at is not None:
                        # Its start was told to the daemon before us: nobody tells it again.
                        self.parts.logs.follow(attempt)
                    self.parts.executor.adopt(attempt, run.boot_id)
        for target, plan in desired.targets.items():
            if plan.criteria is not None and plan.criteria.probe is not None:
                self.attempts.adopt_probe(target, now)
        self._last = now

    def _check_stored_clock(self, now: Instant) -> None:
        stored = self.store.meta("clock")
        if stored is not None and now.wall.timestamp() < float(stored) - BACKWARD_STEP_SECONDS:
            with self.store.transaction():
                self.store.wake_all(now.wall.timestamp())

    # Changes from outside.

    def apply(self, desired: Desired, persist: Callable[[], None]) -> None:
        """Swap to what the source wants now: settle under the old plans, then count from now under the new."""
        now = self.parts.clock.now()

        def change() -> None:
            persist()
            self.applying.swap(desired, now)
            self.upstream.index(desired)

        before = self.board.desired
        self.parts.orders.forget()
        try:
            self._transact(change, now)
        except BaseException:
            self.applying.start_over()
            self.board.desired = before
            self.upstream.index(before)
            raise

    def request_cancel(self, target: TargetId, run: str | None, by: str) -> list[str]:
        """Stop a target's run, or all that are not over; the names of those that it concerns."""
        now = self.parts.clock.now()
        names: list[str] = []

        def change() -> None:
            for item in list(self.board.seen(target).runs.values()):
                if run in (None, item.run):
                    names.append(item.run)
                    if not item.stop_reason:
                        self.board.record(target, f.StopAsked(now.wall, item.run, Reason.CANCELLED_BY, by))
            self.board.look(target, now)

        self._transact(change, now)
        return names

    def pause_locally(self, target: TargetId, until: datetime | None, reason: str, by: str) -> None:
        """Set (or with `until` None end) a time-limited override of this machine."""
        now = self.parts.clock.now()

        def change() -> None:
            # What lies behind is settled under what was in force.
            self.board.look(target, now)
            if until is None:
                self.board.record(target, f.ResumedLocally(now.wall, by))
            else:
                self.board.record(target, f.PausedLocally(now.wall, until, reason, by))
            self.board.look(target, now)

        self._transact(change, now)

    def remove_runs(self, target: TargetId, names: Sequence[str], why: f.HistoryRemoved) -> int:
        """Take runs that are over out of the history, and say so by `why`; what is decided stays as it is."""
        now = self.parts.clock.now()
        removed = 0

        def change() -> None:
            nonlocal removed
            removed = self.store.remove_runs(target, names, now.wall.timestamp())
            if removed:
                self.board.record(target, why)

        self._transact(change, now)
        return removed

    def fingerprint(self, digests: Mapping[TargetId, str]) -> None:
        """Tell what targets' watched files look like now. Of targets that are not there any more nothing is kept."""
        now = self.parts.clock.now()

        def change() -> None:
            for target, digest in digests.items():
                if self.board.plan_of(target) is not None and self.board.seen(target).fingerprint != digest:
                    self.board.record(target, f.Fingerprinted(now.wall, digest))
                    self.board.look(target, now)

        self._transact(change, now)

    def admit_again(self) -> None:
        """Ask again whether waiting runs may start (a secret may have come)."""
        self.board.stirred = True

    def touch(self, targets: Iterable[TargetId]) -> None:
        """Have these looked at in the next round."""
        self._touched.extend(targets)

    # The round.

    def round(self) -> Round:
        """Take what happened, decide for whoever is due, claim, commit, act."""
        now = self.parts.clock.now()
        self.attempts.listen()
        try:
            self.attempts.listen_to_logs()
            self._note_step(now)
            left = self._work(now)
        except sqlite3.OperationalError as error:
            self.problem = f"cannot write the state: {error}; runs go on, and it is tried again every second"
            return Round(RETRY_STATE_SECONDS)
        self.problem = ""
        if left is None:
            return Round(self._wait(now))
        return Round(0.0 if left else self._wait(now), worked=True)

    def _work(self, now: Instant) -> bool | None:
        """Do what there is to do; whether more is left, None when there was nothing."""
        looked = list(dict.fromkeys(self._touched))
        due = [] if now.boot < self._hold_until_boot else self.store.due(now.wall.timestamp(), MAX_TARGETS)
        if not (self.attempts.has_news or looked or due or self.board.stirred):
            return None
        begun = self.parts.measure()
        bound = self._bound_seconds()
        left: list[TargetId] = []

        def change() -> None:
            queue = dict.fromkeys([*self.attempts.take(now), *looked, *due])
            for number, target in enumerate(queue):
                if number % 16 == 15 and self.parts.measure() - begun > bound:
                    left.extend(t for i, t in enumerate(queue) if i >= number)
                    break
                self.board.look(target, now)

        self._touched = []
        try:
            self._transact(change, now)
        except BaseException:
            self._touched.extend(looked)
            raise
        self.attempts.commit()
        self._touched.extend(left)
        failpoint("engine:after-events")
        return bool(left) or len(due) == MAX_TARGETS

    def _bound_seconds(self) -> float:
        """How long this round may take."""
        unstarted = 0
        for seen in self.board.active.values():
            for run in seen.runs.values():
                if run.waiting:
                    # Limits keep runs from starting, and nobody gains by a short round.
                    return ROUND_SECONDS
                unstarted += run.attempt_started_at is None
        return min(ROUND_SECONDS, max(FIRST_ROUND_SECONDS, START_SECONDS * unstarted))

    def _transact(self, change: Callable[[], None], now: Instant) -> None:
        """One transaction: the change, what follows from it for others, claims, rows. Then the effects."""
        self.admitting.begin()
        try:
            with self.store.transaction():
                change()
                self._follow(now)
                orders = self.admitting.claim_all(now)
                # A start that could not be prepared is an end too.
                self._follow(now)
                self.board.flush(now)
                for hook in self.parts.hooks:
                    hook(self.board.effects.facts, now)
                self.store.set_meta("clock", str(now.wall.timestamp()))
        except BaseException:
            # Rolled back: the store alone says what is so.
            self.board.reload()
            self.parts.orders.forget()
            self.admitting.roll_back()
            self._touched.extend(self.board.active)
            self.board.stirred = True
            raise
        self.admitting.commit()
        self._perform(self.board.finish(), orders, now)

    def _follow(self, now: Instant) -> None:
        """What the ends of runs mean for other targets."""
        effects = self.board.effects
        self.board.look_at_rest(now)
        while effects.followed < len(effects.over):
            target, fact = effects.over[effects.followed]
            effects.followed += 1
            if fact.state.is_good:
                for other in self.upstream.tell(target, fact, now):
                    self.board.look(other, now)

    def _perform(self, effects: Effects, orders: Sequence[Order], now: Instant) -> None:
        failpoint("engine:before-start")
        for order in orders:
            self.parts.logs.follow(order.attempt)
            self.parts.executor.start(order)
        failpoint("engine:after-start")
        for attempt, reason, by in effects.stops:
            self.parts.executor.stop(attempt, reason, by)
        for target in effects.probes:
            self.attempts.start_probe(target, now)
        if orders or effects.stops or effects.probes:
            # What was asked for leaves at once, in one batch.
            self.attempts.listen()
        for attempt in effects.discards:
            self.parts.discard(attempt)
        if effects.facts:
            self.parts.recorded(effects.facts)
        failpoint("engine:before-outputs")
        if effects.changed:
            self.parts.changed(effects.changed)

    # Time.

    def _note_step(self, now: Instant) -> None:
        """A step is what wall time moved beyond boot time; sleep is none (DESIGN.md 2)."""
        last, self._last = self._last, now
        if last is None or last.boot_id != now.boot_id:
            return
        step = (now.wall - last.wall).total_seconds() - (now.boot - last.boot)
        if step > FORWARD_STEP_SECONDS:
            self._hold_until_boot = now.boot + HOLD_SECONDS
        elif step < -BACKWARD_STEP_SECONDS:
            with self.store.transaction():
                self.store.wake_all(now.wall.timestamp())

    @property
    def held_by_clock(self) -> bool:
        """Whether a step of the clock forward holds new wishes at the moment."""
        return self._last is not None and self._last.boot < self._hold_until_boot

    def _wait(self, now: Instant) -> float | None:
        waits: list[float] = []
        wake = self.store.next_wake()
        if wake is not None:
            waits.append((from_epoch(wake) - now.wall).total_seconds())
        executor = self.parts.executor.wake_in()
        if executor is not None:
            waits.append(executor)
        news = self.attempts.wait_seconds
        if news is not None:
            waits.append(news)
        if self.board.stirred or self.admitting.again or self._touched:
            waits.append(0.01)
        if now.boot < self._hold_until_boot:
            waits = [max(wait, self._hold_until_boot - now.boot) for wait in waits]
        return max(0.0, min(waits)) if waits else None

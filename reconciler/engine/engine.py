"""Performs what the pure core decides: one round takes what happened, decides, commits, and only then acts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from reconciler.core import facts as f
from reconciler.core.admit import Admission, Running, Waiting, Why, admit
from reconciler.core.decide import decide, retry_wait_seconds
from reconciler.core.facts import Fact, RunSeen, Seen, from_epoch
from reconciler.core.model import Concurrency, Desired, Instant, Limits, Plan, Reason, TargetId
from reconciler.engine.applying import Applying
from reconciler.engine.board import Board, Decide, Effects
from reconciler.engine.upstream import Upstream
from reconciler.ports.clock import Clock
from reconciler.ports.executor import AttemptId, Ended, Executor, ExecutorEvent, NotStarted, Order, Started
from reconciler.ports.failpoint import failpoint
from reconciler.ports.logs import LogCounts, Logs
from reconciler.ports.store import Store

MAX_TARGETS = 2000
ROUND_SECONDS = 0.020
"""A round takes at most about this long; what is left is the next round's."""
HOLD_SECONDS = 60.0
"""After a step of the clock forward by over an hour, no new wishes for this long."""
FORWARD_STEP_SECONDS = 3600.0
BACKWARD_STEP_SECONDS = 300.0
RETRY_STATE_SECONDS = 1.0
PROBE_RUN = "_probe"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an attempt is made of, and the order that starts it; `error` instead of an order says why it cannot be."""

    digest: str
    order: Order | None
    error: str = ""


class Orders(Protocol):
    """Makes orders out of documents, at the claim."""

    def prepare(self, target: TargetId, run: RunSeen, attempt: int, seen: Seen) -> Prepared:
        """Freeze the definition with the first attempt, reuse it for the others; make the order."""

    def probe(self, target: TargetId, attempt: int) -> Prepared: ...

    def not_ready(self, target: TargetId, plan: Plan) -> str:
        """Why the target cannot run now (a secret is missing); empty when it can."""

    def forget(self) -> None:
        """Documents have changed."""


Admit = Callable[[Sequence[Waiting], Sequence[Running], Limits, str], Admission]


@dataclass(slots=True)
class Parts:
    """What the engine is put together from."""

    store: Store
    clock: Clock
    executor: Executor
    logs: Logs
    orders: Orders
    measure: Callable[[], float]
    """Seconds of a monotonic clock, to bound a round."""
    discard: Callable[[AttemptId], None]
    """Delete the directory of an attempt that leaves no run behind."""
    changed: Callable[[set[TargetId]], None] = lambda targets: None
    """Told after each commit whose rows changed."""
    recorded: Callable[[list[tuple[TargetId, Fact]]], None] = lambda facts: None
    """Told after each commit which facts it holds."""
    starts: bool = True
    """False for a process that applies and leaves: it decides and records, and starts nothing."""
    hooks: list[Callable[[Sequence[tuple[TargetId, Fact]], Instant], None]] = field(default_factory=list)
    """Told in each transaction, when its rows are written, which facts it holds (letters)."""
    decide: Decide = decide
    admit: Admit = admit


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
        self.admission = Admission()
        self._events: list[ExecutorEvent] = []
        self._counts: list[tuple[AttemptId, LogCounts]] = []
        self._closing: dict[AttemptId, Ended] = {}
        self._touched: list[TargetId] = []
        self._restart: list[AttemptId] = []
        self._restart_taken: list[AttemptId] = []
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
                    self.parts.executor.adopt(AttemptId.of(target, run.run, run.attempt), run.boot_id)
        for target, plan in desired.targets.items():
            if plan.criteria is not None and plan.criteria.probe is not None:
                self._adopt_probe(target, now)
        self._last = now

    def _adopt_probe(self, target: TargetId, now: Instant) -> None:
        seen = self.board.seen(target)
        if seen.probing and seen.probed_at is not None:
            attempt = AttemptId.of(target, PROBE_RUN, int(seen.probed_at.timestamp()))
            self.parts.executor.adopt(attempt, now.boot_id)

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
        self._events.extend(self.parts.executor.poll())
        try:
            self._counts_so_far()
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
        events, looked = list(self._events), list(dict.fromkeys(self._touched))
        due = [] if now.boot < self._hold_until_boot else self.store.due(now.wall.timestamp(), MAX_TARGETS)
        if not (events or looked or due or self._counts or self.board.stirred):
            return None
        begun = self.parts.measure()
        left: list[TargetId] = []

        def change() -> None:
            touched = dict.fromkeys(t for event in events for t in self._take(event, now))
            for attempt, counts in self._counts:
                touched.update(dict.fromkeys(self._close(attempt, counts)))
            queue = dict.fromkeys([*touched, *looked, *due])
            for number, target in enumerate(queue):
                if number % 16 == 15 and self.parts.measure() - begun > ROUND_SECONDS:
                    left.extend(t for i, t in enumerate(queue) if i >= number)
                    break
                self.board.look(target, now)

        self._touched = []
        try:
            self._transact(change, now)
        except BaseException:
            self._touched.extend(looked)
            raise
        del self._events[: len(events)]
        for attempt, _ in self._counts:
            self._closing.pop(attempt, None)
        self._counts.clear()
        self._touched.extend(left)
        failpoint("engine:after-events")
        return bool(left) or len(due) == MAX_TARGETS

    def _transact(self, change: Callable[[], None], now: Instant) -> None:
        """One transaction: the change, what follows from it for others, claims, rows. Then the effects."""
        admission = self.admission
        try:
            with self.store.transaction():
                change()
                self._follow(now)
                orders = self._admit(now)
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
            self.admission = admission
            self._touched.extend(self.board.active)
            self._restart = [*self._restart_taken, *self._restart]
            self.board.stirred = True
            raise
        self._restart_taken = []
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
            self._start_probe(target, now)
        if orders or effects.stops or effects.probes:
            # What was asked for leaves at once, in one batch.
            self._events.extend(self.parts.executor.poll())
        for attempt in effects.discards:
            self.parts.discard(attempt)
        if effects.facts:
            self.parts.recorded(effects.facts)
        failpoint("engine:before-outputs")
        if effects.changed:
            self.parts.changed(effects.changed)

    # What executors tell.

    def _take(self, event: ExecutorEvent, now: Instant) -> list[TargetId]:
        target = _target_of(event.attempt)
        if event.attempt.run == PROBE_RUN:
            return self._probed(target, event, now)
        run = self.board.seen(target).runs.get(event.attempt.run)
        if run is None or run.attempt != event.attempt.attempt or run.waiting:
            return []
        match event:
            case Started():
                if run.attempt_started_at is None:
                    self.board.record(target, f.Started(event.at, run.run, run.attempt, event.pid or 0))
                    self.parts.logs.follow(event.attempt)
            case NotStarted():
                self._restart.append(event.attempt)
            case Ended():
                counts = self.parts.logs.finish(event.attempt)
                if counts is None:
                    self._closing[event.attempt] = event
                    return []
                self._end(target, run, event, counts)
        return [target]

    def _close(self, attempt: AttemptId, counts: LogCounts) -> list[TargetId]:
        event = self._closing.get(attempt)
        target = _target_of(attempt)
        run = self.board.seen(target).runs.get(attempt.run)
        if event is None or run is None:
            return []
        self._end(target, run, event, counts)
        return [target]

    def _end(self, target: TargetId, run: RunSeen, event: Ended, counts: LogCounts) -> None:
        if run.ended is not None:
            return
        if event.stopped_by and not run.stop_reason and event.reason is not Reason.TIMED_OUT:
            self.board.record(target, f.StopAsked(event.at, run.run, event.reason, event.stopped_by))
        started = run.attempt_started_at or run.claimed_at or event.at
        self.board.record(
            target,
            f.Ended(
                event.at,
                run.run,
                run.attempt,
                exit_code=event.exit_code,
                signal=event.signal,
                reason=event.reason,
                message=event.message,
                lines=counts.lines,
                infos=counts.infos,
                warnings=counts.warnings,
                errors=counts.errors,
                progress=counts.progress,
                duration_seconds=(event.at - started).total_seconds(),
            ),
        )

    def _counts_so_far(self) -> None:
        final, running = self.parts.logs.poll()
        self._counts.extend(final)
        if running:
            with self.store.transaction():
                for attempt, counts in running:
                    target = _target_of(attempt)
                    self.store.set_progress(
                        target, attempt.run, {"lines": counts.lines, "progress": counts.progress}
                    )
            self.parts.changed({_target_of(attempt) for attempt, _ in running})

    # Probes.

    def _start_probe(self, target: TargetId, now: Instant) -> None:
        number = int(now.wall.timestamp())
        prepared = self.parts.orders.probe(target, number)
        if prepared.order is not None:
            self.parts.executor.start(prepared.order)
            return
        attempt = AttemptId.of(target, PROBE_RUN, number)
        self._events.append(Ended(attempt, now.wall, None, None, Reason.START_FAILED, prepared.error))

    def _probed(self, target: TargetId, event: ExecutorEvent, now: Instant) -> list[TargetId]:
        if isinstance(event, Started):
            return []
        if isinstance(event, NotStarted) or event.reason in (Reason.EXIT_UNKNOWN, Reason.MACHINE_RESTARTED):
            # Nobody knows what it would have said: it is asked again when its time comes.
            fact = f.Probed(now.wall, "lost")
        elif event.exit_code == 0:
            fact = f.Probed(event.at, "met")
        elif event.exit_code == 1 and event.reason in (Reason.NONE, Reason.EXIT_CODE):
            fact = f.Probed(event.at, "nothing")
        else:
            said = event.message or (
                f"exit code {event.exit_code}" if event.exit_code is not None else f"signal {event.signal}"
            )
            fact = f.Probed(event.at, "failed", said)
        self.board.record(target, fact)
        self.board.effects.discards.append(event.attempt)
        return [target]

    # Admission.

    def _admit(self, now: Instant) -> list[Order]:
        """Claim what may start, and note why each other run waits."""
        orders = [order for attempt in self._restart if (order := self._order_again(attempt)) is not None]
        self._restart_taken, self._restart = self._restart, []
        if not self.board.stirred or not self.parts.starts:
            return orders
        self.board.stirred = False
        waiting: list[Waiting] = []
        running: list[Running] = []
        for target, seen in self.board.active.items():
            self._stand(target, seen, now, waiting, running)
        before = self.admission.waits
        admission = self.parts.admit(waiting, running, self.board.desired.limits, self.admission.last_domain)
        for claim in admission.claims:
            order = self._claim(claim, now)
            if order is not None:
                orders.append(order)
        for key, why in admission.waits.items():
            if before.get(key) != why:
                self.store.set_waiting(*key, str(why))
                self.board.effects.changed.add(key[0])
        self.admission = admission
        return orders

    def _stand(
        self, target: TargetId, seen: Seen, now: Instant, waiting: list[Waiting], running: list[Running]
    ) -> None:
        plan = self.board.plan_of(target)
        locks = plan.locks if plan is not None else ()
        busy = ""
        for run in seen.runs.values():
            if not run.waiting:
                running.append(Running(target, run.run, run.locks))
                busy = busy or run.run
        alone = plan is None or plan.concurrency is not Concurrency.ALLOW
        for run in seen.runs.values():
            if not run.waiting:
                continue
            blocked, why = Reason.NONE, ""
            not_ready = self.board.not_ready(target)
            if run.attempt == 0 and run.deadline is not None and now.wall >= run.deadline:
                # Nobody has looked at it since; its wake is due.
                blocked = Reason.DEADLINE_EXCEEDED
            elif busy and alone:
                blocked, why = Reason.STILL_RUNNING, busy
            elif retry_wait_seconds(run, now) > 0 and run.not_before is not None:
                blocked, why = Reason.RETRY_DELAY, f"until {run.not_before.isoformat(timespec='seconds')}"
            elif not_ready:
                blocked, why = Reason.NOT_READY, not_ready
            since = run.not_before or run.slot or run.queued_at
            waiting.append(Waiting(target, run.run, run.trigger, since, locks, blocked, why))
            busy = busy or run.run

    def _claim(self, claim: Waiting, now: Instant) -> Order | None:
        seen = self.board.seen(claim.target)
        run = seen.runs[claim.run]
        attempt = run.attempt + 1
        prepared = self.parts.orders.prepare(claim.target, run, attempt, seen)
        revision = self.board.desired.revision
        first = attempt == 1
        self.board.record(
            claim.target,
            f.Claimed(
                now.wall,
                run.run,
                attempt,
                now.boot_id,
                prepared.digest if first else run.digest,
                revision.commit if first else run.revision,
                revision.dirty if first else run.dirty,
                claim.locks,
            ),
        )
        if prepared.order is None:
            self.board.record(
                claim.target,
                f.Ended(now.wall, run.run, attempt, reason=Reason.START_FAILED, message=prepared.error),
            )
            self.board.look(claim.target, now)
        return prepared.order

    def _order_again(self, attempt: AttemptId) -> Order | None:
        """Claimed, and nothing was begun on this boot: starting is safe."""
        target = _target_of(attempt)
        seen = self.board.seen(target)
        run = seen.runs.get(attempt.run)
        if run is None or run.attempt != attempt.attempt or run.waiting:
            return None
        return self.parts.orders.prepare(target, run, attempt.attempt, seen).order

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
        if self._events:
            waits.append(0.0)
        if self._events or self._closing or self.board.stirred or self._restart or self._touched:
            waits.append(0.01)
        if now.boot < self._hold_until_boot:
            waits = [max(wait, self._hold_until_boot - now.boot) for wait in waits]
        return max(0.0, min(waits)) if waits else None

    def waits_of(self, target: TargetId, run: str) -> Why | None:
        return self.admission.waits.get((target, run))


def _target_of(attempt: AttemptId) -> TargetId:
    domain, _, job = attempt.folder.partition("/")
    return TargetId(job, "" if domain == "_installation" else domain)

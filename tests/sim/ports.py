"""The engine's ports on a simulated machine, each breakable before and after every call."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.model import Instant, Reason, TargetId
from reconciler.core.plan import Plan
from reconciler.core.seen import RunSeen, Seen
from reconciler.engine.parts import PROBE_RUN, Prepared
from reconciler.ports.executor import AttemptId, Ended, ExecutorEvent, NotStarted, Order, Started
from reconciler.ports.logs import LogCounts
from reconciler.store.sqlite import SqliteStore
from tests.sim.machine import Machine


class Crash(BaseException):
    """The daemon is killed here."""


@dataclass
class Fuse:
    """Counts the calls of ports, and kills the daemon at one of them."""

    count: int = 0
    at: int | None = None

    def burn(self, place: str) -> None:
        self.count += 1
        if self.at is not None and self.count >= self.at:
            self.at = None
            raise Crash(place)


class SimulatedClock:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def now(self) -> Instant:
        return self._machine.now()


class SimulatedExecutor:
    """Keeps what `reconciler.ports.executor.Executor` promises, on a simulated machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.watched: dict[AttemptId, bool] = {}
        """Attempts to tell of, and whether their start was told."""
        self._answers: list[ExecutorEvent] = []

    def start(self, order: Order) -> None:
        if order.attempt not in self.watched:
            self.watched[order.attempt] = False
            self.machine.order(order)

    def stop(self, attempt: AttemptId, reason: Reason, by: str = "") -> None:
        if attempt in self.watched:
            self.machine.stop(attempt, reason, by)

    def adopt(self, attempt: AttemptId, boot_id: str) -> None:
        if attempt in self.watched:
            return
        item = self.machine.attempts.get(attempt)
        if boot_id != self.machine.now().boot_id and (item is None or item.ended_at is None):
            self._lose(attempt, Reason.MACHINE_RESTARTED)
        elif item is None or not (item.began or item.ended_at or self.machine.is_ordered(attempt)):
            self._answers.append(NotStarted(attempt))
            return
        elif item.began and not item.alive and item.ended_at is None:
            self._lose(attempt, Reason.EXIT_UNKNOWN)
        self.watched[attempt] = False

    def _lose(self, attempt: AttemptId, reason: Reason) -> None:
        if attempt not in self.machine.attempts:
            self.machine.order(Order(attempt, (), {}))
        self.machine.settle(attempt, reason)

    def poll(self) -> list[ExecutorEvent]:
        events, self._answers = self._answers, []
        for attempt, told in list(self.watched.items()):
            item = self.machine.attempts[attempt]
            if item.started_at is not None and not told:
                self.watched[attempt] = True
                events.append(Started(attempt, item.started_at, 1))
            if item.ended_at is not None:
                del self.watched[attempt]
                by = item.stop[1] if item.stop else ""
                events.append(Ended(attempt, item.ended_at, item.exit_code, item.signal, item.reason, "", by))
        return events

    def fileno(self) -> int:
        raise AssertionError("nobody waits in the simulator")

    def wake_in(self) -> float | None:
        if self._answers or any(self._has_news(attempt, told) for attempt, told in self.watched.items()):
            return 0.0
        at = self.machine.next_event()
        return None if at is None else max(0.0, at - self.machine.elapsed)

    def _has_news(self, attempt: AttemptId, told: bool) -> bool:
        item = self.machine.attempts[attempt]
        return item.ended_at is not None or (item.started_at is not None and not told)

    def close(self) -> None:
        self.watched.clear()


class BreakableExecutor:
    """An executor with a fuse before and after each call."""

    def __init__(self, inner: SimulatedExecutor, fuse: Fuse) -> None:
        self.inner, self._fuse = inner, fuse

    def start(self, order: Order) -> None:
        self._fuse.burn("before start")
        self.inner.start(order)
        self._fuse.burn("after start")

    def stop(self, attempt: AttemptId, reason: Reason, by: str = "") -> None:
        self._fuse.burn("before stop")
        self.inner.stop(attempt, reason, by)
        self._fuse.burn("after stop")

    def adopt(self, attempt: AttemptId, boot_id: str) -> None:
        self._fuse.burn("before adopt")
        self.inner.adopt(attempt, boot_id)
        self._fuse.burn("after adopt")

    def poll(self) -> list[ExecutorEvent]:
        events = self.inner.poll()
        if events:
            self._fuse.burn("after poll")
        return events

    def fileno(self) -> int:
        return self.inner.fileno()

    def wake_in(self) -> float | None:
        return self.inner.wake_in()

    def close(self) -> None:
        self.inner.close()


class SimulatedLogs:
    """Counts of logs; some take a moment longer to be read to their end."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._late: list[tuple[AttemptId, LogCounts]] = []

    def follow(self, attempt: AttemptId) -> None:
        pass

    def finish(self, attempt: AttemptId) -> LogCounts | None:
        item = self._machine.attempts[attempt]
        errors = self._machine.fate(item).errors if item.started_at is not None else 0
        counts = LogCounts(lines=errors + 1, errors=errors)
        if random.Random(f"{self._machine.seed}/{attempt.path}/log").random() < 0.1:
            self._late.append((attempt, counts))
            return None
        return counts

    def poll(self) -> tuple[list[tuple[AttemptId, LogCounts]], list[tuple[AttemptId, LogCounts]]]:
        late, self._late = self._late, []
        return late, []


class BreakableStore(SqliteStore):
    """The real store on a disk that may be full, with a fuse before and after each commit."""

    def __init__(self, path: Path, fuse: Fuse, is_full: Callable[[], bool]) -> None:
        super().__init__(path, durable=False)
        self._fuse, self._is_full = fuse, is_full

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
            if self._is_full():
                raise sqlite3.OperationalError("database or disk is full")
            self._fuse.burn("before commit")
        self._fuse.burn("after commit")


@dataclass
class Claim:
    """What was in force when an attempt was claimed."""

    plan: Plan
    locks: tuple[str, ...]
    most: int
    most_of_domain: int | None


class SimulatedOrders:
    """Orders whose commands are the names of jobs. `claimed` hears of each attempt that is being claimed."""

    def __init__(
        self,
        plan_of: Callable[[TargetId], Plan | None],
        claimed: Callable[[TargetId, RunSeen, int], None],
        missing: Callable[[], bool],
    ) -> None:
        self._plan_of, self._claimed, self._missing = plan_of, claimed, missing

    def prepare(self, target: TargetId, run: RunSeen, attempt: int, seen: Seen) -> Prepared:
        if run.attempt != attempt:
            self._claimed(target, run, attempt)
        plan = self._plan_of(target)
        digest = run.digest or (plan.digest if plan else "")
        if "unpreparable" in (dict(plan.labels) if plan else {}):
            return Prepared(digest, None, f"cannot start {target}: there is no user `nobody-knows`")
        timeout = plan.timeout_seconds if plan else None
        name = AttemptId.of(target, run.run, attempt)
        return Prepared(digest, Order(name, (target.job,), {}, timeout_seconds=timeout))

    def probe(self, target: TargetId, attempt: int) -> Prepared:
        if attempt % 97 == 0:
            return Prepared("", None, f"cannot probe for {target}: there is no user `nobody-knows`")
        return Prepared(
            "", Order(AttemptId.of(target, PROBE_RUN, attempt), ("probe",), {}, timeout_seconds=60)
        )

    def not_ready(self, plan: Plan) -> str:
        return "secret missing: token" if plan.secrets and self._missing() else ""

    def forget(self) -> None:
        pass

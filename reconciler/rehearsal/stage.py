"""The engine's ports where only numbers pass: a clock that is set, and commands that take and end as a test says."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from reconciler.core.facts import from_epoch
from reconciler.core.model import Instant, Reason, TargetId
from reconciler.core.plan import Plan
from reconciler.core.seen import RunSeen, Seen
from reconciler.engine.parts import PROBE_RUN, Prepared
from reconciler.ports.executor import AttemptId, Ended, ExecutorEvent, NotStarted, Order, Started
from reconciler.ports.logs import LogCounts
from reconciler.rehearsal.script import Fate


class Stage:
    """The machine: its clock, and what runs on it. It outlives the reconciler, unless it is switched off."""

    def __init__(self, now: int, fates: Mapping[str, Fate]) -> None:
        self.wall = from_epoch(now)
        self._begun = self.wall
        self._boots = 1
        self._fates = fates
        self.ends: dict[AttemptId, Ended] = {}
        """How each attempt has ended, or will (those in the future still run)."""
        self._coming: list[tuple[datetime, AttemptId]] = []

    # The clock.

    def now(self) -> Instant:
        return Instant(self.wall, (self.wall - self._begun).total_seconds(), f"boot-{self._boots}")

    def restart(self, off: datetime, on: datetime) -> None:
        """Switch the machine off and on again: what ran is gone, and nobody knows how it would have ended."""
        for attempt, end in list(self.ends.items()):
            if end.at > off:
                self.ends[attempt] = Ended(attempt, off, None, None, Reason.MACHINE_RESTARTED)
        self.wall = self._begun = on
        self._boots += 1

    # What runs.

    def fate(self, attempt: AttemptId) -> Fate:
        domain, _, job = attempt.folder.partition("/")
        return self._fates.get(f"{job}@{domain}") or self._fates.get(job) or Fate()

    def begin(self, order: Order) -> None:
        attempt = order.attempt
        if attempt in self.ends:
            return
        fate = self.fate(attempt)
        if attempt.run == PROBE_RUN:
            code, seconds = fate.probe, 0.0
        else:
            how = fate.ends[min(attempt.attempt, len(fate.ends)) - 1]
            code = how if isinstance(how, int) else int(how == "failure")
            seconds = fate.seconds
        reason = Reason.EXIT_CODE if code else Reason.NONE
        end = Ended(attempt, self.wall + timedelta(seconds=seconds), code, None, reason)
        if order.timeout_seconds is not None and seconds > order.timeout_seconds:
            at = self.wall + timedelta(seconds=order.timeout_seconds)
            end = Ended(attempt, at, None, 15, Reason.TIMED_OUT)
        self._set(end)

    def stop(self, attempt: AttemptId, reason: Reason, by: str) -> None:
        end = self.ends.get(attempt)
        if end is not None and end.at > self.wall:
            self._set(Ended(attempt, self.wall, None, 15, reason, stopped_by=by))

    def _set(self, end: Ended) -> None:
        self.ends[end.attempt] = end
        heapq.heappush(self._coming, (end.at, end.attempt))

    def next_end(self) -> datetime | None:
        while self._coming and self._coming[0][0] <= self.wall:
            heapq.heappop(self._coming)
        return self._coming[0][0] if self._coming else None

    def logs_warnings(self, attempt: AttemptId) -> bool:
        ends = self.fate(attempt).ends
        return ends[min(attempt.attempt, len(ends)) - 1] == "warning"


class StagedExecutor:
    """What `reconciler.ports.executor.Executor` promises, on a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._answers: list[ExecutorEvent] = []
        self._watched: set[AttemptId] = set()

    def start(self, order: Order) -> None:
        if order.attempt in self._watched:
            return
        self._stage.begin(order)
        self._watched.add(order.attempt)
        self._answers.append(Started(order.attempt, self._stage.wall, None))

    def stop(self, attempt: AttemptId, reason: Reason, by: str = "") -> None:
        self._stage.stop(attempt, reason, by)

    def adopt(self, attempt: AttemptId, boot_id: str) -> None:
        if attempt in self._stage.ends:
            self._watched.add(attempt)
        else:
            self._answers.append(NotStarted(attempt))

    def poll(self) -> list[ExecutorEvent]:
        events, self._answers = self._answers, []
        over = [each for each in self._watched if self._stage.ends[each].at <= self._stage.wall]
        for attempt in sorted(over):
            self._watched.discard(attempt)
            events.append(self._stage.ends[attempt])
        return events

    def fileno(self) -> int:
        raise AssertionError("nobody waits on a stage")

    def wake_in(self) -> float | None:
        if self._answers or any(self._stage.ends[each].at <= self._stage.wall for each in self._watched):
            return 0.0
        at = self._stage.next_end()
        return None if at is None else (at - self._stage.wall).total_seconds()

    def close(self) -> None:
        self._watched.clear()


class StagedLogs:
    """A line of a log for every attempt; an error line where a warning is what it ends with."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def follow(self, attempt: AttemptId) -> None:
        pass

    def finish(self, attempt: AttemptId) -> LogCounts | None:
        return LogCounts(lines=1, errors=int(self._stage.logs_warnings(attempt)))

    def poll(self) -> tuple[list[tuple[AttemptId, LogCounts]], list[tuple[AttemptId, LogCounts]]]:
        return [], []


class StagedOrders:
    """Orders without commands: what a run is like, the test says."""

    def __init__(self, plan_of: Callable[[TargetId], Plan | None]) -> None:
        self._plan_of = plan_of

    def prepare(self, target: TargetId, run: RunSeen, attempt: int, seen: Seen) -> Prepared:
        plan = self._plan_of(target)
        timeout = plan.timeout_seconds if plan else None
        order = Order(AttemptId.of(target, run.run, attempt), (), {}, timeout_seconds=timeout)
        return Prepared(run.digest or (plan.digest if plan else ""), order)

    def probe(self, target: TargetId, attempt: int) -> Prepared:
        return Prepared("", Order(AttemptId.of(target, PROBE_RUN, attempt), (), {}))

    def not_ready(self, plan: Plan) -> str:
        return ""

    def forget(self) -> None:
        pass

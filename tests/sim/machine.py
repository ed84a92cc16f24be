"""A machine that exists only in numbers: its clocks, and the attempts that run on it, whoever watches them."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reconciler.core.model import Instant, Reason
from reconciler.ports.executor import AttemptId, Order

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Attempt:
    """The directory of an attempt and its process: what is really so."""

    id: AttemptId
    order: Order
    began: bool = False
    """It was begun (`go`): it never starts again."""
    started_at: datetime | None = None
    alive: bool = False
    forgotten: bool = False
    """It was begun by a state that a restored backup knows nothing of."""
    stop: tuple[Reason, str] | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: Reason = Reason.NONE
    spawns: int = 0
    turn: int = 0
    """Counts what was planned for it, so that what was planned before is not done."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What a command does when it is run."""

    seconds: float
    exit_code: int | None = 0
    signal: int | None = None
    starts: bool = True
    errors: int = 0


class Machine:
    """Time passes only by `pass_time`. `fate_of` says what an order's command does; `spawned` hears of each start."""

    def __init__(self, seed: int, fate_of: Callable[[Order, random.Random], Fate]) -> None:
        self.seed = seed
        self.elapsed = 0.0
        self.stepped = 0.0
        self.set_back = 0.0
        """Seconds of all steps backward."""
        self.boots = 1
        self.booted_at = 0.0
        self.attempts: dict[AttemptId, Attempt] = {}
        self.living: dict[AttemptId, Attempt] = {}
        self._ordered: dict[AttemptId, Attempt] = {}
        self.watched = True
        """Whether daemon or runner lives, so that an exit code is seen."""
        self.start_seconds = 0.01
        """How long the executor takes to start a process."""
        self._fate_of = fate_of
        self.spawned: Callable[[Attempt], None] = lambda attempt: None
        self._events: list[tuple[float, int, AttemptId, int]] = []
        self._number = 0

    # Clocks.

    def now(self) -> Instant:
        wall = START + timedelta(seconds=round(self.elapsed + self.stepped, 3))
        return Instant(wall, round(self.elapsed - self.booted_at, 3), f"boot-{self.boots}")

    def pass_time(self, until: float) -> None:
        """Let the machine run on; what happens, happens at its time."""
        while self._events and self._events[0][0] <= until:
            at, _, attempt, turn = heapq.heappop(self._events)
            self.elapsed = max(self.elapsed, at)
            item = self.attempts[attempt]
            if item.turn == turn:
                self._happen(item)
        self.elapsed = max(self.elapsed, until)

    def step(self, seconds: float) -> None:
        """Set the wall clock."""
        self.stepped += seconds
        self.set_back += max(0.0, -seconds)

    def sleep(self, seconds: float) -> None:
        """Suspend the machine: both clocks go on, processes stand still."""
        self._events = [(at + seconds, *rest) for at, *rest in self._events]
        self.elapsed += seconds

    def restart(self, seconds: float) -> None:
        """Restart the machine: all processes are gone, boot time begins anew."""
        for item in (*self.living.values(), *self._ordered.values()):
            item.alive = False
            item.turn += 1
        self.living.clear()
        self._ordered.clear()
        self._events.clear()
        self.elapsed += seconds
        self.booted_at = self.elapsed
        self.boots += 1

    # Processes.

    def order(self, order: Order) -> None:
        """Take an order: the process starts a moment later, unless it was begun before."""
        item = self.attempts.get(order.attempt)
        if item is None:
            item = self.attempts[order.attempt] = Attempt(order.attempt, order)
        if item.began or item.ended_at is not None:
            return
        item.order = order
        self._ordered[item.id] = item
        self._plan(item, self.start_seconds)

    def stop(self, attempt: AttemptId, reason: Reason, by: str) -> None:
        """Ask a process to end; it takes up to three seconds."""
        item = self.attempts.get(attempt)
        if item is None or item.ended_at is not None or item.stop is not None:
            return
        item.stop = reason, by
        if item.alive:
            self._plan(item, 3.0 * self._chance(item, "stop").random())

    def settle(self, attempt: AttemptId, reason: Reason) -> None:
        """Nobody can say how this one ended."""
        item = self.attempts[attempt]
        item.began = True
        item.alive = False
        self._ordered.pop(attempt, None)
        self._end(item, None, None, reason)

    def runner_dies(self) -> None:
        """What was ordered and not begun is not begun by anybody."""
        for item in self._ordered.values():
            item.turn += 1
        self._ordered.clear()

    def is_ordered(self, attempt: AttemptId) -> bool:
        """Whether it is about to begin."""
        return attempt in self._ordered

    def next_event(self) -> float | None:
        return self._events[0][0] if self._events else None

    def fate(self, item: Attempt) -> Fate:
        return self._fate_of(item.order, self._chance(item, "fate"))

    def _chance(self, item: Attempt, what: str) -> random.Random:
        return random.Random(f"{self.seed}/{item.id.path}/{what}")

    def _plan(self, item: Attempt, seconds: float) -> None:
        item.turn += 1
        self._number += 1
        heapq.heappush(self._events, (self.elapsed + seconds, self._number, item.id, item.turn))

    def _happen(self, item: Attempt) -> None:
        fate = self.fate(item)
        limit = item.order.timeout_seconds
        if not item.began:
            item.began = True
            del self._ordered[item.id]
            if not fate.starts:
                self._end(item, None, None, Reason.START_FAILED)
                return
            self.spawn(item)
            seconds = fate.seconds if limit is None else min(fate.seconds, limit)
            self._plan(item, min(seconds, 1.0) if item.stop else seconds)
            return
        if not item.alive:
            return
        item.alive = False
        del self.living[item.id]
        if not self.watched:
            return  # nobody saw its exit code
        if item.stop is not None:
            self._end(item, None, 15, item.stop[0])
        elif limit is not None and fate.seconds >= limit:
            self._end(item, None, 15, Reason.TIMED_OUT)
        elif fate.signal is not None:
            self._end(item, None, fate.signal, Reason.SIGNAL)
        else:
            self._end(item, fate.exit_code, None, Reason.EXIT_CODE if fate.exit_code else Reason.NONE)

    def spawn(self, item: Attempt) -> None:
        """Start the process."""
        item.spawns += 1
        item.alive = True
        item.started_at = self.now().wall
        self.spawned(item)
        self.living[item.id] = item

    def _end(self, item: Attempt, exit_code: int | None, signal: int | None, reason: Reason) -> None:
        item.turn += 1
        item.ended_at = self.now().wall
        item.exit_code, item.signal, item.reason = exit_code, signal, reason

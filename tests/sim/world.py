"""One seed makes one world: a real engine and a real store on a simulated machine, and all that befalls them."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from reconciler.core.admit import admit
from reconciler.core.decide import decide
from reconciler.core.decision import pause_of
from reconciler.core.desired import Desired
from reconciler.core.model import Mode, TargetId, Trigger
from reconciler.core.plan import Plan
from reconciler.core.seen import RunSeen
from reconciler.engine.engine import Engine
from reconciler.engine.parts import Parts
from reconciler.ports.executor import AttemptId
from tests.sim.jobs import Source, fate_of
from tests.sim.judge import Judge, must
from tests.sim.machine import Machine
from tests.sim.ports import (
    BreakableExecutor,
    BreakableStore,
    Claim,
    Crash,
    Fuse,
    SimulatedClock,
    SimulatedExecutor,
    SimulatedLogs,
    SimulatedOrders,
)

DAY = 86400.0
MOST_ROUNDS_AT_ONCE = 500
CHECK_EVERY_ROUNDS = 5
COMPLETE_EVERY_ROUNDS = 100

RATES: dict[str, float] = {
    "crash": 0.25, "kill": 0.08, "restart": 0.03, "edit": 0.15, "step": 0.04, "sleep": 0.03, "full": 0.03,
    "slow": 0.05, "ask": 0.4, "cancel": 0.08, "pause": 0.03, "resume": 0.02, "copy": 0.03, "restore": 0.008,
    "secrets": 0.03, "late": 0.05,
}  # fmt: skip
"""What befalls a world, and how often on a day."""


@dataclass
class Variant:
    """What a world is put together from; planted bugs replace a part."""

    decide: Any = decide
    admit: Any = admit
    store: type[BreakableStore] = BreakableStore
    executor: type[SimulatedExecutor] = SimulatedExecutor
    engine: type[Engine] = Engine
    rates: dict[str, float] = field(default_factory=lambda: RATES)
    source: Callable[[random.Random], Source] = Source


class World:
    """Run it for a number of days; it raises Violation where an invariant does not hold."""

    def __init__(self, seed: int, folder: Path, variant: Variant | None = None) -> None:
        self.variant = variant or Variant()
        self.chance = random.Random(seed)
        self.folder = folder
        self.plans: dict[str, Plan] = {}
        self.machine = Machine(seed, fate_of)
        self.judge = Judge(self.machine, self.plans)
        self.machine.spawned = self.judge.spawned
        self.source = self.variant.source(random.Random(f"{seed}/source"))
        self.fuse = Fuse()
        self.versions: list[Desired] = []
        self.wanted = Desired()
        self.engine: Engine | None = None
        self.executor = self.variant.executor(self.machine)
        self.up_at = 0.0
        self.full_until = 0.0
        self.slow_until = 0.0
        self.missing_until = 0.0
        self.late_until = 0.0
        self.has_copy = False
        self.latest_wall = self.machine.now().wall
        self.applied = -1
        self.rounds = 0
        self._measured = 0.0
        self.store: BreakableStore | None = None
        self._want()

    # The daemon.

    def _want(self) -> None:
        """The source says something new."""
        self.wanted = self.source.desired()
        self.versions.append(self.wanted)
        for plan in self.wanted.targets.values():
            self.plans[plan.schedule_digest] = plan

    def _measure(self) -> float:
        """A slow machine now and then, so that rounds are cut."""
        self._measured += 0.015 if self.rounds % 7 == 0 else 0.0
        return self._measured

    def start(self) -> None:
        """Start the daemon: open the state, take up what was applied last, and apply what is wanted now."""
        self.machine.watched = True
        self.store = self.variant.store(self.folder / "state.db", self.fuse, self._is_full)
        self.executor = self.variant.executor(self.machine)
        executor = BreakableExecutor(self.executor, self.fuse)
        orders = SimulatedOrders(
            self._plan_of, self._claimed, lambda: self.machine.elapsed < self.missing_until
        )
        self.engine = self.variant.engine(
            Parts(
                self.store,
                SimulatedClock(self.machine),
                executor,
                SimulatedLogs(self.machine),
                orders,
                self._measure,
                lambda attempt: None,
                decide=self.variant.decide,
                admit=self.variant.admit,
            )
        )
        version = self.store.meta("sim:desired")
        self.engine.open(self.versions[int(version)] if version else Desired())
        self.applied = int(version) if version else -1
        self._apply()

    def _apply(self) -> None:
        assert self.engine is not None
        assert self.store is not None
        store, number = self.store, len(self.versions) - 1
        if self.applied == number:
            return
        self.engine.apply(self.wanted, lambda: store.set_meta("sim:desired", str(number)))
        self.applied = number

    def _is_full(self) -> bool:
        return self.machine.elapsed < self.full_until

    def die(self, down_seconds: float) -> None:
        """The daemon is gone; what it had in memory with it."""
        if self.store is not None:
            self.store.close()
        self.engine = None
        self.store = None
        self.up_at = self.machine.elapsed + down_seconds

    def _plan_of(self, target: TargetId) -> Plan | None:
        assert self.engine is not None
        return self.engine.board.plan_of(target)

    def _claimed(self, target: TargetId, run: RunSeen, attempt: int) -> None:
        """An attempt is about to be claimed: nothing forbids it."""
        assert self.engine is not None
        now = self.machine.now().wall
        plan = self._plan_of(target)
        must(plan is not None or attempt > 1, target, run.run, "starts though the target was removed")
        by_itself = run.trigger is not Trigger.REQUEST and attempt == 1
        if plan is not None and by_itself and now >= self.latest_wall:
            paused, _ = pause_of(plan, self.engine.board.seen(target), now)
            must(not paused, target, run.run, "starts in a pause")
            must(plan.mode is not Mode.DISABLED, target, run.run, "starts though it is disabled")
        limits = self.engine.board.desired.limits
        self.judge.claims[AttemptId.of(target, run.run, attempt)] = Claim(
            plan or Plan(target.job, "", Mode.DISABLED, "", ""),
            plan.locks if plan else (),
            limits.max_parallel,
            limits.max_parallel_per_domain,
        )

    # Time.

    def run(self, days: float) -> None:
        """Let that many days pass, with all that befalls."""
        self._live(self.machine.elapsed + days * DAY, self._fortunes(days))

    def calm(self, days: float) -> None:
        """Let days pass in which nothing befalls."""
        self.fuse.at = None
        self._live(self.machine.elapsed + days * DAY, [])
        self.finish()

    def finish(self) -> None:
        """Judge all that there is to judge."""
        if self.engine is None:
            self.machine.pass_time(max(self.up_at, self.machine.elapsed))
            self.start()
        assert self.store is not None
        for _ in range(MOST_ROUNDS_AT_ONCE):
            wait = self._round()
            if wait is not None and wait > 1.0:
                break
        self._judge_all()
        self.judge.tokens(self.store, {request.token: request for request in self.wanted.requests})

    def _fortunes(self, days: float) -> list[tuple[float, str]]:
        chance = self.chance
        out = [
            (self.machine.elapsed + chance.uniform(0, days * DAY), what)
            for what, rate in self.variant.rates.items()
            for _ in range(_times(chance, rate * days))
        ]
        return sorted(out)

    def _live(self, end: float, fortunes: list[tuple[float, str]]) -> None:
        at_once = 0
        while self.machine.elapsed < end:
            limit = min(end, fortunes[0][0]) if fortunes else end
            before = self.machine.elapsed
            if self.engine is None:
                self._pass(max(min(self.up_at, limit), before))
                if self.machine.elapsed >= self.up_at:
                    self._try(self.start)
            else:
                wait: float | None = 0.0
                try:
                    wait = self._round()
                except Crash:
                    self._down()
                    continue
                late = self.chance.uniform(0, 90) if before < self.late_until else 0.002
                self._pass(limit if wait is None else min(limit, before + wait + late))
            while fortunes and fortunes[0][0] <= self.machine.elapsed:
                self._befall(fortunes.pop(0)[1])
            at_once = at_once + 1 if self.machine.elapsed - before < 0.05 else 0
            must(at_once < MOST_ROUNDS_AT_ONCE, "it goes round and round")

    def _pass(self, until: float) -> None:
        self.machine.pass_time(until)
        self.latest_wall = max(self.latest_wall, self.machine.now().wall)

    def _round(self) -> float | None:
        assert self.engine is not None
        assert self.store is not None
        self.rounds += 1
        wait = self.engine.round().wait_seconds
        at_rest = (wait is None or wait > 0.02) and not self.engine.problem
        if at_rest and self.rounds % CHECK_EVERY_ROUNDS == 0:
            self.judge.at_rest(self.engine.board.active, self.wanted.targets, self.executor)
            if self.rounds % COMPLETE_EVERY_ROUNDS == 0:
                self._judge_all()
        return wait

    def _judge_all(self) -> None:
        assert self.engine is not None
        assert self.store is not None
        if self.engine.held_by_clock:
            return
        now, paused = self.machine.now().wall, set()
        for target, plan in self.wanted.targets.items():
            seen = self.store.seen(target)
            if seen is not None and pause_of(plan, seen, now)[0]:
                paused.add(target)
        if self.machine.elapsed >= self.late_until:
            self.judge.complete(self.store, self.wanted.targets, paused)

    def _try(self, call: Callable[[], Any]) -> bool:
        """Do something that a crash or a full disk may end."""
        try:
            call()
        except Crash:
            self._down()
            return False
        except sqlite3.OperationalError:
            if not self._is_full():
                raise
            if self.applied != len(self.versions) - 1:
                self.die(60.0)
            return False
        return True

    def _down(self) -> None:
        """The daemon was killed; the runner perhaps too, and then it takes a while."""
        chance = self.chance
        self.machine.watched = chance.random() < 0.8
        if not self.machine.watched:
            self.machine.runner_dies()
        self.die(chance.choice([0.0, 1.0, 5.0, chance.uniform(0, 7200), chance.uniform(0, 2 * DAY)]))

    # What befalls.

    def _befall(self, what: str) -> None:
        getattr(self, f"_befall_{what}")()

    def _befall_crash(self) -> None:
        self.fuse.at = self.fuse.count + self.chance.randint(1, 40)

    def _befall_kill(self) -> None:
        if self.engine is not None:
            self._down()

    def _befall_restart(self) -> None:
        self.machine.restart(self.chance.uniform(20, 900))
        self.die(self.chance.uniform(0, 60))

    def _befall_edit(self) -> None:
        self.source.edit(self.machine.now().wall)
        self._want()
        self._applied_perhaps()

    def _befall_ask(self) -> None:
        self.source.ask(self.machine.now().wall)
        self._want()
        self._applied_perhaps()

    def _applied_perhaps(self) -> None:
        if self.engine is not None:
            self._try(self._apply)

    def _befall_step(self) -> None:
        seconds = self.chance.choice([90, 600, 4000, 5 * 3600, 3 * DAY]) * self.chance.choice([-1, 1])
        self.machine.step(seconds)
        self.latest_wall = max(self.latest_wall, self.machine.now().wall)

    def _befall_sleep(self) -> None:
        self.machine.sleep(self.chance.uniform(600, 20 * 3600))

    def _befall_full(self) -> None:
        self.full_until = self.machine.elapsed + self.chance.uniform(2, 900)

    def _befall_slow(self) -> None:
        self.machine.start_seconds = self.chance.choice([0.01, 0.01, 5.0, 200.0])

    def _befall_late(self) -> None:
        self.late_until = self.machine.elapsed + 3 * 3600

    def _befall_cancel(self) -> None:
        if self.engine is None or not self.engine.board.active:
            return
        target = self.chance.choice(sorted(self.engine.board.active))
        engine = self.engine
        self._try(lambda: engine.request_cancel(target, None, "alice"))

    def _befall_pause(self) -> None:
        if self.engine is None:
            return
        engine, target = self.engine, self.chance.choice(sorted(self.wanted.targets))
        until = self.machine.now().wall + timedelta(hours=self.chance.choice([1, 20]))
        self._try(lambda: engine.pause_locally(target, until, "busy", "alice"))

    def _befall_resume(self) -> None:
        if self.engine is None:
            return
        for target in sorted(self.wanted.targets):
            if self.engine.board.seen(target).pause_until is not None:
                engine = self.engine
                self._try(lambda: engine.pause_locally(target, None, "", "alice"))  # noqa: B023
                return

    def _befall_secrets(self) -> None:
        self.missing_until = self.machine.elapsed + self.chance.uniform(600, DAY)

    def _befall_copy(self) -> None:
        if self.store is None:
            return
        with sqlite3.connect(self.folder / "copy.db") as copy:
            self.store.db.backup(copy)
        copy.close()
        self.has_copy = True

    def _befall_restore(self) -> None:
        """A person puts an older copy of the state in its place. Runs that it does not know go on."""
        if not self.has_copy:
            return
        self.die(60.0)
        for name in ("state.db-wal", "state.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.copy(self.folder / "copy.db", self.folder / "state.db")
        self.judge.forget()


def _times(chance: random.Random, expected: float) -> int:
    return int(expected) + (chance.random() < expected - int(expected))

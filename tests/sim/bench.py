"""The real engine and store on a simulated machine, moved by hand, for tests that say what happens when."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from reconciler.core import facts as f
from reconciler.core.desired import Desired, Limits, Request
from reconciler.core.facts import Fact, fact_from_json
from reconciler.core.fold import fold
from reconciler.core.model import TargetId
from reconciler.core.plan import Plan
from reconciler.core.seen import Seen
from reconciler.engine.engine import Engine
from reconciler.engine.parts import Parts
from tests.sim.machine import START, Fate, Machine
from tests.sim.ports import (
    BreakableExecutor,
    BreakableStore,
    Fuse,
    SimulatedClock,
    SimulatedExecutor,
    SimulatedLogs,
    SimulatedOrders,
)


class Bench:
    """A machine that is at 2026-01-01T00:00 UTC. `fates` says what the command of a job does."""

    def __init__(self, folder: Path, fates: Mapping[str, Fate] | None = None) -> None:
        self.folder = folder
        self.fates = dict(fates or {})
        self.machine = Machine(0, lambda order, chance: self.fates.get(order.argv[0], Fate(60.0)))
        self.fuse = Fuse()
        self.full = False
        self.ended: list[tuple[TargetId, f.Finished]] = []
        self.open(Desired())

    def open(self, desired: Desired) -> None:
        """Start the daemon, with what was applied last."""
        self.store = BreakableStore(self.folder / "state.db", self.fuse, lambda: self.full)
        self.executor = SimulatedExecutor(self.machine)
        orders = SimulatedOrders(lambda t: self.engine.board.plan_of(t), lambda *_: None, lambda: False)
        self.engine = Engine(
            Parts(
                self.store,
                SimulatedClock(self.machine),
                BreakableExecutor(self.executor, self.fuse),
                SimulatedLogs(self.machine),
                orders,
                lambda: 0.0,
                lambda attempt: None,
                hooks=[
                    lambda facts, now: self.ended.extend(
                        (target, fact) for target, fact in facts if isinstance(fact, f.Finished)
                    )
                ],
            )
        )
        self.engine.open(desired)

    def reopen(self, *plans: Plan) -> None:
        """Kill the daemon, and start another, with these plans applied last (default: those in force)."""
        desired = self.engine.board.desired
        self.store.close()
        self.open(Desired({TargetId(plan.job): plan for plan in plans}) if plans else desired)

    def apply(self, *plans: Plan, requests: tuple[Request, ...] = (), limits: Limits | None = None) -> None:
        targets = {TargetId(plan.job): plan for plan in plans}
        self.engine.apply(Desired(targets, requests=requests, limits=limits or Limits()), lambda: None)

    def until(self, at: str) -> None:
        """Let the time come, round after round."""
        wall = datetime.fromisoformat(at).replace(tzinfo=START.tzinfo)
        end = (wall - START).total_seconds() - self.machine.stepped
        for _ in range(10_000):
            wait = self.engine.round().wait_seconds
            if wait is not None and wait < 0.02:
                self.machine.pass_time(self.machine.elapsed + 0.01)
            elif self.machine.elapsed >= end:
                return
            else:
                self.machine.pass_time(end if wait is None else min(end, self.machine.elapsed + wait))
        raise AssertionError("it goes round and round")

    def facts(self, job: str, kind: type[Fact] = Fact) -> list[Fact]:
        rows = self.store.db.execute("SELECT kind, body FROM facts WHERE job=? ORDER BY seq", (job,))
        every = [fact_from_json(name, json.loads(body)) for name, body in rows]
        return [fact for fact in every if isinstance(fact, kind)]

    def replayed(self, job: str) -> Seen:
        seen = Seen()
        for fact in self.facts(job):
            fold(seen, fact)
        return seen

    def seen(self, job: str) -> Seen:
        return self.engine.board.seen(TargetId(job))

    def runs(self, job: str) -> list[tuple[str, str, str]]:
        """(name, state, reason) of the runs that the store lists, in order."""
        rows = self.store.db.execute("SELECT run, state, reason FROM runs WHERE job=? ORDER BY id", (job,))
        return [tuple(row) for row in rows]

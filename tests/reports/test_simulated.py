"""Whatever befalls the simulated machine: every failure that a recipient wants to hear of stands in a letter, once."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.desired import Desired
from reconciler.engine.engine import Engine
from reconciler.engine.letters import Postmaster
from reconciler.engine.parts import Parts
from reconciler.ports.notifier import Outcome, Receipt
from reconciler.store.letters import LetterBox
from reconciler.store.sqlite import SqliteStore
from tests.reports.post import report
from tests.sim.jobs import Source
from tests.sim.world import RATES, Variant, World

pytestmark = pytest.mark.full

REPORT = report()
# A restored copy of the state knows less than what was sent; that is judged elsewhere.
HAZARDS = {name: rate for name, rate in RATES.items() if name not in ("restore", "copy")}


class Reported(Source):
    def desired(self) -> Desired:
        wanted = super().desired()
        plans = {id(plan): replace(plan, report=REPORT) for plan in wanted.targets.values()}
        return replace(wanted, targets={target: plans[id(plan)] for target, plan in wanted.targets.items()})


class Writing(Engine):
    """With letters, which leave for a mail server that is down now and then."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        assert isinstance(parts.store, SqliteStore)
        self._chance = random.Random(parts.clock.now().wall.isoformat())
        self.post = Postmaster(
            parts.store, LetterBox(parts.store.db), lambda *_: b"a line\n", self.board.seen, "uid"
        )
        parts.hooks.append(lambda facts, now: self._told(facts, now))

    def _told(self, facts: object, now: object) -> None:
        self.post.desired = self.board.desired
        self.post.hook(facts, now)  # type: ignore[arg-type]

    def round(self) -> object:  # type: ignore[override]
        done = super().round()
        now = self.parts.clock.now()
        self.post.desired = self.board.desired
        if not self.problem:
            parcels = self.post.leave(now)
            how = self._chance.choice([Outcome.SENT, Outcome.LATER, Outcome.UNREACHABLE])
            if parcels:
                self.post.outbox.settle([Receipt(parcel.id, how) for parcel in parcels], now)
        return done


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(1, 6))])
def test_every_failure_stands_in_exactly_one_letter(tmp_path: Path, seed: int) -> None:
    world = World(seed, tmp_path, Variant(engine=Writing, source=Reported, rates={**HAZARDS, "full": 0.0}))
    world.run(20)
    world.finish()
    assert world.store is not None
    db = world.store.db
    failed = {
        (job, domain, run)
        for job, domain, run, body in db.execute(
            "SELECT job, domain, run, body FROM facts WHERE kind = 'Finished'"
        )
        if json.loads(body)["state"] in ("failure", "interrupted") and (job, domain) in _always(world)
    }
    assert failed
    told = db.execute(
        "SELECT job, domain, run FROM letter_items WHERE kind IN ('failure', 'interrupted')"
    ).fetchall()
    assert len(told) == len(set(told))
    assert failed <= set(told), failed - set(told)
    assert db.execute("SELECT count(*) FROM letters WHERE state = 'sent'").fetchone()[0] > 0


def _always(world: World) -> set[tuple[str, str]]:
    """Targets that were wanted all the time: of one that is removed nobody asked to hear the end."""
    wanted = [set(version.targets) for version in world.versions]
    return {(target.job, target.domain) for target in set.intersection(*wanted)}

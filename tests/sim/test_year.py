"""Months of mixed schedules under everything that befalls a machine: the invariants of tests/sim/README.md hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sim.judge import digest
from tests.sim.world import World

SEEDS = range(int(os.environ.get("SIM_FIRST", "0")), int(os.environ.get("SIM_SEEDS", "20")))
"""Not by a name that begins with RECONCILE_: those are taken away before anything is collected."""


def live(seed: int, days: float, folder: Path) -> World:
    world = World(seed, folder)
    world.run(days)
    world.calm(3)
    return world


@pytest.mark.full
@pytest.mark.parametrize("seed", SEEDS)
def test_a_year_of_mixed_schedules_keeps_every_invariant(seed, tmp_path):
    world = live(seed, 365, tmp_path)

    assert world.judge.rows > 20_000, "little happened"


@pytest.mark.parametrize("seed", [101, 102])
def test_weeks_of_mixed_schedules_keep_every_invariant(seed, tmp_path):
    assert live(seed, 15, tmp_path).judge.rows > 1000, "little happened"


def test_the_same_seed_makes_the_same_history(tmp_path):
    digests = set()
    for turn in ("first", "second"):
        folder = tmp_path / turn
        folder.mkdir()
        world = live(7, 5, folder)
        assert world.store is not None
        digests.add(digest(world.store))

    assert len(digests) == 1

"""The daemon is killed at each call of a port in turn; whatever the place, the same day comes out right."""

from __future__ import annotations

import pytest

from tests.sim.world import Variant, World

DAYS = 0.3
STEP = 16
"""Every so manieth call is in the fast suite, the others in the full one."""


def lives(folder, at: int | None) -> World:
    """A third of a day in which nothing befalls but one kill; two requests are asked for."""
    world = World(5, folder, Variant(rates={}))
    world.fuse.at = at
    world._try(world.start)
    world._befall_ask()
    world._befall_ask()
    world.run(DAYS)
    world.calm(0.2)
    return world


def test_a_kill_at_any_call_of_a_port_breaks_no_invariant(tmp_path):
    (tmp_path / "whole").mkdir()
    calls = lives(tmp_path / "whole", None).fuse.count
    assert calls > 100
    for at in range(1, calls, STEP):
        folder = tmp_path / str(at)
        folder.mkdir()
        lives(folder, at)


@pytest.mark.full
@pytest.mark.parametrize("offset", range(2, STEP + 1))
def test_a_kill_at_the_other_calls_breaks_no_invariant_either(tmp_path, offset):
    (tmp_path / "whole").mkdir()
    for at in range(offset, lives(tmp_path / "whole", None).fuse.count, STEP):
        folder = tmp_path / str(at)
        folder.mkdir()
        lives(folder, at)

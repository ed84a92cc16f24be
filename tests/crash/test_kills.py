"""`kill -9` of daemon and runner, at every failpoint and at random: nothing runs twice, nothing is lost."""

from __future__ import annotations

import random

import pytest

from reconciler.ports.failpoint import ALL
from tests.crash.installation import Installation, eventually

pytestmark = pytest.mark.full

HERE = tuple(name for name in ALL if not name.startswith("letters:"))
"""Those of letters need a mail server, and are passed in tests/reports."""


def check_failpoint(installation: Installation, name: str, times: int) -> None:
    """Kill whoever passes there the n-th time, start the daemon again, and let the ledger judge."""
    once = installation.folder / "once"
    installation.start(f"{name}:at:{times}")
    eventually(once.exists)
    if installation.daemon is not None and name.partition(":")[0] not in ("runner",):
        assert installation.daemon.wait(30) == -9
        installation.start()
    installation.wait_for_lines(10)
    installation.rest()
    assert installation.judge() <= 1, "one kill hides one end at most"


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("name", HERE)
def test_a_kill_at_every_failpoint_runs_nothing_twice_and_loses_nothing(installation, name, times):
    if name.startswith("apply:") and times > 1:
        pytest.skip("a start applies once")
    check_failpoint(installation, name, times)


def check_random_kills(installation: Installation, seed: int, kills: int, victims: tuple[str, ...]) -> int:
    chance = random.Random(seed)
    installation.start()
    installation.wait_for_lines(1)
    while installation.kills < kills:
        installation.wait_for_lines(chance.randrange(6))
        match chance.choice(victims):
            case "daemon":
                installation.kill_daemon()
            case "runner":
                installation.kill_runner()
            case "both":
                installation.kill_runner()
                installation.kill_daemon()
        if chance.random() < 0.1:
            installation.write()
        if installation.daemon is None:
            installation.start()
    installation.wait_for_lines(5)
    installation.rest()
    return installation.judge()


def test_a_few_kills_at_random_run_nothing_twice_and_lose_nothing(installation):
    assert check_random_kills(installation, 1, 6, ("daemon", "runner", "both")) <= 6


def test_a_daemon_killed_again_and_again_loses_no_end(installation):
    assert check_random_kills(installation, 2, 90, ("daemon",)) == 0


@pytest.mark.parametrize("seed", [3, 4])
def test_many_kills_at_random_run_nothing_twice_and_lose_nothing(installation, seed):
    assert check_random_kills(installation, seed, 90, ("daemon", "runner", "runner", "both")) <= 90

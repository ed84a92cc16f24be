"""`kill -9` of daemon and runner at random, under load; the runs' own ledger is the judge."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from local import DaemonElsewhere, Machine, eventually, make_order

from reconciler.core.model import Reason
from reconciler.ports import process
from reconciler.ports.attempt import read_journal
from reconciler.ports.executor import Ended, NotStarted, Order

pytestmark = pytest.mark.full


def check_kills(machine: Machine, folder: Path, seed: int, rounds: int, runs: int) -> int:
    """Start `runs` attempts a round while both sides are killed; return how many kills were made."""
    chance = random.Random(seed)
    kills = unseen = 0
    killed: set[int] = set()
    for number in range(rounds):
        ledger = folder / f"ledger-{number}"
        orders = [
            _napping(f"r{number}-{n}", ledger, n, chance.random() * 0.3) for n in range(runs)
        ]  # fmt: skip
        other = DaemonElsewhere(machine.state, "start", *orders)
        for victim in chance.choices(("runner", "daemon"), k=3):
            wanted = chance.randrange(runs)
            eventually(
                lambda ledger=ledger, wanted=wanted, other=other: _lines(ledger) >= wanted or other.ended()
            )
            if victim == "runner":
                for pid in machine.runners():
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                    kills += 1
            else:
                other.kill()
                kills += 1
                other = DaemonElsewhere(machine.state, "adopt", *orders)
        assert other.wait(90) == 0
        for order in orders:
            machine.executor.adopt(order.attempt, process.boot_id())
        machine.listen(lambda: sum(isinstance(event, Ended) for event in machine.events) == runs, 60)
        assert not [event for event in machine.events if isinstance(event, NotStarted)]
        ran = sorted(int(line) for line in ledger.read_text().splitlines())
        assert ran == sorted(set(ran)), "an attempt ran twice"
        for end in machine.events:
            if isinstance(end, Ended):
                n = int(end.attempt.run.partition("-")[2])
                start = read_journal(f"{machine.state}/runs/{end.attempt.path}").start
                if start is not None and start["pid"] in killed:
                    continue  # an orphan that had not begun its own program, taken for a runner by this test
                assert end.exit_code == n % 50 or end.reason is Reason.EXIT_UNKNOWN, end
                assert n in ran or end.reason is Reason.EXIT_UNKNOWN, end
        unseen += sum(isinstance(end, Ended) and end.reason is Reason.EXIT_UNKNOWN for end in machine.events)
        machine.events.clear()
        left = f"{machine.state}/runs"
        eventually(
            lambda left=left: (
                not [one for one in process.everything() if process.output_of(one.pid).startswith(left)]
            )
        )
    # Only what the dead alone had seen: started but its pid not yet told, or ended between two kills.
    print(f"{kills} kills, {unseen} ends unknown")
    assert unseen <= kills
    return kills


def _napping(run: str, ledger: Path, number: int, seconds: float) -> Order:
    return make_order(run, "sh", "-c", f"echo {number} >> {ledger}; sleep {seconds}; exit {number % 50}")


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_kills_at_random_run_nothing_twice_and_lose_nothing(machine: Machine, tmp_path: Path) -> None:
    check_kills(machine, tmp_path, seed=1, rounds=3, runs=30)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(4))
def test_many_kills_at_random_run_nothing_twice_and_lose_nothing(
    machine: Machine, tmp_path: Path, seed: int
) -> None:
    assert check_kills(machine, tmp_path, seed, rounds=30, runs=40) >= 60

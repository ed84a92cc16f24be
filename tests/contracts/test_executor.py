"""What every executor promises (reconciler/ports/executor.py), asked of the real one and of the simulated one alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.model import Reason
from reconciler.ports.executor import AttemptId, Ended, ExecutorEvent, NotStarted, Order, Started
from reconciler.ports.process import boot_id
from tests.runner.local import Machine as LocalMachine
from tests.runner.local import make_order
from tests.sim.machine import Fate, Machine
from tests.sim.ports import SimulatedExecutor

NUMBERS = count()
SHORT, LONG = "exit 0", "sleep 60"


class RealStage:
    """A LocalExecutor with a runner; its runs write to a ledger."""

    def __init__(self, folder: Path) -> None:
        self._ledger = folder / "ledger"
        self._machine = LocalMachine(folder / "state")

    @property
    def executor(self) -> Any:
        return self._machine.executor

    def order(self, run: str, script: str, **more: Any) -> Order:
        if script == "missing":
            return make_order(run, "/no/such/program", **more)
        return make_order(run, "/bin/sh", "-c", f"echo {run} >>{self._ledger}; {script}", **more)

    def listen(self, enough: Callable[[list[ExecutorEvent]], Any]) -> list[ExecutorEvent]:
        self._machine.listen(lambda: enough(self._machine.events))
        return self._machine.events

    def restart(self) -> None:
        self._machine.again()

    def boot_id(self) -> str:
        return boot_id()

    def times_run(self, run: str) -> int:
        return self._ledger.read_text().split().count(run) if self._ledger.exists() else 0

    def close(self) -> None:
        self._machine.close()


class SimulatedStage:
    """The simulator's executor on a machine that exists only in numbers."""

    def __init__(self, folder: Path) -> None:
        self._machine = Machine(0, lambda order, chance: self._fate(order.argv[0]))
        self.executor: Any = SimulatedExecutor(self._machine)
        self._events: list[ExecutorEvent] = []

    def _fate(self, script: str) -> Fate:
        verb, _, number = script.partition(" ")
        match verb:
            case "exit":
                return Fate(0.1, int(number))
            case "kill":
                return Fate(0.1, None, 9)
            case "missing":
                return Fate(0.0, starts=False)
        return Fate(float(number))

    def order(self, run: str, script: str, **more: Any) -> Order:
        return make_order(run, script, **more)

    def listen(self, enough: Callable[[list[ExecutorEvent]], Any]) -> list[ExecutorEvent]:
        for _ in range(1000):
            self._events += self.executor.poll()
            if enough(self._events):
                return self._events
            self._machine.pass_time(self._machine.elapsed + 0.05)
        raise AssertionError(f"nothing came of it: {self._events}")

    def restart(self) -> None:
        self.executor.close()
        self.executor = SimulatedExecutor(self._machine)
        self._events = []

    def boot_id(self) -> str:
        return self._machine.now().boot_id

    def times_run(self, run: str) -> int:
        return sum(item.spawns for item in self._machine.attempts.values() if item.id.run == run)

    def close(self) -> None:
        self.executor.close()


@pytest.fixture(params=[RealStage, SimulatedStage], ids=["local", "simulated"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    made = request.param(tmp_path)
    yield made
    made.close()


def of(kind: type, run: str) -> Callable[[list[ExecutorEvent]], list[Any]]:
    return lambda events: [x for x in events if isinstance(x, kind) and x.attempt.run == run]


def end_of(stage: Any, run: str) -> Ended:
    """Wait for the end of a run and of one that is ordered after it, so that nothing more is under way."""
    [end] = of(Ended, run)(stage.listen(of(Ended, run)))
    marker = stage.order(f"later-{next(NUMBERS)}", SHORT)
    stage.executor.start(marker)
    events = stage.listen(of(Ended, marker.attempt.run))
    assert of(Ended, run)(events) == [end], "an end is told once"
    return end


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("exit 0", (0, None, Reason.NONE)),
        ("exit 3", (3, None, Reason.EXIT_CODE)),
        ("kill -9 $$", (None, 9, Reason.SIGNAL)),
    ],
)
def test_an_attempt_is_started_once_and_ends_once_with_its_true_exit(stage, script, outcome):
    stage.executor.start(stage.order("one", script))
    end = end_of(stage, "one")

    assert (end.exit_code, end.signal, end.reason) == outcome
    events = stage.listen(bool)
    [start] = of(Started, "one")(events)
    assert events.index(start) < events.index(end)
    assert start.at <= end.at


def test_what_cannot_be_started_ends_as_a_failed_start_and_has_none(stage):
    stage.executor.start(stage.order("one", "missing"))
    end = end_of(stage, "one")

    assert (end.exit_code, end.signal, end.reason) == (None, None, Reason.START_FAILED)
    assert of(Started, "one")(stage.listen(bool)) == []


def test_the_same_order_given_again_starts_nothing(stage):
    order = stage.order("one", SHORT)
    for _ in range(3):
        stage.executor.start(order)
    end_of(stage, "one")

    assert stage.times_run("one") == 1


def test_a_stop_ends_the_attempt_with_its_reason_and_says_who_asked(stage):
    order = stage.order("one", LONG)
    stage.executor.start(order)
    stage.listen(of(Started, "one"))
    stage.executor.stop(order.attempt, Reason.CANCELLED_BY, "alice")
    stage.executor.stop(order.attempt, Reason.CANCELLED_BY, "alice")
    end = end_of(stage, "one")

    assert (end.reason, end.stopped_by) == (Reason.CANCELLED_BY, "alice")


def test_a_stop_of_what_never_was_or_is_over_does_nothing(stage):
    order = stage.order("one", SHORT)
    stage.executor.start(order)
    end_of(stage, "one")
    stage.executor.stop(order.attempt, Reason.CANCELLED_BY)
    stage.executor.stop(AttemptId("_installation/job", "never", 1), Reason.CANCELLED_BY)

    stage.executor.start(stage.order("other", SHORT))
    end_of(stage, "other")


def test_a_timeout_ends_the_attempt_as_such(stage):
    stage.executor.start(stage.order("one", LONG, timeout_seconds=0.3))

    assert end_of(stage, "one").reason is Reason.TIMED_OUT


def test_an_attempt_of_which_nothing_was_begun_is_given_back_and_can_be_started(stage):
    order = stage.order("one", SHORT)
    stage.executor.adopt(order.attempt, stage.boot_id())
    stage.listen(of(NotStarted, "one"))
    stage.executor.start(order)

    assert end_of(stage, "one").exit_code == 0
    assert stage.times_run("one") == 1


def test_a_living_attempt_is_adopted_and_its_end_is_told(stage):
    order = stage.order("one", LONG)
    stage.executor.start(order)
    stage.listen(of(Started, "one"))
    stage.restart()
    stage.executor.adopt(order.attempt, stage.boot_id())
    # Started is told at its birth; stopped before it has done anything, it would leave nothing to count.
    stage.listen(lambda events: of(Started, "one")(events) and stage.times_run("one"))
    stage.executor.stop(order.attempt, Reason.REPLACED)

    assert end_of(stage, "one").reason is Reason.REPLACED
    assert stage.times_run("one") == 1


@pytest.mark.parametrize("verb", ["adopt", "start"])
def test_an_attempt_that_has_ended_is_told_again_after_a_restart_and_never_runs_again(stage, verb):
    order = stage.order("one", "exit 3")
    stage.executor.start(order)
    before = end_of(stage, "one")
    stage.restart()
    if verb == "adopt":
        stage.executor.adopt(order.attempt, stage.boot_id())
    else:
        stage.executor.start(order)
    after = end_of(stage, "one")

    assert (after.exit_code, after.at) == (before.exit_code, before.at)
    assert stage.times_run("one") == 1


def test_an_attempt_of_another_boot_was_interrupted_and_never_starts(stage):
    order = stage.order("one", SHORT)
    stage.executor.adopt(order.attempt, "another-boot")

    assert end_of(stage, "one").reason is Reason.MACHINE_RESTARTED
    stage.restart()
    stage.executor.adopt(order.attempt, "another-boot")
    assert end_of(stage, "one").reason is Reason.MACHINE_RESTARTED
    assert stage.times_run("one") == 0


def test_nothing_to_tell_is_told_at_once(stage):
    assert stage.executor.poll() == []
    assert stage.executor.wake_in() is None

"""`kill -9` of the runner, of the daemon, of both: nothing runs twice, no exit code is lost that anybody saw."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest
from local import DaemonElsewhere, Machine, eventually, make_order

from reconciler.core.model import Reason
from reconciler.executors.runner_link import living_runners
from reconciler.ports import attempt as files
from reconciler.ports import process
from reconciler.ports.executor import Ended, NotStarted, Order, ProcessLimits, Started
from reconciler.ports.failpoint import ALL
from reconciler.runner import cgroup

pytestmark = pytest.mark.full

BOOT = process.boot_id()


def gated(run: str, gate: Path, then: str = "exit 7", **more: object) -> Order:
    """A run that waits until somebody opens the gate, writes a line for each time that it ran, and ends."""
    if not gate.exists():
        os.mkfifo(gate)
    return make_order(
        run, "sh", "-c", f"echo ran >> {gate}.ledger; read x < {gate}; echo over; {then}", **more
    )


def open_gate(gate: Path) -> None:
    """Let it through; fail when nobody comes to wait at the gate."""

    def opened() -> bool:
        with contextlib.suppress(OSError):
            fd = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
            os.write(fd, b"go\n")
            os.close(fd)
            return True
        return False

    eventually(opened)


def ran(gate: Path) -> int:
    ledger = Path(f"{gate}.ledger")
    return len(ledger.read_text().splitlines()) if ledger.exists() else 0


def test_a_killed_runner_loses_no_exit_code_of_a_living_run(machine: Machine, tmp_path: Path) -> None:
    order = gated("r", tmp_path / "gate")
    machine.executor.start(order)
    machine.start_of("r")
    machine.kill_runner()
    machine.listen(machine.runners)
    open_gate(tmp_path / "gate")
    end = machine.end_of("r")
    assert (end.exit_code, end.reason) == (7, Reason.EXIT_CODE)
    assert machine.log(order) == "over\n"
    assert ran(tmp_path / "gate") == 1
    assert len([event for event in machine.events if isinstance(event, Started)]) == 1


def test_a_run_that_ends_while_no_runner_lives_keeps_its_exit_code(machine: Machine, tmp_path: Path) -> None:
    order = gated("r", tmp_path / "gate", "kill -USR1 $$")
    machine.executor.start(order)
    pid = machine.start_of("r").pid
    assert pid is not None
    machine.kill_runner()
    open_gate(tmp_path / "gate")
    eventually(lambda: (found := process.look(pid)) is None or found.state == "Z")
    assert machine.end_of("r").signal == signal.SIGUSR1


def test_the_timeout_of_a_run_is_kept_by_the_next_runner(machine: Machine, tmp_path: Path) -> None:
    order = gated("r", tmp_path / "gate", timeout_seconds=1.0)
    machine.executor.start(order)
    machine.start_of("r")
    machine.kill_runner()
    end = machine.end_of("r")
    assert (end.signal, end.reason) == (signal.SIGTERM, Reason.TIMED_OUT)
    assert 1.0 <= (end.at - machine.start_of("r").at).total_seconds() < 10


def test_a_stop_that_a_killed_runner_began_keeps_its_reason(machine: Machine, tmp_path: Path) -> None:
    order = make_order(
        "r", "sh", "-c",
        f"trap 'read x < {tmp_path}/gate; exit 5' TERM; : > {tmp_path}/ready; while :; do sleep 0.01; done",
    )  # fmt: skip
    os.mkfifo(tmp_path / "gate")
    machine.executor.start(order)
    machine.start_of("r")
    machine.listen((tmp_path / "ready").exists)
    machine.executor.stop(order.attempt, Reason.CANCELLED_BY, by="alice")
    machine.listen(lambda: files.read_journal(str(machine.directory(order))).stop)
    machine.kill_runner()
    open_gate(tmp_path / "gate")
    end = machine.end_of("r")
    assert (end.reason, end.stopped_by) == (Reason.CANCELLED_BY, "alice")


def test_a_killed_daemon_finds_its_run_living_and_hears_its_end(machine: Machine, tmp_path: Path) -> None:
    order = gated("r", tmp_path / "gate")
    machine.executor.start(order)
    pid = machine.start_of("r").pid
    machine.again()
    machine.executor.adopt(order.attempt, BOOT)
    assert machine.start_of("r").pid == pid
    open_gate(tmp_path / "gate")
    assert machine.end_of("r").exit_code == 7
    assert ran(tmp_path / "gate") == 1


def test_a_killed_daemon_learns_what_ended_meanwhile(machine: Machine, tmp_path: Path) -> None:
    order = gated("r", tmp_path / "gate")
    machine.executor.start(order)
    machine.start_of("r")

    def it_ends() -> None:
        open_gate(tmp_path / "gate")
        eventually(lambda: (machine.directory(order) / files.EXIT).exists())

    machine.again(it_ends)
    machine.executor.adopt(order.attempt, BOOT)
    end = machine.end_of("r")
    assert end.exit_code == 7
    assert machine.executor.wake_in() is None


def test_both_killed_while_a_run_lives_it_is_adopted_with_its_true_exit_code(
    machine: Machine, tmp_path: Path
) -> None:
    order = gated("r", tmp_path / "gate")
    other = DaemonElsewhere(machine.state, "start", order)
    eventually(lambda: ran(tmp_path / "gate"))
    other.kill()
    machine.kill_runner()
    machine.executor.adopt(order.attempt, BOOT)
    machine.start_of("r")
    machine.listen(machine.runners)
    open_gate(tmp_path / "gate")
    end = machine.end_of("r")
    assert (end.exit_code, end.reason) == (7, Reason.EXIT_CODE)
    assert ran(tmp_path / "gate") == 1


def test_both_dead_when_it_ended_is_unknown_and_never_success(machine: Machine, tmp_path: Path) -> None:
    order = gated("r", tmp_path / "gate", "exit 0")
    other = DaemonElsewhere(machine.state, "start", order)
    eventually(lambda: ran(tmp_path / "gate"))
    start = eventually(lambda: files.read_journal(str(machine.directory(order))).start)
    other.kill()
    machine.kill_runner()
    open_gate(tmp_path / "gate")
    # This process inherited it, as init does elsewhere, and forgets what it reaps.
    os.waitpid(start["pid"], 0)
    machine.executor.adopt(order.attempt, BOOT)
    end = machine.end_of("r")
    assert (end.exit_code, end.signal, end.reason) == (None, None, Reason.EXIT_UNKNOWN)
    machine.again()
    machine.executor.adopt(order.attempt, BOOT)
    assert machine.end_of("r").reason is Reason.EXIT_UNKNOWN
    assert ran(tmp_path / "gate") == 1


def test_an_attempt_of_another_boot_ended_with_the_machine(machine: Machine) -> None:
    order = make_order("r", "true")
    machine.executor.adopt(order.attempt, "another-boot")
    end = machine.end_of("r")
    assert (end.exit_code, end.reason) == (None, Reason.MACHINE_RESTARTED)


def test_a_claimed_attempt_of_which_nothing_was_begun_is_given_back(machine: Machine) -> None:
    order = make_order("r", "true")
    machine.executor.adopt(order.attempt, BOOT)
    machine.listen(lambda: machine.events)
    assert machine.events == [NotStarted(order.attempt)]
    assert machine.run(order).exit_code == 0


def test_an_attempt_that_was_written_down_and_not_claimed_is_started_by_its_adoption(machine: Machine) -> None:
    order = make_order("r", "sh", "-c", "exit 4")
    machine.directory(order).mkdir(parents=True)
    files.write_order(
        str(machine.directory(order)), {"format": files.FORMAT, "bootId": BOOT, **order.document()}
    )
    machine.executor.adopt(order.attempt, BOOT)
    assert machine.end_of("r").exit_code == 4


def test_a_runner_that_speaks_another_format_is_left_to_end_and_another_one_starts_runs(machine: Machine) -> None:
    folder = machine.state / "runner"
    with socket.socket(socket.AF_UNIX) as end:
        with contextlib.chdir(folder):
            end.bind("runner.sock")
        end.listen()
        machine.again()
        older, _ = end.accept()
    with older:
        machine.executor.start(make_order("r", "sh", "-c", "exit 4"))
        os.rename(folder / "runner.sock", folder / "drain-1.sock")
        older.send(f'["hello", {files.FORMAT - 1}, 1]\n["synced"]\n["draining"]\n'.encode())
        assert machine.end_of("r").exit_code == 4
        assert older.recv(1 << 16).splitlines()[0] == f'["hello", {files.FORMAT}]'.encode()


def test_what_a_run_left_behind_is_ended_by_the_next_runner(machine: Machine, tmp_path: Path) -> None:
    text = f"trap '' TERM; (trap '' TERM; exec setsid sleep 600) & echo $! > {tmp_path}/pid; exit 0"
    order = make_order("r", "sh", "-c", text)
    assert machine.run(order).exit_code == 0
    machine.kill_runner()
    left = int((tmp_path / "pid").read_text())
    machine.run(make_order("next", "true"))
    eventually(lambda: (found := process.look(left)) is None or found.state == "Z")


RUNNER_POINTS = [name for name in ALL if name.startswith(("runner:", "executor:"))]


@pytest.mark.parametrize("name", RUNNER_POINTS)
def test_a_kill_at_any_failpoint_runs_nothing_twice_and_loses_nothing(
    machine: Machine, tmp_path: Path, name: str
) -> None:
    flood = "head -c 400000 /dev/zero; " if name == "runner:after-gap" else ""
    text = f"echo ran >> {tmp_path}/ledger; {flood}sleep 0.2; exit 7"
    if name == "runner:after-signal":
        text = f"echo ran >> {tmp_path}/ledger; exec sleep 600"
    orders = [make_order(f"r{n}", "sh", "-c", text, log_bytes=65536) for n in range(3)]
    other = DaemonElsewhere(machine.state, "start", *orders, failpoint=name)
    if name == "runner:after-signal":
        eventually(
            lambda: (
                len((tmp_path / "ledger").read_text().splitlines() if (tmp_path / "ledger").exists() else [])
                == 3
            )
        )
        other.kill()
    elif other.wait() != -signal.SIGKILL and name != "runner:after-gap":
        assert (machine.state / "once").exists(), "the failpoint was never passed"
    for order in orders:
        machine.executor.adopt(order.attempt, BOOT)
        if name == "runner:after-signal":
            machine.executor.stop(order.attempt, Reason.CANCELLED_BY)
    ends = []
    for order in orders:
        machine.listen(lambda run=order.attempt.run: any(
            isinstance(event, NotStarted | Ended) and event.attempt.run == run for event in machine.events
        ))  # fmt: skip
        if NotStarted(order.attempt) in machine.events:
            machine.executor.start(order)
        ends.append(machine.end_of(order.attempt.run))
    times = (tmp_path / "ledger").read_text().splitlines()
    if name == "runner:after-signal":
        assert [end.reason for end in ends] == [Reason.CANCELLED_BY] * 3
        assert len(times) == 3
        return
    known = [end for end in ends if end.reason is not Reason.EXIT_UNKNOWN]
    assert [end.exit_code for end in known] == [7] * len(known)
    # Only the runner was watching where it was killed before it could say the pid; a claim alone never starts again.
    unseen = {"runner:after-go": 1, "runner:after-spawn": 1}
    assert len(ends) - len(known) <= unseen.get(name, 0)
    assert len(known) <= len(times) <= len(ends)


@pytest.mark.skipif(not cgroup.own_groups(), reason="no cgroup with a memory limit can be made here")
def test_a_memory_limit_is_still_told_from_other_kills_after_the_runner_died(
    machine: Machine, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "gate")
    eat = f"open('{tmp_path}/gate').read()\nx = []\nwhile True: x.append(bytearray(1 << 20))"
    limits = ProcessLimits(memory_bytes=100 << 20)
    order = make_order("r", "python3", "-I", "-S", "-c", eat, limits=limits)
    machine.executor.start(order)
    machine.start_of("r")
    machine.kill_runner()
    machine.listen(machine.runners)
    machine.run(make_order("other", "true"))
    open_gate(tmp_path / "gate")
    end = machine.end_of("r")
    assert end.signal == signal.SIGKILL
    assert end.reason in (Reason.OUT_OF_MEMORY, Reason.SIGNAL), "the daemon may see the end first"
    folders = [Path(folder) for folder, _ in cgroup.own_groups()]
    eventually(lambda: not [one for folder in folders for one in folder.glob("reconcile-*-r")])


def test_a_runner_of_another_format_drains_and_gives_way(machine: Machine, tmp_path: Path) -> None:
    order = gated("old", tmp_path / "gate")
    machine.executor.start(order)
    machine.start_of("old")
    [first] = machine.runners()
    [link] = living_runners(machine.state / "runner")
    link.send(["hello", files.FORMAT + 1])
    link.flush()
    machine.listen(lambda: list((machine.state / "runner").glob("drain-*.sock")))
    assert machine.run(make_order("new", "true")).exit_code == 0
    assert len(machine.runners()) == 2
    link.close()
    machine.again()
    machine.executor.adopt(order.attempt, BOOT)
    machine.executor.stop(order.attempt, Reason.CANCELLED_BY)
    assert machine.end_of("old").reason is Reason.CANCELLED_BY
    eventually(lambda: first not in machine.runners())


@pytest.mark.full
def test_a_runner_that_nobody_needs_ends_by_itself(machine: Machine) -> None:
    machine.run(make_order("r", "true"))
    assert machine.runners()
    machine.again(lambda: eventually(lambda: not machine.runners()))
    assert machine.run(make_order("next", "true")).exit_code == 0

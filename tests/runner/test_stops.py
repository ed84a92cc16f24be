"""Timeout, cancel, and the whole tree: what is ended, with which signal, for which reason."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from local import Machine, eventually, make_order

from reconciler.core.model import Reason
from reconciler.ports.executor import Ended, Order, ProcessLimits

pytestmark = pytest.mark.full

ESCAPE = """
import os, sys, time, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {more}
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
os.wait()
{then}
"""


def escaping(
    run: str, folder: Path, then: str = "time.sleep(600)", more: str = "pass", **rest: object
) -> Order:
    """A run whose grandchild leaves the session by a double fork and ignores TERM; its pid is in `folder/pid`."""
    text = ESCAPE.format(more=more, then=then)
    return make_order(run, "python3", "-I", "-S", "-c", text, str(folder / "pid"), **rest)


def pid_in(path: Path) -> int:
    return int(eventually(lambda: path.exists() and path.read_text()))


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_run_that_heeds_the_stop_signal_ends_by_it_at_its_timeout(machine: Machine) -> None:
    order = make_order("r", "sh", "-c", "trap 'echo bye; exit 7' TERM; while :; do sleep 0.01; done",
                       timeout_seconds=0.3)  # fmt: skip
    end = machine.run(order)
    assert (end.exit_code, end.reason) == (7, Reason.TIMED_OUT)
    assert end.message == "stopped after its timeout of 0.3 s"
    assert "bye" in machine.log(order)


def test_a_run_that_ignores_the_stop_signal_is_killed_after_its_grace(machine: Machine) -> None:
    order = make_order("r", "sh", "-c", "trap '' TERM; while :; do sleep 0.01; done",
                       timeout_seconds=0.1, stop_grace_seconds=0.4)  # fmt: skip
    began = time.monotonic()
    end = machine.run(order)
    assert (end.exit_code, end.signal, end.reason) == (None, signal.SIGKILL, Reason.TIMED_OUT)
    assert time.monotonic() - began >= 0.5


def test_the_stop_signal_of_the_order_is_the_one_that_is_sent(machine: Machine) -> None:
    order = make_order("r", "sh", "-c", "trap 'exit 9' INT; while :; do sleep 0.01; done",
                       timeout_seconds=0.3, stop_signal="INT")  # fmt: skip
    assert machine.run(order).exit_code == 9


def test_a_stopped_run_carries_the_reason_and_who_asked(machine: Machine) -> None:
    order = make_order("r", "sleep", "600")
    machine.executor.start(order)
    machine.start_of("r")
    machine.executor.stop(order.attempt, Reason.CANCELLED_BY, by="alice")
    end = machine.end_of("r")
    assert (end.signal, end.reason, end.stopped_by) == (signal.SIGTERM, Reason.CANCELLED_BY, "alice")


def test_a_stop_right_behind_the_start_still_ends_it(machine: Machine) -> None:
    order = make_order("r", "sleep", "600")
    machine.executor.start(order)
    machine.executor.stop(order.attempt, Reason.REPLACED)
    assert machine.end_of("r").reason is Reason.REPLACED


def test_a_frozen_run_is_ended_too(machine: Machine) -> None:
    order = make_order("r", "sh", "-c", "kill -STOP $$; exit 3")
    machine.executor.start(order)
    pid = machine.start_of("r").pid
    eventually(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    machine.executor.stop(order.attempt, Reason.CANCELLED_BY)
    assert machine.end_of("r").reason is Reason.CANCELLED_BY


def test_a_child_that_forked_twice_and_called_setsid_is_ended_with_its_run(
    machine: Machine, tmp_path: Path
) -> None:
    order = escaping("r", tmp_path, timeout_seconds=0.5, stop_grace_seconds=0.2)
    machine.executor.start(order)
    escaped = pid_in(tmp_path / "pid")
    assert machine.end_of("r").reason is Reason.TIMED_OUT
    eventually(lambda: is_gone(escaped))


def test_what_a_run_leaves_behind_is_ended_without_delaying_its_end(machine: Machine, tmp_path: Path) -> None:
    order = escaping("r", tmp_path, then="sys.exit(0)")
    machine.executor.start(order)
    escaped = pid_in(tmp_path / "pid")
    assert machine.end_of("r").exit_code == 0
    assert not is_gone(escaped), "it ignores TERM, so it lives for its grace while the end is already known"
    eventually(lambda: is_gone(escaped))


def test_what_hides_its_environment_but_keeps_the_log_is_ended_too(machine: Machine, tmp_path: Path) -> None:
    hide = f"os.path.exists({str(tmp_path / 'pid')!r}) or " \
        f"os.execve('/bin/sh', ['sh', '-c', 'echo $$ > {tmp_path}/pid; exec sleep 600'], {{}})"  # fmt: skip
    order = escaping("r", tmp_path, then="sys.exit(0)", more=hide)
    assert machine.run(order).exit_code == 0
    escaped = pid_in(tmp_path / "pid")
    eventually(lambda: is_gone(escaped))


def test_a_background_child_that_keeps_the_log_open_is_ended_with_its_run(
    machine: Machine, tmp_path: Path
) -> None:
    order = make_order("r", "sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; echo done")
    assert machine.run(order).exit_code == 0
    eventually(lambda: is_gone(pid_in(tmp_path / "pid")))
    assert machine.log(order) == "done\n"


def test_ending_one_run_leaves_the_next_alone(machine: Machine, tmp_path: Path) -> None:
    neighbour = make_order("neighbour", "sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    machine.executor.start(neighbour)
    child = pid_in(tmp_path / "pid")
    for number in range(3):
        assert machine.run(make_order(f"r{number}", "sh", "-c", "sleep 600 & exit 0")).exit_code == 0
    assert not is_gone(child)
    machine.executor.stop(neighbour.attempt, Reason.CANCELLED_BY)
    machine.end_of("neighbour")
    eventually(lambda: is_gone(child))


@pytest.mark.skipif(os.getuid() != 0, reason="only root may start runs as somebody else")
def test_a_run_of_another_user_is_ended_with_its_tree(machine: Machine, tmp_path: Path) -> None:
    order = make_order("r", "sh", "-c", "sleep 600 & wait", user="nobody", limits=ProcessLimits(nice=1))
    machine.executor.start(order)
    machine.start_of("r")
    machine.executor.stop(order.attempt, Reason.CANCELLED_BY)
    assert machine.end_of("r").reason is Reason.CANCELLED_BY
    assert isinstance(machine.events[-1], Ended)

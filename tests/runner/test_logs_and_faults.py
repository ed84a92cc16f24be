"""Floods, a full disk, no descriptors left, no processes left."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest
from local import Machine, eventually, make_order

from reconciler.core.model import Reason
from reconciler.ports import attempt as files
from reconciler.ports import process
from reconciler.ports.executor import Order, ProcessLimits

pytestmark = pytest.mark.full


def on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


def gap_of(machine: Machine, order: Order) -> tuple[int, int]:
    record = json.loads((machine.directory(order) / files.GAP).read_text())
    return record["offset"], record["length"]


def check_flood(machine: Machine, lines: int, bound: int) -> None:
    text = f"seq -f 'line %015.0f of a flood that has no end' 1 {lines}"
    order = make_order("r", "sh", "-c", text, log_bytes=bound)
    machine.executor.start(order)
    assert machine.end_of("r", seconds=300).exit_code == 0
    log = machine.directory(order) / files.LOG
    eventually(lambda: on_disk(log) <= bound)
    size = len("line 000000000000001 of a flood that has no end\n")
    assert log.stat().st_size == lines * size
    offset, length = gap_of(machine, order)
    with log.open("rb") as stream:
        head = stream.read(offset).splitlines()
        stream.seek(offset + length)
        tail = stream.read().splitlines()
    assert head[0] == b"line 000000000000001 of a flood that has no end"
    assert tail[-1] == b"line %015d of a flood that has no end" % lines
    assert bound * 3 // 4 <= offset + len(b"\n".join(tail)) <= bound
    assert not any(b"\0" in line for line in (*head, *tail)), "what is stated as kept is really there"


def test_a_flood_leaves_head_and_tail_within_its_bound(machine: Machine) -> None:
    check_flood(machine, 2_000_000, 1 << 20)


@pytest.mark.full
def test_a_great_flood_leaves_head_and_tail_within_its_bound(machine: Machine) -> None:
    check_flood(machine, 60_000_000, 64 << 20)


def test_a_long_flood_stays_bounded_while_it_is_written(machine: Machine) -> None:
    bound = 4 << 20
    order = make_order(
        "r", "sh", "-c", "while :; do head -c 1000000 /dev/zero; sleep 0.005; done", log_bytes=bound
    )
    machine.executor.start(order)
    machine.start_of("r")
    log = machine.directory(order) / files.LOG
    machine.listen(lambda: log.stat().st_size > 100_000_000)
    machine.listen(lambda: on_disk(log) < 60_000_000)
    machine.executor.stop(order.attempt, Reason.CANCELLED_BY)
    machine.end_of("r")
    eventually(lambda: on_disk(log) <= bound)


def test_a_log_within_its_bound_is_left_as_it_is(machine: Machine) -> None:
    order = make_order("r", "sh", "-c", "seq 1 1000", log_bytes=1 << 20)
    machine.run(order)
    assert machine.log(order).splitlines() == [str(n) for n in range(1, 1001)]
    assert not (machine.directory(order) / files.GAP).exists()


def test_a_runner_without_descriptors_says_so_and_starts_again_once_it_has_some(machine: Machine) -> None:
    machine.run(make_order("before", "true"))
    [pid] = machine.runners()
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 1, hard))
    order = make_order("r", "true")
    end = machine.run(order)
    assert end.reason is Reason.START_FAILED
    assert "Too many open files" in end.message
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (1024, hard))
    assert not files.is_ordered(str(machine.directory(order)))
    assert machine.run(make_order("after", "true")).exit_code == 0
    assert machine.runners() == [pid]


def test_an_end_that_cannot_be_written_is_said_and_written_later(machine: Machine, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    order = make_order("r", "sh", "-c", f"read x < {tmp_path}/gate; exit 6")
    machine.executor.start(order)
    machine.start_of("r")
    [pid] = machine.runners()
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(
        pid, resource.RLIMIT_FSIZE, (10, hard)
    )  # every write of the runner fails as on a full disk
    (tmp_path / "gate").write_text("go\n")
    assert machine.end_of("r").exit_code == 6
    assert not (machine.directory(order) / files.EXIT).exists()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    eventually(lambda: (machine.directory(order) / files.EXIT).exists())
    journal = files.read_journal(str(machine.directory(order)))
    assert journal.end is not None
    assert journal.end["exitCode"] == 6


PIDS = Path("/sys/fs/cgroup/pids")


@pytest.mark.skipif(not os.access(PIDS / "tasks", os.W_OK), reason="needs a writable pids cgroup")
@pytest.mark.parametrize("limits", [None, ProcessLimits(nice=1)], ids=["spawned", "forked"])
def test_a_fork_that_fails_is_a_failed_start(machine: Machine, limits: ProcessLimits | None) -> None:
    machine.run(make_order("before", "true"))
    [pid] = machine.runners()
    group = PIDS / f"reconcile-test-{pid}"
    group.mkdir()
    (group / "pids.max").write_text("1")
    (group / "cgroup.procs").write_text(str(pid))
    try:
        end = machine.run(make_order("r", "true", limits=limits))
    finally:
        (PIDS / "cgroup.procs").write_text(str(pid))
        group.rmdir()
    assert end.reason is Reason.START_FAILED
    assert end.message == "could not run `true`: this machine or user has too many processes"
    assert machine.run(make_order("after", "true", limits=limits)).exit_code == 0


def test_orphans_of_a_killed_runner_are_reaped_by_the_daemon(machine: Machine) -> None:
    order = make_order("r", "sh", "-c", "(sleep 0.5 &) ; (sleep 0.5 &); sleep 1")
    machine.executor.start(order)
    machine.start_of("r")
    machine.kill_runner()
    assert machine.end_of("r").exit_code == 0

    def zombies() -> list[process.Process]:
        found = [process.look(pid) for pid in process.children(os.getpid())]
        return [one for one in found if one is not None and one.state == "Z"]

    machine.listen(lambda: not zombies())

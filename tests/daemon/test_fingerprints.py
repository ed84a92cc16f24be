"""`automatic.onChange`: files that change start a run, once, whenever it was that they changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.desired import Desired
from reconciler.core.facts import from_epoch
from reconciler.core.model import Mode, TargetId
from reconciler.core.plan import Criteria, Pause, Plan
from reconciler.daemon.fingerprints import LOOK_SECONDS, PATIENCE_SECONDS, SETTLE_SECONDS, Fingerprints
from reconciler.daemon.watched import Appearance, appearance
from reconciler.engine.engine import Engine
from reconciler.engine.parts import Parts
from reconciler.rehearsal.script import Fate
from reconciler.rehearsal.stage import Stage, StagedExecutor, StagedLogs, StagedOrders
from reconciler.store.sqlite import SqliteStore

RELOAD = TargetId("reload")


class Machine:
    """A real engine and real files, with a clock that the test turns."""

    def __init__(self, folder: Path, *patterns: str) -> None:
        self.files = folder / "files"
        self.files.mkdir()
        self.stage = Stage(1_800_000_000, {"reload": Fate(seconds=30)})
        self.store = SqliteStore(folder / "state.db", durable=False)
        self.desired = Desired()
        self.watch(*(patterns or ("**",)))
        self.start()

    def watch(self, *patterns: str, **more: Any) -> None:
        """Say which files, from now on."""
        wanted = tuple(f"{self.files}/{pattern}" for pattern in patterns)
        plan = Plan("reload", "", Mode.AUTOMATIC, "d", repr(wanted), criteria=Criteria(on_change=wanted))
        self.desired = Desired(targets={RELOAD: replace(plan, **more)})

    def start(self) -> None:
        """Start the reconciler anew on what it left."""
        parts = Parts(
            self.store, self.stage, StagedExecutor(self.stage), StagedLogs(self.stage),
            StagedOrders(lambda target: self.desired.targets.get(target)), lambda: 0.0, lambda attempt: None,
        )  # fmt: skip
        self.engine = Engine(parts)
        self.engine.open(self.desired)
        self.apply()
        self.warned: list[str] = []
        self.looking = Fingerprints(
            lambda: self.desired, self.engine.fingerprint, at_once, self.warned.append,
            seconds=lambda: self.stage.now().boot,
        )  # fmt: skip

    def apply(self) -> None:
        self.engine.apply(self.desired, lambda: None)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with looks at the files and rounds of the engine."""
        end = self.stage.wall + timedelta(seconds=seconds)
        while self.stage.wall < end:
            wait = self.looking.step()
            self.decide()
            self.stage.wall += timedelta(seconds=wait)
        self.decide()

    def decide(self) -> None:
        """Do all that is due."""
        for _ in range(20):
            wait = self.engine.round().wait_seconds
            if wait is None or wait > 0.02:
                return

    def write(self, name: str, text: str = "x") -> None:
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def runs(self) -> int:
        rows = self.store.db.execute("SELECT count(*) FROM runs WHERE cause = 'change'")
        return int(rows.fetchone()[0])


def at_once(call: Callable[[], Any]) -> Future[Any]:
    """The deciding thread, as if it were this one."""
    future: Future[Any] = Future()
    future.set_result(call())
    return future


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.store.close()


def test_the_first_sight_of_files_starts_nothing(machine: Machine) -> None:
    machine.write("a.conf")
    machine.pass_time(600)
    assert machine.runs == 0


@pytest.mark.parametrize("change", ["written", "added", "removed", "replaced", "renamed", "emptied"])
def test_a_change_of_any_kind_starts_one_run(change: str, machine: Machine) -> None:
    machine.write("deep/down/a.conf", "before")
    machine.pass_time(60)
    path = machine.files / "deep" / "down" / "a.conf"
    match change:
        case "written":
            path.write_text("after!")
        case "added":
            machine.write("other/b.conf")
        case "removed":
            path.unlink()
        case "replaced":
            kept = path.stat()
            machine.write("new", "change")
            os.utime(machine.files / "new", ns=(kept.st_atime_ns, kept.st_mtime_ns))
            (machine.files / "new").rename(path)
        case "renamed":
            path.rename(path.with_name("b.conf"))
        case "emptied":
            path.write_text("")
    machine.pass_time(600)
    assert machine.runs == 1


def test_a_change_while_the_reconciler_was_down_starts_one_run_after_it_is_back(machine: Machine) -> None:
    machine.write("a.conf", "before")
    machine.pass_time(60)
    machine.write("a.conf", "meanwhile")
    machine.start()
    machine.pass_time(600)
    assert machine.runs == 1
    machine.start()
    machine.pass_time(600)
    assert machine.runs == 1


def test_an_edit_during_the_run_starts_one_more_behind_it(machine: Machine) -> None:
    machine.write("a.conf", "before")
    machine.pass_time(60)
    machine.write("a.conf", "first")
    machine.pass_time(10)
    assert machine.runs == 1
    machine.write("a.conf", "second one")
    machine.pass_time(5)
    machine.write("a.conf", "third one of them")
    machine.pass_time(10)
    assert machine.runs == 1
    machine.pass_time(600)
    assert machine.runs == 2


def test_a_copy_in_progress_is_waited_for(machine: Machine) -> None:
    machine.write("a.conf")
    machine.pass_time(60)
    for size in range(1, 20):
        machine.write("big.img", "x" * size)
        assert machine.looking.step() == SETTLE_SECONDS
        machine.stage.wall += timedelta(seconds=SETTLE_SECONDS)
        machine.engine.round()
    assert machine.runs == 0
    machine.pass_time(5)
    assert machine.runs == 1


def test_what_never_rests_counts_after_a_while(machine: Machine) -> None:
    machine.write("a.log")
    machine.pass_time(60)
    for size in range(int(PATIENCE_SECONDS / SETTLE_SECONDS) + 2):
        machine.write("a.log", "x" * size)
        machine.looking.step()
        machine.stage.wall += timedelta(seconds=SETTLE_SECONDS)
        machine.engine.round()
    assert machine.runs == 1


def test_other_patterns_begin_anew(machine: Machine) -> None:
    machine.write("a.conf")
    machine.write("b.txt")
    machine.pass_time(60)
    machine.watch("*.txt")
    machine.apply()
    machine.pass_time(60)
    assert machine.runs == 0
    machine.write("b.txt", "changed")
    machine.pass_time(60)
    assert machine.runs == 1


def test_becoming_automatic_again_does_not_make_up_for_what_changed_meanwhile(machine: Machine) -> None:
    machine.write("a.conf")
    machine.pass_time(60)
    automatic = machine.desired
    plan = automatic.targets[RELOAD]
    machine.desired = Desired(targets={RELOAD: replace(plan, mode=Mode.DISABLED, schedule_digest="off")})
    machine.apply()
    machine.pass_time(60)
    machine.write("a.conf", "meanwhile")
    machine.desired = automatic
    machine.apply()
    machine.pass_time(60)
    assert machine.runs == 0
    machine.write("a.conf", "and afterwards")
    machine.pass_time(60)
    assert machine.runs == 1


def test_a_change_in_a_pause_is_held_until_its_end(machine: Machine) -> None:
    machine.write("a.conf")
    machine.pass_time(60)
    until = from_epoch(machine.stage.wall.timestamp() + 3600)
    machine.watch("**", pauses=(Pause(until, "freeze"),))
    machine.apply()
    machine.write("a.conf", "changed")
    machine.pass_time(1800)
    assert machine.runs == 0
    machine.pass_time(3600)
    assert machine.runs == 1


def test_a_state_that_cannot_be_written_delays_and_loses_nothing(machine: Machine) -> None:
    machine.write("a.conf")
    machine.pass_time(60)
    machine.write("a.conf", "changed")
    machine.looking.step()
    machine.store.db.execute("PRAGMA query_only = 1")
    with pytest.raises(Exception, match="readonly"):
        machine.looking.step()
    machine.store.db.execute("PRAGMA query_only = 0")
    machine.pass_time(60)
    assert machine.runs == 1


def test_looking_takes_no_more_than_its_share_of_a_processor(machine: Machine) -> None:
    def slow(patterns: Any) -> Appearance:
        machine.stage.wall += timedelta(seconds=1)
        return appearance(patterns)

    looking = Fingerprints(
        lambda: machine.desired, machine.engine.fingerprint, at_once, look_at=slow,
        seconds=lambda: machine.stage.now().boot,
    )  # fmt: skip
    looking.step()
    assert looking.step() == pytest.approx(20)
    assert looking.step() > LOOK_SECONDS


def test_too_many_files_are_said_once(machine: Machine) -> None:
    few: Callable[[Any], Appearance] = lambda patterns: Appearance("p:d", 100_000, False)  # noqa: E731
    warned: list[str] = []
    looking = Fingerprints(lambda: machine.desired, machine.engine.fingerprint, at_once, warned.append, few)
    for _ in range(4):
        looking.step()
    assert len(warned) == 1
    assert warned[0].startswith("reload watches more than 100,000 files")


def test_the_state_says_when_all_was_looked_at_after_the_start(machine: Machine) -> None:
    machine.looking.step()
    assert not machine.looking.has_looked.is_set()
    machine.looking.step()
    assert machine.looking.has_looked.is_set()


def test_a_fault_of_ours_ends_the_daemon_instead_of_the_looking_alone(machine: Machine) -> None:
    def broken(patterns: Any) -> Appearance:
        raise AssertionError("a bug")

    looking = Fingerprints(lambda: machine.desired, machine.engine.fingerprint, at_once, look_at=broken)
    looking.start()
    assert looking.join(10)
    assert isinstance(looking.failure, AssertionError)


# What patterns match.


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("a.conf", {"a.conf"}),
        ("*.conf", {"a.conf", "b.conf"}),
        ("?.conf", {"a.conf", "b.conf"}),
        ("[ac].conf", {"a.conf"}),
        ("**", {"a.conf", "b.conf", "x/c.conf", "x/y/d.conf", "x/y/e.txt"}),
        ("**/*.conf", {"a.conf", "b.conf", "x/c.conf", "x/y/d.conf"}),
        ("*/*.conf", {"x/c.conf"}),
        ("x/**/d.conf", {"x/y/d.conf"}),
        ("x/**", {"x/c.conf", "x/y/d.conf", "x/y/e.txt"}),
        ("*/y/e.txt", {"x/y/e.txt"}),
        (".h*", {".hidden"}),
        ("x", {"x"}),
        ("nothing/**", set()),
    ],
)
def test_patterns_match_as_in_a_shell(pattern: str, matched: set[str], tmp_path: Path) -> None:
    names = ["a.conf", "b.conf", "x/c.conf", "x/y/d.conf", "x/y/e.txt", ".hidden", ".git/config"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    patterns = [f"{tmp_path}/{pattern}"]
    before = appearance(patterns)
    noticed = set()
    for name in [*names, "x"]:
        status = (tmp_path / name).stat()
        os.utime(tmp_path / name, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
        if appearance(patterns).digest != before.digest:
            noticed.add(name)
        os.utime(tmp_path / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert noticed == matched
    assert before.files == len(matched)


def test_loops_of_links_end_and_links_to_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "loop").symlink_to(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("before")
    (tmp_path / "d" / "link").symlink_to(tmp_path / "real" / "file")
    before = appearance([f"{tmp_path}/d/**"])
    (tmp_path / "real" / "file").write_text("afterwards")
    assert appearance([f"{tmp_path}/d/**"]).digest != before.digest
    dangling = tmp_path / "d" / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    assert appearance([f"{tmp_path}/d/**"]).files == before.files + 1

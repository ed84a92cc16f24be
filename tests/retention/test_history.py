"""Retention by the real daemon, and runs that a person takes out of the history."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from reconciler.core import facts as f
from reconciler.core.decide import decide
from reconciler.core.model import State, TargetId
from reconciler.core.plan import Retention
from reconciler.engine.board import Board
from reconciler.store.sqlite import SqliteStore
from tests.core.life import instant, scheduled, utc
from tests.support.installation import Installation, document, job, until

pytestmark = pytest.mark.full

EVERY_SECOND = {"mode": "scheduled", "schedule": {"cron": "* * * * * *"}}


def folders(place: Installation, name: str) -> set[str]:
    return {path.name for path in (place.state / "runs" / "_installation" / name).iterdir()}


def removals(place: Installation, name: str) -> list[dict[str, object]]:
    rows = place.rows("SELECT body FROM facts WHERE job=? AND kind='HistoryRemoved'", name)
    return [json.loads(row[0]) for row in rows]


def test_a_job_keeps_as_many_runs_as_it_says_while_it_goes_on_and_the_rest_leaves_the_disk(
    place: Installation,
):
    place.write("often.yaml", job("often", "echo x", planning=EVERY_SECOND, retention={"runs": 3}))
    place.write("keeps.yaml", job("keeps", "echo x", planning=EVERY_SECOND))
    place.serve()
    until(lambda: len(place.runs("keeps")) >= 14, "14 seconds of runs")
    place.write("often.yaml", job("often", "echo x", planning={"mode": "disabled"}, retention={"runs": 3}))
    until(lambda: len(place.runs("often")) == 3, "only the last three stay")
    assert len(place.runs("keeps")) >= 14
    assert folders(place, "often") == {run["run"] for run in place.runs("often")}
    (said,) = removals(place, "often")[-1:]
    assert said["rule"] == "runs"
    assert int(str(said["size_bytes"])) > 0
    assert "removed from the history" in place.run("events", "often").stdout
    left = {row[0] for row in place.rows("SELECT DISTINCT run FROM facts WHERE job='often' AND run != ''")}
    assert left == folders(place, "often"), "facts go with their runs"


def test_all_of_it_keeps_within_the_total_and_what_runs_is_left_alone(place: Installation):
    place.write("all.yaml", document("Installation", "installation", retention={"total": "1MiB"}))
    place.write("big.yaml", job("big", "head -c 400000 /dev/zero | tr '\\0' x"))
    place.write("slow.yaml", job("slow", "head -c 400000 /dev/zero | tr '\\0' x; sleep 60"))
    place.serve()
    place.run("run", "slow")
    place.wait_runs("slow", "running")
    for _ in range(4):
        assert place.run("run", "big", "--wait").returncode == 0
    until(lambda: len(place.runs("big")) <= 2, "the oldest are gone")
    assert [run["state"] for run in place.runs("slow")] == ["running"]
    assert {said["rule"] for said in removals(place, "big")} == {"total"}


def test_once_removes_too_because_no_daemon_will(place: Installation):
    place.write("a.yaml", job("a", "true", retention={"runs": 2}))
    daemon = place.serve()
    for _ in range(4):
        assert place.run("run", "a", "--wait").returncode == 0
    daemon.terminate()
    until(lambda: not place.rows("SELECT 1 FROM runs WHERE finished > ?", time.time() - 6), "it is told")
    place.run("serve", "--once")
    assert len(place.runs("a")) == 2


def test_a_crash_between_directory_and_row_is_finished_by_the_next_look(place: Installation):
    place.write("a.yaml", job("a", "true", retention={"runs": 2}))
    daemon = place.serve()
    for _ in range(3):
        assert place.run("run", "a", "--wait").returncode == 0
    daemon.kill()
    oldest = place.runs("a")[0]["run"]
    for path in sorted((place.state / "runs/_installation/a" / oldest).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert place.run("describe", f"a/{oldest}").returncode == 0, "what is half gone can be looked at"
    assert place.run("logs", f"a/{oldest}").returncode in (0, 6)
    place.serve()
    until(lambda: len(place.runs("a")) == 2)


def test_deleting_by_hand_is_recorded_with_its_sender_and_changes_nothing_of_what_runs_when(
    place: Installation,
):
    place.write("a.yaml", job("a", "true", planning={"mode": "scheduled", "schedule": {"cron": "0 0 1 1 *"}}))
    place.write("alice.yaml", document("Administrator", "alice", role="system"))
    place.serve()
    assert place.run("run", "a", "--wait").returncode == 0
    assert place.run("run", "a", "--wait").returncode == 0
    first, second = (run["run"] for run in place.runs("a"))
    before = place.rows("SELECT seen, wake_at, next_run FROM targets WHERE job='a'")
    done = place.run("--as", "alice", "history", "a", "--delete", f"a/{second}")
    assert done.returncode == 0, done.stderr
    assert place.rows("SELECT seen, wake_at, next_run FROM targets WHERE job='a'") == before
    assert [run["run"] for run in place.runs("a")] == [first]
    until(lambda: folders(place, "a") == {first}, "its directory is gone")
    (said,) = removals(place, "a")
    assert (said["by"], said["count"], said["first"]) == ("alice", 1, second)
    assert place.run("history", "a", "--delete", second).returncode == 6
    assert place.run("history", "a", "--delete").returncode == 64
    assert place.run("history", "a", second).returncode == 64
    done = place.run("history", "a", "--delete", "--before", "0s")
    assert "removed 1 run of a" in done.stderr
    assert place.runs("a") == []
    assert place.json("get", "jobs")["items"][0]["lastRun"]["run"] == second, "the summary stays"


def test_what_runs_cannot_be_deleted_and_without_a_daemon_it_is_done_at_once(place: Installation):
    place.write("a.yaml", job("a", "sleep 60"))
    place.write("b.yaml", job("b", "true"))
    daemon = place.serve()
    place.run("run", "a")
    (run,) = place.wait_runs("a", "running")
    assert place.run("history", "a", "--delete", run["run"]).returncode == 8
    assert place.run("history", "a", "--delete", "--before", "0s").returncode == 0
    assert place.runs("a")
    assert place.run("run", "b", "--wait").returncode == 0
    daemon.terminate()
    assert place.run("history", "b", "--delete", place.runs("b")[0]["run"]).returncode == 0
    assert place.runs("b") == []
    assert folders(place, "b") == set()
    assert list((place.state / "trash").iterdir()) == []


def test_a_domain_administrator_deletes_in_the_own_domains_only(place: Installation):
    place.write("d.yaml", document("Domain", "acme.example"))
    place.write("e.yaml", document("Domain", "globex.example"))
    place.write("a.yaml", job("a", "true", scope="domain"))
    place.write("alice.yaml", document("Administrator", "alice", role="domain", domains=["acme.example"]))
    place.serve()
    assert place.run("run", "a", "-A", "--wait").returncode == 0
    (run,) = {row["run"] for row in place.runs("a")}
    assert place.run("--as", "alice", "history", "a@globex.example", "--delete", run).returncode == 6
    assert place.run("--as", "alice", "history", "a@acme.example", "--delete", run).returncode == 0
    assert [row["domain"] for row in place.runs("a")] == ["globex.example"]


def test_a_slot_whose_run_was_removed_never_runs_again_though_the_clock_is_set_back(tmp_path: Path):
    store = SqliteStore(tmp_path / "state.db", durable=False)
    plan, target = scheduled({"cron": "0 * * * *"}), TargetId("job")
    board = Board(store, lambda plan: "", decide)
    board.desired = type(board.desired)(targets={target: plan})
    noon = utc("2026-06-01T12:00")
    with store.transaction():
        store.join(target, plan)
        board.record(target, f.Joined(utc("2026-06-01T11:30"), plan.mode, plan.digest, plan.schedule_digest))
        board.look(target, instant(noon))
        (run,) = board.seen(target).runs
        board.record(target, f.Finished(noon, run, State.CANCELLED))
        assert store.remove_runs(target, [run], noon.timestamp()) == 1
        board.record(target, f.ClockSetBack(utc("2026-06-01T11:00")))
        board.look(target, instant(noon))
        board.flush(instant(noon))
        assert not board.seen(target).runs
    rows = store.db.execute("SELECT state, reason FROM runs").fetchall()
    assert rows == [("skipped", "ClockStepped")]
    store.close()


def test_a_definition_goes_with_the_last_run_that_was_made_of_it(tmp_path: Path):
    store = SqliteStore(tmp_path / "state.db", durable=False)
    for name, digest in (("a", "used"), ("b", "unused")):
        store.put_definition(digest, {"job": name})
    store.db.execute(
        "INSERT INTO runs (job, domain, run, trigger, state, digest) "
        "VALUES ('a', '', 'r', 'request', 'success', 'used')"
    )
    assert store.forget_definitions(["unused", "used"], 0, 0.0) == 1
    assert store.definition("used") is not None
    assert store.definition("unused") is None
    store.close()


def test_the_defaults_are_those_of_the_documentation():
    assert Retention() == Retention(100, 90 * 86400.0, 64 << 20, 10 << 30)

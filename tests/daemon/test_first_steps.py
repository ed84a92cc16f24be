"""The few promises that are worth seconds in every check: real files, a real daemon, a real kill."""

from __future__ import annotations

from tests.support.installation import Installation, job, until


def test_an_edit_is_live_by_itself_and_a_broken_file_disturbs_nothing_else(place: Installation) -> None:
    place.write("a.yaml", job("a", "true"))
    place.serve()
    place.write("b.yaml", job("b", "true"))
    until(lambda: place.rows("SELECT 1 FROM targets WHERE job='b'"))
    place.write("a.yaml", "kind: [")
    place.write("c.yaml", job("c", "true"))
    until(lambda: place.rows("SELECT 1 FROM targets WHERE job='c'"))
    assert place.rows("SELECT gone FROM targets WHERE job='a'") == [(0,)]
    assert [row for row in place.rows("SELECT path FROM files WHERE rejected != ''")] == [("jobs.d/a.yaml",)]


def test_a_killed_daemon_takes_no_run_with_it_and_its_successor_knows_the_true_end(place: Installation) -> None:
    place.write("slow.yaml", job("slow", f"echo $$ >> {place.ledger}; sleep 2; echo done; exit 7"))
    daemon = place.serve()
    place.run("run", "slow")
    place.wait_runs("slow", "running")
    until(place.ledger.exists)
    daemon.kill()
    assert not place.rows("SELECT 1 FROM runs WHERE state='failure'")
    place.serve()
    (run,) = place.wait_runs("slow", "failure")
    assert (run["exit_code"], run["reason"], run["attempts"]) == (7, "ExitCode", 1)
    assert "done" in place.run("logs", "slow").stdout
    assert len(place.ledger.read_text().split()) == 1


def test_once_runs_what_is_due_and_gives_the_outcome(place: Installation) -> None:
    place.write("good.yaml", job("good", "exit 0", planning={"mode": "automatic"}, automatic={"every": "1h"}))
    assert place.run("serve", "--once").returncode == 0
    place.write("bad.yaml", job("bad", "exit 1", planning={"mode": "automatic"}, automatic={"every": "1h"}))
    assert place.run("serve", "--once").returncode == 10
    assert [run["state"] for run in place.runs("good")] == ["success"]
    warned = job("warned", "echo ::error::no", planning={"mode": "automatic"}, automatic={"every": "1h"})
    place.write("warned.yaml", warned)
    assert place.run("serve", "--once").returncode == 11
    assert place.runs("warned")[0]["state"] == "warning"


def test_apply_twice_leaves_an_empty_plan_with_and_without_a_daemon(place: Installation) -> None:
    place.write("a.yaml", job("a", "true"))
    assert place.run("plan", "--detailed-exitcode").returncode == 2
    assert place.run("apply").returncode == 0
    assert place.run("plan", "--detailed-exitcode").returncode == 0
    place.serve()
    place.write("b.yaml", job("b", "true"))
    assert place.run("apply").returncode == 0
    assert place.run("plan", "--detailed-exitcode").returncode == 0
    assert len(place.rows("SELECT 1 FROM targets")) == 2

"""Unread logs: per administrator and target, while a run goes on and after it, over restarts."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation, document, job, until

pytestmark = pytest.mark.full


def unread(place: Installation, who: str, target: str = "a") -> bool:
    items = place.json("--as", who, "get", "jobs")["items"]
    return next(bool(item["unread"]) for item in items if item["target"] == target)


def mark(place: Installation, who: str, target: str = "a") -> None:
    done = place.run("--as", who, "logs", target, "--mark-read")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def people(place: Installation) -> Installation:
    place.write("alice.yaml", document("Administrator", "alice", role="system"))
    place.write("bob.yaml", document("Administrator", "bob", role="system"))
    return place


def test_each_administrator_has_read_what_he_has_opened_and_a_restart_forgets_nothing(people: Installation):
    place = people
    place.write("a.yaml", job("a", "echo something"))
    daemon = place.serve()
    assert (unread(place, "alice"), unread(place, "bob")) == (False, False)
    assert place.run("run", "a", "--wait").returncode == 0
    assert (unread(place, "alice"), unread(place, "bob")) == (True, True)
    place.run("--as", "alice", "logs", "a")
    assert unread(place, "alice"), "looking is not reading: scripts look too"
    mark(place, "alice")
    assert (unread(place, "alice"), unread(place, "bob")) == (False, True)
    assert "unread" in place.run("--as", "bob", "get", "jobs").stdout
    assert "unread" not in place.run("--as", "alice", "get", "jobs").stdout
    assert [
        item["target"] for item in place.json("--as", "bob", "get", "jobs", "--status", "unread")["items"]
    ] == ["a"]
    daemon.kill()
    place.serve()
    assert (unread(place, "alice"), unread(place, "bob")) == (False, True)
    assert place.run("run", "a", "--wait").returncode == 0
    assert unread(place, "alice")


def test_while_it_runs_new_lines_make_it_unread_again(people: Installation):
    place = people
    wait = "while [ ! -e {} ]; do sleep 0.1; done"
    steps = f"echo one; {wait.format(place.root / 'go')}; echo two; {wait.format(place.root / 'end')}"
    place.write("a.yaml", job("a", steps))
    daemon = place.serve()
    place.run("run", "a")
    place.wait_runs("a", "running")
    until(lambda: unread(place, "alice"), "the first line, during the run")
    mark(place, "alice")
    assert not unread(place, "alice")
    daemon.kill()
    (place.root / "go").touch()
    place.serve()
    until(lambda: unread(place, "alice"), "the second line, written while no daemon was there")
    mark(place, "alice")
    (place.root / "end").touch()
    place.wait_runs("a", "success")
    assert not unread(place, "alice"), "its end adds no line"


def test_a_run_that_says_nothing_is_not_unread_and_removed_logs_are_neither(people: Installation):
    place = people
    place.write("a.yaml", job("a", "true"))
    place.write("b.yaml", job("b", "echo x"))
    place.serve()
    assert place.run("run", "a", "b", "--wait").returncode == 0
    assert not unread(place, "alice")
    assert unread(place, "alice", "b")
    assert place.run("history", "b", "--delete", place.runs("b")[0]["run"]).returncode == 0
    assert not unread(place, "alice", "b")
    assert place.run("run", "b", "--wait").returncode == 0
    assert unread(place, "alice", "b")


def test_without_a_daemon_marks_are_kept_too_and_others_may_not_set_them_where_they_see_nothing(
    people: Installation,
):
    place = people
    place.write("carol.yaml", document("Administrator", "carol", role="domain", domains=["acme.example"]))
    place.write("d.yaml", document("Domain", "acme.example"))
    place.write("a.yaml", job("a", "echo x"))
    daemon = place.serve()
    assert place.run("run", "a", "--wait").returncode == 0
    daemon.terminate()
    mark(place, "alice")
    assert (unread(place, "alice"), unread(place, "bob")) == (False, True)
    assert place.run("--as", "carol", "logs", "a", "--mark-read").returncode == 6

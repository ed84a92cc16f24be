"""`history --blame`: the first failing run beside the commit that changed the job before it."""

from __future__ import annotations

import subprocess

import pytest

from reconciler.cli.blaming import first_failure
from tests.support.installation import Installation, document, job, until

pytestmark = pytest.mark.full


def git(place: Installation, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=place.root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(place: Installation, message: str) -> str:
    git(place, "add", "jobs.d")
    git(place, "commit", "-q", "-m", message)
    return git(place, "rev-parse", "HEAD")


def applied(place: Installation, revision: str) -> None:
    done = place.run("status", "--wait-revision", revision)
    assert done.returncode in (0, 4), done.stderr


@pytest.fixture
def repository(place: Installation) -> Installation:
    (place.root / ".gitignore").write_text("state/\nsecrets/\nserve-*\nledger\n")
    git(place, "init", "-q", "-b", "main")
    git(place, "add", ".gitignore")
    git(place, "commit", "-q", "-m", "begin")
    return place


def runs(*states: str) -> list[dict[str, str]]:
    """Newest first, as the view lists them."""
    return [{"state": state, "run": str(number)} for number, state in enumerate(states)]


def test_the_first_of_the_latest_row_of_failures_is_found_with_the_good_run_before_it():
    assert first_failure(runs("failure", "failure", "success", "failure"))[0] == {
        "state": "failure",
        "run": "1",
    }
    assert first_failure(runs("failure", "failure", "success", "failure"))[1] == {
        "state": "success",
        "run": "2",
    }
    assert first_failure(runs("success", "interrupted", "warning"))[0] == {"state": "interrupted", "run": "1"}
    assert first_failure(runs("failure")) == ({"state": "failure", "run": "0"}, None)
    assert first_failure(runs("success")) == (None, None)


@pytest.mark.needs("git")
def test_the_commit_that_broke_a_job_is_named_among_others_and_after_the_file_was_moved(
    repository: Installation,
):
    place = repository
    place.write("all/both.yaml", job("a", "true") + "---\n" + job("b", "true"))
    good = commit(place, "both work")
    place.serve()
    applied(place, good)
    assert place.run("run", "a", "--wait").returncode == 0
    place.write("all/both.yaml", job("a", "true") + "---\n" + job("b", "echo another"))
    commit(place, "b says something")
    place.write("all/both.yaml", job("a", "exit 4") + "---\n" + job("b", "echo another"))
    culprit = commit(place, "a shall be quicker")
    place.write("c.yaml", job("c", "true"))
    git(place, "mv", "jobs.d/all", "jobs.d/moved")
    last = commit(place, "move things")
    applied(place, last)
    assert place.run("run", "a", "--wait").returncode == 10
    assert place.run("run", "a", "--wait").returncode == 10
    answer = place.json("history", "a", "--blame")
    assert (answer["failing"], answer["definitionChanged"]) == (True, True)
    assert answer["firstFailure"]["run"] == place.runs("a")[1]["run"]
    assert answer["lastGood"]["run"] == place.runs("a")[0]["run"]
    assert [each["commit"] for each in answer["commits"]] == [culprit]
    said = place.run("history", "a", "--blame").stdout
    assert f"{culprit[:12]} " in said
    assert "Test: a shall be quicker" in said
    assert "Job a in jobs.d/all/both.yaml:1" in said


@pytest.mark.needs("git")
def test_where_the_definition_is_not_to_blame_that_is_said(repository: Installation):
    place = repository
    place.write("a.yaml", job("a", f"test ! -e {place.root}/broken"))
    only = commit(place, "the only one")
    place.serve()
    applied(place, only)
    assert "no run of it has failed" in place.run("history", "a", "--blame").stdout
    assert place.run("run", "a", "--wait").returncode == 0
    (place.root / "broken").touch()
    assert place.run("run", "a", "--wait").returncode == 10
    answer = place.json("history", "a", "--blame")
    assert answer["definitionChanged"] is False
    assert "the definition was the same" in answer["note"]
    assert [each["commit"] for each in answer["commits"]] == [only]


@pytest.mark.needs("git")
def test_a_domains_environment_is_part_of_what_a_target_is_made_of(repository: Installation):
    place = repository
    place.write("d.yaml", document("Domain", "acme.example"))
    place.write("a.yaml", job("a", '[ -z "${WHERE:-}" ]', scope="domain"))
    good = commit(place, "begin")
    place.serve()
    applied(place, good)
    assert place.run("run", "a", "-A", "--wait").returncode == 0
    place.write("d.yaml", document("Domain", "acme.example", environment={"WHERE": "there"}))
    culprit = commit(place, "say where")
    applied(place, culprit)
    assert place.run("run", "a", "-A", "--wait").returncode == 10
    answer = place.json("history", "a", "-n", "acme.example", "--blame")
    assert [(each["commit"], each["changed"]) for each in answer["commits"]] == [
        (culprit, ["Domain acme.example in jobs.d/d.yaml:1"])
    ]


def test_without_git_the_runs_are_shown_and_why_there_is_no_commit(place: Installation):
    place.write("a.yaml", job("a", "exit 1"))
    place.serve()
    assert place.run("run", "a", "--wait").returncode == 10
    until(lambda: place.runs("a"))
    said = place.run("history", "a", "--blame")
    assert said.returncode == 0
    assert "no commit of this repository" in said.stdout or "git cannot say" in said.stdout
    assert "First failure  a/" in said.stdout

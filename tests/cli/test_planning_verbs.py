"""schedule, pause and resume: files are edited as a careful person would, and committed where that is asked for."""

from __future__ import annotations

import subprocess
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler.cli.exits import Exit

from .conftest import Cli

SYSTEM = """\
apiVersion: reconciler/v1
kind: Domain
metadata: {name: acme.example}
spec: {}
---
apiVersion: reconciler/v1
kind: Domain
metadata: {name: globex.example}
spec: {}
---
apiVersion: reconciler/v1
kind: Administrator
metadata: {name: alice}
spec: {role: domain, domains: [acme.example], identities: ["unix:alice"]}
---
apiVersion: reconciler/v1
kind: Job
metadata: {name: import}
spec: {scope: domain, command: ["true"]}
---
apiVersion: reconciler/v1
kind: Job
metadata: {name: backup}
spec: {command: ["true"], automatic: {every: 4h}}
"""
PLANNING = """\
# acme likes the nights.
apiVersion: reconciler/v1
kind: Planning
metadata: {name: import}
spec:
  mode: scheduled   # since March
  schedule:
    # not at noon
    cron: '0 2 * * *'   # two o'clock
    timeZone: Europe/Paris
  # who hears of it
  report:
    recipients:
    - it@acme.example
---
# another one
apiVersion: reconciler/v1
kind: Calendar
metadata: {name:   closures}
spec: {dates: ["2026-12-25"]}
"""
AREA = "domains/acme.example/import.yaml"


@pytest.fixture
def jobs(repository: Path) -> Path:
    (repository / "jobs.d" / "all.yaml").write_text(SYSTEM)
    return repository / "jobs.d"


@pytest.fixture
def planned(jobs: Path) -> Path:
    path = jobs / AREA
    path.parent.mkdir(parents=True)
    path.write_text(PLANNING)
    return path


def spec_of(path: Path) -> Any:
    return next(iter(YAML(typ="safe").load_all(path.read_text())))["spec"]


def changed(path: Path) -> list[str]:
    """The lines that differ from the original."""
    lines = unified_diff(PLANNING.splitlines(), path.read_text().splitlines(), n=0, lineterm="")
    return [line for line in lines if line[:3] not in ("---", "+++") and line[:2] != "@@"]


@pytest.mark.parametrize(
    ("words", "difference"),
    [
        (
            ["--cron", "30 3 * * *"],
            ["-    cron: '0 2 * * *'   # two o'clock", "+    cron: '30 3 * * *'   # two o'clock"],
        ),
        (
            ["--weekly", "mon-tue@02:00,14:30"],
            [
                "-    cron: '0 2 * * *'   # two o'clock",
                '+    weekly: {days: [mon, tue], times: ["02:00", "14:30"]}   # two o\'clock',
            ],
        ),
        (["--time-zone", "UTC"], ["-    timeZone: Europe/Paris", "+    timeZone: UTC"]),
        (
            ["--disabled"],
            ["-  mode: scheduled   # since March", "+  mode: disabled   # since March"],
        ),
    ],
)
def test_a_change_of_one_value_is_a_change_of_one_line(
    cli: Cli, planned: Path, words: list[str], difference: list[str]
) -> None:
    said = cli("schedule", "import@acme.example", *words)
    assert (said.code, changed(planned)) == (Exit.OK, difference), said.err


def test_a_pause_is_added_changed_and_taken_away_as_one_line(cli: Cli, planned: Path) -> None:
    target = "import@acme.example"
    assert cli("pause", target, "--until", "2027-01-04T08:00", "--reason", "year's end").code == Exit.OK
    assert changed(planned) == ['+  pause: {until: "2027-01-04T08:00", reason: "year\'s end"}']
    assert cli("pause", target, "--until", "2027-01-05").code == Exit.OK
    assert changed(planned) == ['+  pause: {until: "2027-01-05"}']
    assert cli("resume", target).code == Exit.OK
    assert planned.read_text() == PLANNING
    assert "not paused" in cli("resume", target).err


def test_without_a_planning_one_is_made_where_this_person_may_write(cli: Cli, jobs: Path) -> None:
    assert cli("schedule", "import@globex.example", "--every", "15m").code == Exit.OK
    spec = {"job": "import", "domains": {"names": ["globex.example"]}, "mode": "scheduled"}
    made = spec_of(jobs / "planning/import-globex.example.yaml")
    assert made == {**spec, "schedule": {"every": "15m"}}
    assert cli("--as", "alice", "schedule", "import", "--cron", "@daily").code == Exit.OK
    own = spec_of(jobs / "domains/acme.example/import.yaml")
    assert own == {"mode": "scheduled", "schedule": {"cron": "@daily"}}
    assert cli("pause", "backup", "--for", "2h").code == Exit.OK
    assert "until" in spec_of(jobs / "planning/backup.yaml")["pause"]
    assert cli("schedule", "backup", "--automatic").code == Exit.OK
    assert cli("validate").code == Exit.OK


def test_a_planning_of_many_domains_is_left_alone_when_one_is_meant(cli: Cli, jobs: Path) -> None:
    assert cli("schedule", "import", "-A", "--cron", "0 4 * * *").code == Exit.OK
    of_all = (jobs / "planning/import.yaml").read_text()
    assert cli("schedule", "import@acme.example", "--disabled").code == Exit.OK
    assert (jobs / "planning/import.yaml").read_text() == of_all
    assert spec_of(jobs / AREA) == {"mode": "disabled"}
    assert cli("pause", "import", "-A").code == Exit.OK
    said = cli("resume", "import@globex.example")
    assert (said.code, "jobs.d/planning/import.yaml" in said.err) == (Exit.USAGE, True)
    assert cli("resume", "import", "-A").code == Exit.OK
    assert (jobs / "planning/import.yaml").read_text() == of_all


def test_the_pause_of_the_job_itself_is_resumed_where_it_is_written(cli: Cli, jobs: Path) -> None:
    path = jobs / "own.yaml"
    planning = "planning: {mode: disabled, pause: {reason: x}}"
    text = f"apiVersion: reconciler/v1\nkind: Job\nmetadata: {{name: own}}\nspec:\n  command: [id]\n  {planning}\n"
    path.write_text(text)
    assert cli("resume", "own").code == Exit.OK
    assert path.read_text() == text.replace(", pause: {reason: x}", "")


def test_a_change_that_would_break_something_is_not_written(cli: Cli, planned: Path) -> None:
    for words in (
        ["--cron", "61 * * * *"],
        ["--automatic"],
        ["--time-zone", "Mars/Olympus"],
        ["--every", "7m"],
    ):
        said = cli("schedule", "import@acme.example", *words)
        assert said.code == Exit.INVALID, said
        assert "error[E" in said.err
    assert planned.read_text() == PLANNING


def test_what_is_not_said_plainly_is_a_usage_error(cli: Cli, planned: Path) -> None:
    assert "2 targets" in cli("schedule", "import", "--disabled").err
    for words in ([], ["--cron", "@daily", "--disabled"], ["--weekly", "mon"], ["--weekly", "foo@02:00"]):
        assert cli("schedule", "import@acme.example", *words).code == Exit.USAGE
    assert cli("pause", "backup", "--for", "2h", "--until", "2027-01-01").code == Exit.USAGE
    assert cli("pause", "backup", "--local").code == Exit.USAGE
    assert planned.read_text() == PLANNING


def test_a_domain_administrator_plans_own_targets_and_knows_of_no_others(cli: Cli, planned: Path) -> None:
    for name in ("backup", "import@globex.example"):
        for verb in (["schedule", "--disabled"], ["pause"], ["resume"]):
            said = cli("--as", "alice", verb[0], name, *verb[1:])
            assert (said.code, "globex" in said.err.replace(name, "")) == (Exit.NOT_FOUND, False)
    assert cli("--as", "alice", "pause", "import").code == Exit.OK
    assert changed(planned) == ["+  pause: {}"]


# Commits.


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def cloned(planned: Path, repository: Path, tmp_path: Path) -> Path:
    """The repository with a remote, and another clone of it."""
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote")
    git(repository, "init", "-q", "-b", "main")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "first")
    git(repository, "remote", "add", "origin", str(tmp_path / "remote"))
    git(repository, "push", "-q", "-u", "origin", "main")
    git(tmp_path, "clone", "-q", "remote", "other")
    return tmp_path / "other"


@pytest.mark.needs("git")
def test_a_change_is_committed_alone_and_pushed(cli: Cli, repository: Path, cloned: Path) -> None:
    (repository / "draft").write_text("x")
    git(repository, "add", "draft")
    said = cli("pause", "import@acme.example", "--reason", "OPS-7", "--commit")
    assert said.code == Exit.OK, said.err
    git(cloned, "pull", "-q")
    assert git(cloned, "log", "-1", "--format=%s") == "pause: import@acme.example (OPS-7)"
    assert git(cloned, "show", "--format=", "--name-only") == f"jobs.d/{AREA}"
    assert git(repository, "status", "--porcelain") == "A  draft"


@pytest.mark.needs("git")
def test_who_pushed_first_comes_first_and_nothing_is_lost(cli: Cli, repository: Path, cloned: Path) -> None:
    (cloned / "jobs.d" / "other.yaml").write_text("# theirs\n")
    git(cloned, "add", ".")
    git(cloned, "commit", "-qm", "theirs")
    git(cloned, "push", "-q")
    (repository / "jobs.d" / "all.yaml").write_text(SYSTEM + "# being edited\n")
    said = cli("schedule", "import@acme.example", "--cron", "@hourly", "--commit")
    assert said.code == Exit.OK, said.err
    assert (repository / "jobs.d" / "all.yaml").read_text().endswith("# being edited\n")
    git(cloned, "pull", "-q")
    subjects = ["schedule: import@acme.example @hourly", "theirs", "first"]
    assert git(cloned, "log", "--format=%s").splitlines() == subjects


@pytest.mark.needs("git")
def test_a_conflict_is_left_to_people_and_the_repository_is_whole(
    cli: Cli, repository: Path, cloned: Path
) -> None:
    theirs = cloned / "jobs.d" / AREA
    theirs.write_text(PLANNING.replace("0 2 *", "0 9 *"))
    git(cloned, "commit", "-qam", "theirs")
    git(cloned, "push", "-q")
    said = cli("schedule", "import@acme.example", "--cron", "@hourly", "--commit")
    assert (said.code, "conflict" in said.err) == (Exit.FAILED, True)
    assert git(repository, "log", "-1", "--format=%s") == "schedule: import@acme.example @hourly"
    assert git(repository, "status", "--porcelain") == ""
    assert not (repository / ".git" / "rebase-merge").exists()


@pytest.mark.needs("git")
def test_a_remote_that_is_away_is_said_and_the_commit_stays(cli: Cli, repository: Path, cloned: Path) -> None:
    git(repository, "remote", "set-url", "origin", str(cloned / "nosuch"))
    said = cli("pause", "backup", "--commit")
    assert (said.code, "could not push" in said.err) == (Exit.FAILED, True)
    assert git(repository, "log", "-1", "--format=%s") == "pause: backup"


def test_where_commits_are_read_one_is_asked_for(
    cli: Cli, planned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILE_REF", "refs/heads/main")
    assert "--commit" in cli("pause", "backup").err

"""The verbs that write: files in the repository, and what is asked of the state."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler.cli import requesting
from reconciler.cli.exits import Exit
from reconciler.cli.reading import user_name
from reconciler.core.access import Viewer
from reconciler.daemon.commands import perform
from reconciler.daemon.options import Options
from reconciler.daemon.reconciler import Reconciler
from tests.support import database
from tests.support.installation import document, job

from .conftest import Cli


def parse(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def the_request(folder: Path) -> Any:
    (path,) = folder.glob("*.yaml")
    return parse(path)


def test_init_makes_a_repository_that_validates_and_can_be_planned(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("init", "new").code == Exit.OK
    monkeypatch.chdir(tmp_path / "new")
    assert cli("validate").code == Exit.OK
    assert "hello" in cli("plan").out
    assert cli("plan", "--detailed-exitcode").code == Exit.CHANGES
    modeline = (tmp_path / "new/jobs.d/hello.yaml").read_text().splitlines()[0]
    schema = tmp_path / "new/jobs.d" / modeline.partition("$schema=")[2]
    assert schema.resolve().is_file()
    assert ".reconcile/" in (tmp_path / "new/.gitignore").read_text()


def test_init_touches_nothing_that_is_there(cli: Cli, repository: Path) -> None:
    (repository / "jobs.d" / "mine.yaml").write_text("# mine\n")
    said = cli("init")
    assert said.code == Exit.FAILED
    assert os.listdir(repository) == ["jobs.d"]


def test_validate_names_the_place_of_each_error(cli: Cli, repository: Path) -> None:
    path = repository / "jobs.d" / "bad.yaml"
    path.write_text("apiVersion: reconciler/v1\nkind: Job\nmetadata: {name: x}\nspec: {comand: [echo]}\n")
    for arguments in (["validate"], ["validate", str(path)], ["validate", str(repository)]):
        said = cli(*arguments)
        assert said.code == Exit.INVALID
        assert "jobs.d/bad.yaml:4" in said.out
        assert "command" in said.out
    assert cli("validate", "-o", "github").out.startswith("::error ")


@pytest.mark.usefixtures("state")
def test_run_writes_a_request_that_validates(cli: Cli, repository: Path) -> None:
    said = cli("run", "import", "-n", "acme.example", "--param", "full=yes", "--reason", "OPS-42")
    assert said.code == Exit.OK
    request = the_request(repository / "jobs.d" / "run")
    assert request["metadata"]["name"] == said.out.strip()
    assert request["spec"]["targets"] == ["import@acme.example"]
    assert request["spec"]["parameters"] == {"full": True}
    assert request["spec"]["reason"] == "OPS-42"
    assert "reconcile serve" in said.err


@pytest.mark.usefixtures("state")
def test_a_domain_job_must_say_which_domain(cli: Cli, repository: Path) -> None:
    said = cli("run", "import")
    assert said.code == Exit.USAGE
    assert "2 targets" in said.err
    assert not (repository / "jobs.d" / "run").exists()
    assert cli("run", "import", "-A").code == Exit.OK
    assert the_request(repository / "jobs.d" / "run")["spec"]["targets"] == ["import@*"]


@pytest.mark.usefixtures("state")
def test_parameters_are_checked_before_anything_is_written(cli: Cli, repository: Path) -> None:
    for parameter in ("ful=true", "full=perhaps"):
        said = cli("run", "import@acme.example", "--param", parameter)
        assert said.code == Exit.USAGE
        assert "full" in said.err
    assert cli("run", "import@acme.example", "--param", "full").code == Exit.USAGE
    assert not (repository / "jobs.d" / "run").exists()


@pytest.mark.usefixtures("state")
def test_a_domain_administrator_asks_in_the_folder_of_the_domain(cli: Cli, repository: Path) -> None:
    assert cli("--as", "alice", "run", "import", "-A").code == Exit.OK
    request = the_request(repository / "jobs.d/domains/acme.example/run")
    assert request["spec"]["targets"] == ["import@acme.example"]
    assert cli("--as", "alice", "run", "backup").code == Exit.NOT_FOUND
    assert not (repository / "jobs.d" / "run").exists()


@pytest.mark.usefixtures("state")
def test_requests_that_expired_long_ago_are_deleted_and_nothing_else(cli: Cli, repository: Path) -> None:
    cli("run", "backup")
    folder = repository / "jobs.d" / "run"
    (path,) = folder.glob("*.yaml")
    stale = path.read_text().replace(str(parse(path)["spec"]["requestedAt"])[:4], "2020")
    (folder / "20200101T000000Z-old.yaml").write_text(stale)
    (folder / "20200101T000000Z-kept.yaml").write_text(stale + "---\nnot: ours\n")
    (folder / "notes.yaml").write_text(stale)
    assert cli("run", "import@acme.example").code == Exit.OK
    assert sorted(name for name in os.listdir(folder) if "2020" in name or "notes" in name) == [
        *("20200101T000000Z-kept.yaml", "notes.yaml")
    ]


@pytest.mark.needs("git")
@pytest.mark.usefixtures("state")
def test_a_request_can_be_committed_alone(cli: Cli, repository: Path) -> None:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=repository, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    (repository / "other").write_text("x")
    git("add", "other")
    assert cli("run", "backup", "--commit", "--reason", "OPS-1").code == Exit.OK
    assert git("log", "--format=%s").strip() == "run: backup (OPS-1)"
    assert [line for line in git("show", "--format=", "--name-only").split() if "run/" not in line] == []


@pytest.mark.usefixtures("state")
def test_cancelling_what_does_not_run_says_so(cli: Cli) -> None:
    said = cli("cancel", "backup")
    assert (said.code, "no run of `backup`" in said.err) == (Exit.NOT_FOUND, True)


def test_apply_then_plan_is_empty_and_a_broken_file_is_kept_at_its_last_good(
    cli: Cli, repository: Path
) -> None:
    path = repository / "jobs.d" / "a.yaml"
    good = "apiVersion: reconciler/v1\nkind: Job\nmetadata: {name: a}\nspec: {command: [echo]}\n"
    path.write_text(good)
    assert cli("apply", "--dry-run").code == Exit.OK
    assert cli("get", "jobs").code == Exit.NO_DAEMON
    assert cli("apply").code == Exit.OK
    assert cli("get", "jobs", "-o", "name").out == "a\n"
    assert cli("plan", "--detailed-exitcode").code == Exit.OK
    path.write_text(good.replace("command", "comand"))
    said = cli("apply")
    assert said.code == Exit.KEPT_LAST_GOOD
    assert "jobs.d/a.yaml" in said.err
    assert cli("get", "jobs", "-o", "name").out == "a\n"
    assert "E1" in cli("status").out


def test_a_request_is_run_waited_for_and_read(cli: Cli, repository: Path) -> None:
    (repository / "jobs.d" / "a.yaml").write_text(
        "apiVersion: reconciler/v1\nkind: Job\nmetadata: {name: a}\nspec: {script: 'echo working; exit 3'}\n"
    )
    daemon = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "serve", "--listen", "127.0.0.1:0"],
        cwd=repository, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert daemon.stderr is not None
    try:
        for line in daemon.stderr:
            if "ready" in line:
                break
        said = cli("run", "a", "--wait", "--timeout", "30s")
        assert said.code == Exit.RUN_FAILED
        assert "failure" in said.err
        assert cli("logs", "a").out.endswith("working\n")
        assert cli("logs", "a", "--mark-read").code == Exit.OK
        assert cli("get", "jobs", "--status", "unread", "-o", "name").out == ""
        assert "running" in cli("status").out
    finally:
        daemon.terminate()
        daemon.stderr.read()
        daemon.stderr.close()
        assert daemon.wait(30) == 0


@pytest.mark.parametrize("name", ["", "alice"])
def test_who_owns_the_state_has_read_what_they_marked(cli: Cli, repository: Path, name: str) -> None:
    user = user_name()
    if name:
        alice = document(
            "Administrator", name, role="domain", domains=["a.example"], identities=[f"unix:{user}"]
        )
        (repository / "jobs.d" / "people.yaml").write_text(f"{document('Domain', 'a.example')}\n---\n{alice}")
    (repository / "jobs.d" / "a.yaml").write_text(job("a", "true"))
    assert cli("apply").code == Exit.OK
    state = repository / ".reconcile"
    with closing(sqlite3.connect(state / "state.db", isolation_level=None)) as database:
        database.execute("UPDATE targets SET log_run = 7, log_lines = 3")
    assert cli("get", "jobs", "--status", "unread", "-o", "name").out == "a\n"
    perform(state, "mark_read", {"target": "a"}, directory=repository)
    assert cli("get", "jobs", "--status", "unread", "-o", "name").out == ""
    reconciler = Reconciler(Options(repository, state, state / "secrets"), starts=False)
    try:
        who = reconciler.viewers.of_user(os.geteuid())
        assert who == Viewer(name or user, "system"), "a daemon marks under the same name"
        if name:
            assert reconciler.viewers.impersonate(who, name).role == "domain"
    finally:
        reconciler.close()


def test_the_name_of_a_request_fits_whatever_the_job_is_called(tmp_path: Path) -> None:
    wanted = requesting.Wanted("", ("x",), ("a" * 63,), 1)
    _, name = requesting.write(str(tmp_path), wanted, database.NOON, {})
    assert len(name) <= 63


@pytest.mark.needs("git")
def test_two_revisions_are_compared_without_a_state(cli: Cli, repository: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=repository, check=True, capture_output=True)

    text = "apiVersion: reconciler/v1\nkind: Job\nmetadata: {{name: {}}}\nspec: {{command: [echo]}}\n"
    git("init", "-q")
    for name in ("first", "second"):
        (repository / "jobs.d" / f"{name}.yaml").write_text(text.format(name))
        git("add", ".")
        git("commit", "-qm", name)
    said = cli("plan", "--from", "HEAD~1", "--to", "HEAD", "-o", "markdown")
    assert said.code == Exit.OK
    assert "second" in said.out
    assert "first" not in said.out
    assert cli("plan", "--from", "nosuch").code == Exit.NOT_FOUND
    assert not (repository / ".reconcile").exists()


def test_forecast_shows_slots_of_an_expression_and_of_the_files(cli: Cli, repository: Path) -> None:
    (repository / "jobs.d" / "a.yaml").write_text(
        "apiVersion: reconciler/v1\nkind: Job\nmetadata: {name: a}\n"
        "spec: {command: [echo], planning: {mode: scheduled, schedule: {cron: '0 2 * * *'}}}\n"
    )
    lines = cli("forecast", "a", "--from", "2026-11-22T12:00:00Z", "--count", "2").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "2026-11-23T02:00:00+00:00",
        "2026-11-24T02:00:00+00:00",
    ]
    said = cli(
        "forecast",
        "--cron",
        "0 12 * * *",
        "--tz",
        "Europe/Paris",
        "--from",
        "2026-06-01",
        "--count",
        "1",
        "-o",
        "json",
    )
    assert '"at": "2026-06-01T10:00:00Z"' in said.out
    assert cli("forecast", "--cron", "61 * * * *").code == Exit.USAGE
    assert cli("forecast", "b").code == Exit.NOT_FOUND
    assert cli("forecast", "-o", "ics").out.startswith("BEGIN:VCALENDAR")
    assert "mon  " in cli("forecast", "--heatmap").out


def test_import_writes_documents_and_says_what_was_left_out(cli: Cli, repository: Path) -> None:
    (repository / "tab").write_text("30 2 * * * backup --all\n")
    said = cli("import", "crontab", "tab")
    assert said.code == Exit.OK
    assert "kind: Job" in said.out
    assert cli("import", "crontabs", "tab").code == Exit.USAGE


def test_nothing_is_written_through_a_connection_of_a_reader(cli: Cli, state: sqlite3.Connection) -> None:
    before = state.execute("PRAGMA data_version").fetchone()
    for arguments in (["get", "jobs"], ["describe", "backup"], ["status"], ["events"]):
        assert cli(*arguments).code == Exit.OK
    assert state.execute("PRAGMA data_version").fetchone() == before


@pytest.mark.parametrize("verb", ["serve", "plan", "apply"])
@pytest.mark.parametrize("words", [["--remote", "origin"], ["--ref", "main"], ["--allowed-signers", "/x"]])
def test_options_of_the_source_that_do_not_go_together_are_a_usage_error(tmp_path, verb, words):
    (tmp_path / "jobs.d").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "-C", str(tmp_path), verb, *words], capture_output=True, text=True
    )
    assert done.returncode == 64
    assert "--ref" in done.stderr

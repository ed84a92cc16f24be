"""The frame: verbs, options at either place, exit codes, quick starts, first errors."""

from __future__ import annotations

import ast
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli.exits import Exit
from reconciler.cli.frame import VERBS

from .conftest import Cli

HEAVY = ("pydantic", "ruamel", "croniter", "rich", "asyncio", "jsonschema", "prometheus_client", "watchfiles")
RECONCILE = [sys.executable, "-c", "import sys; from reconciler.cli import main; sys.exit(main())"]


def verbs() -> list[str]:
    return sorted(path.stem for path in Path(VERBS).glob("[a-z]*.py"))


def test_help_names_every_verb_with_the_first_line_of_its_file(cli: Cli) -> None:
    said = cli("--help")
    assert said.code == Exit.OK
    for verb in verbs():
        source = Path(VERBS, f"{verb}.py").read_text()
        first = (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]
        assert f"  {verb}" in said.out
        assert " ".join(first.split()[:4]) in said.out


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_help(cli: Cli, verb: str) -> None:
    said = cli(verb, "--help")
    assert said.code == Exit.OK
    assert said.out.startswith(f"Usage: reconcile {verb} ")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["get", "jobs"], ["get", "runs", "-o", "json"], ["history", "backup"], ["logs", "backup"]],
)
@pytest.mark.usefixtures("state")
def test_reading_imports_nothing_heavy(repository: Path, arguments: list[str]) -> None:
    code = (
        "import sys; from reconciler.cli.frame import run; run(sys.argv[1:]); "
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.usefixtures("state")
def test_global_options_stand_before_or_after_the_verb_or_in_the_environment(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = cli("get", "jobs", "-n", "acme.example", "-o", "name").out
    assert after == "import@acme.example\n"
    assert cli("-n", "acme.example", "-o", "name", "get", "jobs").out == after
    monkeypatch.setenv("RECONCILE_DOMAIN", "acme.example")
    assert cli("get", "jobs", "-o", "name").out == after
    assert cli("get", "jobs", "-o", "name", "-n", "globex.example").out == "import@globex.example\n"


@pytest.mark.usefixtures("state")
def test_the_repository_is_found_from_within_and_by_option(
    cli: Cli, repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = cli("get", "jobs").out
    monkeypatch.chdir(repository / "jobs.d")
    assert cli("get", "jobs").out.splitlines()[0] == here.splitlines()[0]
    monkeypatch.chdir(tmp_path)
    for folder in (repository, repository / "jobs.d"):
        assert cli("-C", str(folder), "get", "jobs", "-o", "name").out.startswith("backup\n")
    monkeypatch.chdir("/")
    assert cli("--state", str(repository / ".reconcile"), "get", "jobs", "-o", "name").out.startswith(
        "backup\n"
    )


def test_a_newcomer_without_a_repository_is_told_to_make_one(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli("get", "jobs")
    assert said.code == Exit.NOT_FOUND
    assert "reconcile init" in said.err


@pytest.mark.usefixtures("repository")
def test_a_newcomer_with_nothing_applied_is_told_what_to_do(cli: Cli) -> None:
    said = cli("get", "jobs")
    assert said.code == Exit.NO_DAEMON
    assert "reconcile apply" in said.err
    said = cli("validate")
    assert said.code == Exit.OK
    assert "reconcile init" in said.err


@pytest.mark.usefixtures("state")
def test_waiting_without_a_daemon_is_refused_and_writes_nothing(cli: Cli, repository: Path) -> None:
    said = cli("run", "backup", "--wait")
    assert said.code == Exit.NO_DAEMON
    assert "reconcile serve" in said.err
    assert not (repository / "jobs.d" / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["gte"], Exit.USAGE, "did you mean `get`?"),
        (["get", "jbos"], Exit.USAGE, "did you mean `jobs`?"),
        (["get", "jobs", "bakup"], Exit.NOT_FOUND, "did you mean `backup`?"),
        (["get", "jobs", "-n", "acme.exampel"], Exit.NOT_FOUND, "did you mean `acme.example`?"),
        (["get", "jobs", "--status", "broken"], Exit.USAGE, "there are"),
        (["get", "jobs", "-o", "xml"], Exit.USAGE, "xml"),
        (["logs", "bakup"], Exit.NOT_FOUND, "did you mean `backup`?"),
        (["describe", "run/backup/2026"], Exit.NOT_FOUND, "backup"),
        (["logs", "import"], Exit.USAGE, "-n DOMAIN"),
        (["--as", "alcie", "get", "jobs"], Exit.NOT_FOUND, "did you mean `alice`?"),
        (["validate", "-w"], Exit.USAGE, "cannot be watched"),
        (["explain", "E999"], Exit.NOT_FOUND, "explain"),
        (["schema", "jobb"], Exit.NOT_FOUND, "did you mean `job`?"),
    ],
)
@pytest.mark.usefixtures("state")
def test_a_mistake_has_its_exit_code_and_says_what_to_write(
    cli: Cli, arguments: list[str], code: Exit, hint: str
) -> None:
    said = cli(*arguments)
    assert (said.code, said.out) == (code, "")
    assert hint in said.err


def test_an_error_of_ours_shows_no_traceback(cli: Cli, repository: Path) -> None:
    (repository / ".reconcile").mkdir()
    (repository / ".reconcile" / "state.db").write_text("this is no database, whatever its name says" * 50)
    said = cli("get", "jobs")
    assert said.code == Exit.FAILED
    assert "doctor" in said.err
    assert "Traceback" not in said.err


@pytest.mark.usefixtures("state")
def test_a_reader_that_leaves_early_is_no_error(repository: Path) -> None:
    connection = sqlite3.connect(repository / ".reconcile" / "state.db")
    connection.executemany(
        "INSERT INTO targets (job, domain, mode, planning, plan_digest, schedule_digest)"
        " VALUES (?, '', '', '', '', '')",
        [(f"job-{number}",) for number in range(5000)],
    )
    connection.commit()
    connection.close()
    process = subprocess.Popen(
        [*RECONCILE, "get", "jobs"], cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), errors) == (0, b"")


def test_completion_scripts_are_printed_and_complete_names(cli: Cli, repository: Path, state: object) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_RECONCILE_COMPLETE" in cli("completion", shell).out
    environment = {**os.environ, "_RECONCILE_COMPLETE": "bash_complete", "COMP_CWORD": "2"}

    def completed(words: str, position: int) -> list[str]:
        done = subprocess.run(
            RECONCILE, cwd=repository, capture_output=True, text=True, check=False,
            env={**environment, "COMP_WORDS": words, "COMP_CWORD": str(position)},
        )  # fmt: skip
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("reconcile logs b", 2) == ["backup"]
    assert completed("reconcile logs import@", 2) == ["import@acme.example", "import@globex.example"]
    assert completed("reconcile get jobs -n ac", 4) == ["acme.example"]
    assert completed("reconcile --as alice logs import@", 4) == ["import@acme.example"]

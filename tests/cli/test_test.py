"""`reconcile test`: users test their schedules, and CI understands what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Cli

JOB = """\
apiVersion: reconciler/v1
kind: Job
metadata: {name: backup}
spec: {command: [echo], planning: {mode: scheduled, schedule: {cron: "30 2 * * *", timeZone: Europe/Paris}}}
"""
GOOD = """\
test: the autumn night
steps:
  - at 2026-10-25T00:30Z expect backup run; at 01:30Z expect nothing
"""
WRONG = """\
test: twice
timeZone: Europe/Paris
steps:
  - at 2026-10-25T02:30 expect backup run
  - at 2026-10-25T02:30+01:00 expect backup run
"""


@pytest.fixture
def tests(repository: Path) -> Path:
    (repository / "jobs.d" / "backup.yaml").write_text(JOB)
    (repository / "tests").mkdir()
    return repository / "tests"


def test_the_tests_beside_jobs_d_are_played_with_its_documents(tests: Path, cli: Cli) -> None:
    (tests / "night.yaml").write_text(GOOD)
    said = cli("test")
    assert said.code == 0
    assert said.out == "ok    tests/night.yaml:1 the autumn night (2 expectations)\n"
    assert said.err.startswith("1 passed in ")


def test_what_is_not_met_is_said_with_its_line_what_happened_and_what_is_near(tests: Path, cli: Cli) -> None:
    (tests / "night.yaml").write_text(WRONG)
    said = cli("test")
    assert said.code == 1
    assert said.out == (
        "FAIL  tests/night.yaml:5 twice\n"
        "      expected  at 2026-10-25T02:30+01:00 expect backup run\n"
        "      happened  nothing\n"
        "      nearby    2026-10-25T02:30:00+02:00 backup run schedule\n"
        "                2026-10-25T02:30:00+02:00 backup success\n"
        "                2026-10-26T02:30:00+01:00 backup run schedule\n"
        "                2026-10-26T02:30:00+01:00 backup success\n"
    )
    assert said.err.startswith("1 failed in ")


def test_an_unexpected_run_is_shown_where_nothing_is_expected(tests: Path, cli: Cli) -> None:
    (tests / "night.yaml").write_text(GOOD.replace("01:30Z expect nothing", "00:30Z expect nothing"))
    said = cli("test")
    assert said.code == 1
    assert "happened  2026-10-25T00:30:00Z backup run schedule\n" in said.out


def test_files_and_folders_may_be_named(tests: Path, cli: Cli) -> None:
    (tests / "good.yaml").write_text(GOOD)
    (tests / "wrong.yaml").write_text(WRONG)
    assert cli("test", "tests/good.yaml").code == 0
    assert cli("test", "tests").code == 1


def test_no_tests_at_all_are_not_a_success(repository: Path, cli: Cli) -> None:
    said = cli("test")
    assert said.code == 6
    assert "there are no tests" in said.err


def test_a_test_that_cannot_be_understood_is_invalid_and_all_its_mistakes_are_said(
    tests: Path, cli: Cli
) -> None:
    (tests / "bad.yaml").write_text(
        "test: bad\nstepz: []\n---\ntest: worse\nsteps:\n"
        "  - at 2026-10-25T00:30Z expect backup runn\n"
        "  - on 2026-10-25T00:30Z expect backup run\n"
        "  - at 25:30Z expect backup run\n"
        "  - expect backup run\n"
        "  - at 2026-03-29T02:30 explode backup\n"
        "---\nfoo: 1\n"
    )
    said = cli("test")
    assert said.code == 3
    assert "did you mean `steps`?" in said.out
    assert "`runn` cannot be expected" in said.out
    assert "did you mean `run`?" in said.out
    assert "tests/bad.yaml:7" in said.out
    assert "`25:30Z` is not a time" in said.out
    assert "does not say when" in said.out
    assert "`explode` cannot happen" in said.out
    assert "neither a test nor a document of jobs.d" in said.out


def test_a_local_time_that_the_clock_leaves_out_is_refused(tests: Path, cli: Cli) -> None:
    (tests / "bad.yaml").write_text(WRONG.replace("2026-10-25T02:30 ", "2026-03-29T02:30 "))
    said = cli("test")
    assert said.code == 3
    assert "Europe/Paris has no 2026-03-29T02:30" in said.out


def test_a_name_that_there_is_not_is_invalid_with_a_suggestion(tests: Path, cli: Cli) -> None:
    (tests / "bad.yaml").write_text(GOOD.replace("expect backup", "expect bakup"))
    said = cli("test")
    assert said.code == 3
    assert "there is no target `bakup`" in said.out
    assert "did you mean `backup`?" in said.out


def test_an_invalid_document_in_a_test_is_shown_at_its_line_there(tests: Path, cli: Cli) -> None:
    (tests / "own.yaml").write_text(JOB.replace("30 2 *", "99 2 *") + "---\n" + GOOD)
    said = cli("test")
    assert said.code == 3
    assert "tests/own.yaml:4:" in said.out


def test_a_test_may_bring_documents_and_change_them_then(tests: Path, cli: Cli) -> None:
    later = JOB.replace("30 2 * * *", "30 4 * * *")
    (tests / "own.yaml").write_text(
        f"{JOB.replace('backup', 'export')}---\ntest: moved\nsteps:\n"
        "  - at 2026-05-04T00:30Z expect export run\n  - at 2026-05-05T02:30Z expect backup run\n"
        f"---\nat: 2026-05-04T12:00Z\n{later}"
    )
    assert cli("test").code == 0


def test_a_planning_may_stand_in_the_folder_of_a_domain(tests: Path, cli: Cli) -> None:
    (tests / "own.yaml").write_text(
        "apiVersion: reconciler/v1\nkind: Domain\nmetadata: {name: acme.example}\nspec: {description: one}\n---\n"
        "apiVersion: reconciler/v1\nkind: Job\nmetadata: {name: sync}\nspec: {scope: domain, command: [echo]}\n---\n"
        "domain: acme.example\napiVersion: reconciler/v1\nkind: Planning\nmetadata: {name: sync}\n"
        'spec: {mode: scheduled, schedule: {cron: "0 3 * * *"}}\n---\n'
        "test: it counts\nsteps:\n  - at 2026-05-04T03:00Z expect sync@acme.example run\n"
        "  - at 03:00Z expect sync@* run\n"
    )
    assert cli("test").code == 0


def test_tables_in_markdown_are_tests_too(tests: Path, cli: Cli) -> None:
    (tests / "README.md").write_text("# About\n\n| file | what |\n|---|---|\n| a | b |\n")
    (tests / "night.md").write_text(
        "# The nights\n\n```yaml\n" + JOB + "```\n\n## In autumn\n\n"
        "| at | happens | expect | why |\n|---|---|---|---|\n"
        "| 2026-10-24 | | backup 1 run | |\n"
        "| 2026-10-25T00:30Z to 2026-10-25T01:00Z | | backup run | the first 02:30 |\n"
        "| 2026-10-25T12:00Z to 2026-10-26T12:00Z | pause backup freeze | | |\n"
        "| `2026-10-26T01:30Z` | | `backup skipped Paused` | |\n"
        "\n## In spring\n\n```yaml\ntimeZone: Europe/Paris\n```\n\n"
        "| at | expect |\n|---|---|\n| 2026-03-29T03:00 | backup run |\n| 2026-03-29 | backup 2 runs |\n"
    )
    said = cli("test")
    assert said.code == 1
    assert "ok    tests/night.md:10 In autumn (3 expectations)\n" in said.out
    assert "FAIL  tests/night.md:28 In spring\n" in said.out


@pytest.mark.parametrize("form", ["json", "junit", "github"])
def test_ci_systems_are_told_in_their_own_form(form: str, tests: Path, cli: Cli) -> None:
    (tests / "a.yaml").write_text(GOOD)
    (tests / "b.yaml").write_text(WRONG)
    said = cli("test", "-o", form)
    assert said.code == 1
    match form:
        case "json":
            items = json.loads(said.out)["items"]
            assert [item["outcome"] for item in items] == ["passed", "failed"]
            assert items[1]["misses"][0]["line"] == 5
        case "junit":
            suite = ElementTree.fromstring(said.out)
            assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
        case "github":
            assert said.out.startswith("::error file=tests/b.yaml,line=5,title=twice::expected: at")


@pytest.mark.parametrize("form", ["json", "junit", "github"])
def test_a_file_that_cannot_be_understood_is_said_in_that_form_too(form: str, tests: Path, cli: Cli) -> None:
    (tests / "bad.yaml").write_text("test: bad\nstepz: []\n")
    said = cli("test", "-o", form)
    assert said.code == 3
    assert "unknown field `stepz`" in said.out
    match form:
        case "json":
            assert json.loads(said.out)["items"][0]["outcome"] == "invalid"
        case "junit":
            assert ElementTree.fromstring(said.out).get("errors") == "1"
        case "github":
            assert said.out.startswith("::error file=tests/bad.yaml,line=2,")


def test_more_than_one_run_at_a_time_is_counted(tests: Path, cli: Cli) -> None:
    (tests / "count.yaml").write_text(
        "test: a week\nsteps:\n  - from 2026-05-04T00:00Z to 2026-05-11T00:00Z expect backup 7 runs schedule\n"
        "  - from 2026-05-04T00:00Z to 2026-05-11T00:00Z expect 7 success\n"
    )
    assert cli("test").code == 0
    (tests / "count.yaml").write_text(
        "test: a week\nsteps:\n  - from 2026-05-04T00:00Z to 2026-05-11T00:00Z expect backup 6 runs\n"
    )
    assert cli("test").code == 1


def test_what_was_promised_as_help_is_a_test_that_works(tests: Path, cli: Cli) -> None:
    shown = cli("test", "--help").out
    lines = shown[shown.index("test: the autumn night") :].split("\n\n")[0].splitlines()
    indent = len(lines[1]) - len(lines[1].lstrip())
    (tests / "help.yaml").write_text("\n".join([lines[0], *(line[indent:] for line in lines[1:])]) + "\n")
    said = cli("test")
    assert said.code == 0, said.out + said.err

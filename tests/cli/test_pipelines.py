"""What pipelines call: findings where a forge looks for them, plans between revisions, and our own example files."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from reconciler.cli.exits import Exit
from reconciler.cli.frame import run
from reconciler.core.changes import Changes
from tests.changes.versions import compare
from tests.sources.place import Place

from .conftest import Cli

EXAMPLES = Path(__file__).parents[2] / "examples" / "ci"
JOB = 'apiVersion: reconciler/v1\nkind: Job\nmetadata: {{name: {}}}\nspec: {{command: ["true"]}}\n'


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose jobs.d lies in a subfolder, with two commits."""
    folder = tmp_path / "top" / "ops" / "cron"
    (folder / "jobs.d").mkdir(parents=True)
    git(tmp_path / "top", "init", "-q", "-b", "main")
    for name in ("first", "second"):
        (folder / "jobs.d" / f"{name}.yaml").write_text(JOB.format(name))
        git(tmp_path / "top", "add", ".")
        git(tmp_path / "top", "commit", "-qm", name)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.needs("git")
def test_findings_are_named_from_the_top_of_the_repository(cli: Cli, below: Path) -> None:
    (below / "jobs.d" / "first.yaml").write_text(JOB.format("first").replace("command", "comand"))
    said = cli("validate", "-o", "github")
    assert (said.code, said.out.split(",")[0]) == (Exit.INVALID, "::error file=ops/cron/jobs.d/first.yaml")
    (result,) = json.loads(cli("validate", "-o", "sarif").out)["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "ops/cron/jobs.d/first.yaml"
    assert place["region"]["startLine"] == 4
    assert "jobs.d/first.yaml:4" in cli("validate", "-o", "concise").out


@pytest.mark.needs("git")
def test_revisions_of_a_subfolder_are_compared_from_anywhere(
    cli: Cli, below: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("plan", "--from", "HEAD~1", "--to", "HEAD", "-o", "markdown", "--detailed-exitcode")
    here = cli(*words)
    assert (here.code, "Job second" in here.out, "first" in here.out) == (Exit.CHANGES, True, False)
    monkeypatch.chdir(below.parent)
    assert cli("-C", "cron", *words) == here


@pytest.mark.needs("git")
def test_revisions_are_compared_as_the_daemon_takes_them(cli: Cli, below: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "daemon")

    def commit(files: dict[str, str]) -> Changes:
        for path, text in files.items():
            for root in (below / "jobs.d", place.root / "jobs.d"):
                (root / path).parent.mkdir(exist_ok=True)
                (root / path).write_text(text)
        git(below, "add", "--all", "--force", ".")
        git(below, "commit", "-qm", "next")
        return compare(place)

    for root in (below, place.root):
        (root / "shared.yaml").write_text(JOB.format("shared"))
        (root / "jobs.d" / "linked.yaml").symlink_to("../shared.yaml")
    fleet = [JOB.format(f"a{number}") for number in range(30)]
    names = {f"{name}.yaml": JOB.format(name) for name in ("first", "second")}
    commit({**names, "fleet.yaml": "---\n".join(fleet), "b.yaml": JOB.format("b")})
    daemon = commit(
        {
            "fleet.yaml": "---\n".join(fleet[:5]),
            "b.yaml": JOB.format("b").replace("command", "comand"),
            ".old/x.yaml": JOB.format("x"),
        }
    )
    said = cli("plan", "--from", "HEAD~1", "--to", "HEAD", "-o", "json")
    shown = json.loads(said.out)
    assert shown["approval"]["digest"] == daemon.guard.digest != ""
    assert sorted(each["name"] for each in shown["objects"]) == sorted(f"a{n}" for n in range(5, 30))
    assert [each["object"] for each in shown["held"]] == ["Job b"]
    assert [each["path"] for each in shown["rejected"]] == ["jobs.d/b.yaml"]
    assert (said.code, "stay at their last good version" in said.err) == (Exit.INVALID, True)
    assert "Job shared" in cli("plan", "--from", "HEAD~2", "--to", "HEAD~1").out
    assert cli("plan", "--from", "HEAD", "--to", "nosuch").code == Exit.NOT_FOUND


@pytest.mark.parametrize("name", ["github.yml", "gitlab-ci.yml", "pre-commit-config.yaml", "README.md"])
def test_the_examples_say_only_what_the_command_line_knows(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (EXAMPLES / name).read_text().replace("\\\n", " ")
    calls = re.findall(r"(?:run: |entry: |- |    )reconcile ([a-z]+)([^\n|>]*)", text)
    assert calls
    for verb, rest in calls:
        assert run([verb, "--help"]) == Exit.OK
        help = capsys.readouterr().out
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in help, f"{name}: reconcile {verb} has no {option}"
        for form in re.findall(r"-o ([a-z]+)", rest):
            assert form in help

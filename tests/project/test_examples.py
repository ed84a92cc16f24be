"""Each example is a repository that validates, and that a person may look at before anything runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

pytestmark = pytest.mark.full

ROOT = Path(__file__).parents[2]
REPOSITORIES = [ROOT, *sorted(folder.parent for folder in (ROOT / "examples").glob("*/jobs.d"))]


def reconcile(folder: Path, state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("reconcile"), "-C", str(folder), "--state", str(state), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": str(state), "LC_ALL": "C.UTF-8"},
    )


@pytest.fixture(params=REPOSITORIES, ids=lambda folder: "the checkout" if folder == ROOT else folder.name)
def repository(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


def test_an_example_validates_without_a_word_of_complaint(repository: Path, tmp_path: Path) -> None:
    result = reconcile(repository, tmp_path, "validate", "-o", "json")
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads(result.stdout)["items"] == []


def test_a_dry_run_of_an_example_shows_its_jobs_and_leaves_nothing_behind(
    repository: Path, tmp_path: Path
) -> None:
    result = reconcile(repository, tmp_path, "apply", "--dry-run", "--host", "any")
    assert result.returncode == 0, result.stdout + result.stderr
    for job in jobs(repository):
        assert job in result.stdout
    assert not (repository / ".reconcile").exists() or repository == ROOT


@pytest.mark.parametrize(
    "folder", sorted((ROOT / "examples").glob("*/tests")), ids=lambda folder: folder.parent.name
)
def test_the_schedules_of_an_example_do_what_its_tests_say(folder: Path, tmp_path: Path) -> None:
    result = reconcile(folder.parent, tmp_path, "test")
    assert result.returncode == 0, result.stdout + result.stderr


def jobs(repository: Path) -> list[str]:
    names = []
    for file in sorted((repository / "jobs.d").rglob("*.yaml")):
        for document in YAML(typ="safe", pure=True).load_all(file):
            if document["kind"] == "Job":
                names.append(document["metadata"]["name"])
    return names


@pytest.mark.parametrize("name", ["github.yml", "gitlab-ci.yml", "pre-commit-config.yaml"])
def test_a_workflow_file_is_yaml_and_calls_verbs_that_exist(name: str, tmp_path: Path) -> None:
    text = (ROOT / "examples" / "ci" / name).read_text()
    YAML(typ="safe", pure=True).load(text)
    for verb, options in (
        ("validate", ["-o"]),
        ("plan", ["--from", "--to", "--days", "-o"]),
        ("test", ["junit"]),
    ):
        if f"reconcile {verb}" in text:
            help_text = reconcile(tmp_path, tmp_path, verb, "--help").stdout
            assert all(option in help_text for option in options)


@pytest.mark.needs("systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "systemd" / "reconciler.service").read_text()
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    unit = tmp_path / "reconciler.service"
    unit.write_text(text.replace(command, "ExecStart=/bin/true"))
    result = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_unit_leaves_runs_alone_when_the_daemon_stops() -> None:
    unit = (ROOT / "examples" / "systemd" / "reconciler.service").read_text().splitlines()
    assert {"KillMode=process", "Delegate=yes", "Type=notify", "StateDirectory=reconciler"} <= set(unit)

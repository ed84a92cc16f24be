"""What a newcomer and CI find in a fresh clone."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tracked() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in names.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_licence_is_the_whole_text_that_the_package_names() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert 'license = { text = "Apache-2.0" }' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", ["tests/check", ".ci/run"])
def test_a_command_that_the_project_names_can_be_started(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / name], check=True)


def test_an_unknown_mode_of_the_check_is_a_usage_error() -> None:
    result = subprocess.run([ROOT / "tests" / "check", "everything"], capture_output=True, text=True)
    assert result.returncode == 64
    assert "fast|full" in result.stderr


@pytest.mark.needs("git")
def test_no_file_names_a_path_of_the_machine_that_it_was_written_on() -> None:
    private = re.compile(r"/(work|farm|root)/|[.]pyenv")
    guilty = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in tracked()
        if file.suffix not in {".png", ".db"}
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1)
        if private.search(line)
    ]
    assert guilty == []


@pytest.mark.needs("git")
def test_no_generated_file_is_tracked() -> None:
    assert not [file for file in tracked() if {".reconcile", "__pycache__", ".venv"} & set(file.parts)]


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()

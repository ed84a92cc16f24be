"""The README's promises: its commands run, its documents validate, its links lead somewhere.

A block counts when a comment stands before it: `<!-- test -->` (a shell block, in a checkout with the command
on the path), `<!-- test: full -->` (the same, in the full suite), `<!-- test: document FOLDER -->` (for `jobs.d`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"<!-- test(?:: (?P<how>[^>]+?))? -->\n```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
BLOCKS = [match.groupdict() for match in BLOCK.finditer(README)]
DOMAIN = """\
apiVersion: reconciler/v1
kind: Domain
metadata: {name: acme.example, labels: {ldap: enabled}}
spec: {}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The tracked files of this checkout, and nothing that a developer has lying around."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in names.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def shell(text: str, folder: Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-eu", "-c", text],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.mark.full
@pytest.mark.needs("git")
def test_the_first_command_runs_the_jobs_of_a_fresh_clone(checkout: Path) -> None:
    (block,) = [block for block in BLOCKS if block["how"] == "full"]
    result = shell(block["text"], checkout, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    log = shell("reconcile logs disk-usage", checkout)
    assert "MiB used" in log.stdout


@pytest.mark.needs("git")
def test_the_commands_to_look_around_work_after_the_first_one(checkout: Path) -> None:
    once = shell("reconcile serve --once", checkout)
    assert once.returncode == 0, once.stdout + once.stderr
    blocks = [block for block in BLOCKS if block["how"] is None]
    assert blocks
    for block in blocks:
        result = shell(block["text"], checkout)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "disk-usage" in result.stdout


def test_the_documents_validate_together(tmp_path: Path) -> None:
    (tmp_path / "jobs.d").mkdir()
    (tmp_path / "jobs.d" / "domain.yaml").write_text(DOMAIN)
    documents = [block for block in BLOCKS if (block["how"] or "").startswith("document")]
    assert documents
    for number, block in enumerate(documents):
        folder = tmp_path / "jobs.d" / str(block["how"]).removeprefix("document").strip()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.yaml").write_text(block["text"])
    result = shell("reconcile validate", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_smallest_repository_is_the_one_file_at_the_top(tmp_path: Path) -> None:
    first = re.search(r"```yaml\n# jobs.d/backup.yaml\n(.*?)```", README, re.DOTALL)
    assert first is not None
    (tmp_path / "jobs.d").mkdir()
    (tmp_path / "jobs.d" / "backup.yaml").write_text(first[1])
    result = shell("reconcile validate", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_test_of_a_schedule_is_met(tmp_path: Path) -> None:
    first = re.search(r"```yaml\n# jobs.d/backup.yaml\n(.*?)```", README, re.DOTALL)
    (block,) = [block for block in BLOCKS if block["how"] == "schedules"]
    assert first is not None
    for folder, text in (("jobs.d", first[1]), ("tests", block["text"])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "backup.yaml").write_text(text)
    result = shell("reconcile test", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_a_link_leads_to_a_file(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_verb_in_a_command_exists() -> None:
    verbs = set(re.findall(r"(?:^|`)reconcile ([a-z]+)", README, re.MULTILINE))
    assert {"serve", "get", "logs", "plan", "validate"} <= verbs
    listed = shell("reconcile --help", ROOT).stdout
    assert not [verb for verb in verbs if not re.search(rf"^\s+{verb}\b", listed, re.MULTILINE)]

"""However the source is changed, no mixed tree is accepted and nothing is taken for deleted that is not."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.ports.source import Held, Snapshot
from reconciler.sources.folder import FolderSource
from tests.sources.place import INSTALLATION, Place, domain, git, job, targets

COMMON, OWN, FLIPS = 300, 200, 420
VERSION = re.compile(rb"version: ([ab])")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository of 500 files in two versions: 300 common ones that all differ, 200 that only one of them has."""
    place = Place(tmp_path / "origin")
    place.git("init", "-q", "-b", "start")
    place.write("i.yaml", INSTALLATION)
    place.commit("start")
    for version in "ab":
        place.git("checkout", "-q", "-b", version, "start")
        for number in range(COMMON):
            text = job(f"common-{number}").replace(
                ": {name: common", f": {{labels: {{version: {version}}}, name: common"
            )
            place.write(f"common/{number}.yaml", text)
        for number in range(OWN):
            text = job(f"{version}-{number}").replace(
                ": {name: ", f": {{labels: {{version: {version}}}, name: "
            )
            place.write(f"own/{version}{number}.yaml", text)
        place.commit(version)
    place.git("checkout", "-q", "-b", "c", "a")
    place.write("extra.yaml", domain("extra.example"))
    place.commit("c")
    return place.root


@pytest.fixture(params=[1, 2, 3])
def flipping(
    request: pytest.FixtureRequest, tmp_path: Path, origin: Path
) -> Iterator[subprocess.Popen[bytes]]:
    root = tmp_path / "root"
    git(tmp_path, "clone", "-q", "-b", "a", str(origin), str(root))
    program = Path(__file__).with_name("flipping.py")
    arguments = [str(root), str(origin), str(FLIPS), str(request.param)]
    with subprocess.Popen([sys.executable, str(program), *arguments]) as process:
        yield process
        process.kill()


@pytest.mark.full
@pytest.mark.needs("git")
def test_under_constant_changes_no_mixed_tree_is_accepted_and_nothing_is_lost(
    flipping: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    place = Place(tmp_path / "reader")
    place.root = tmp_path / "root"
    place.source = FolderSource(place.root)
    versions: dict[str, str] = {}
    seen: Counter[str] = Counter()
    while not ended(flipping):
        place.now = time.time()
        found = place.look()
        if isinstance(found, Held):
            seen[found.reason] += 1
            continue
        judge(found, versions, seen)
        if found.changed:
            accepted = place.take_snapshot(found)
            names = targets(accepted)
            seen["lost"] += COMMON - sum(name.startswith("common-") for name in names)
            seen["refused"] += bool(accepted.refused)
    assert flipping.returncode == 0
    assert (seen["mixed"], seen["lost"], seen["partial"], seen["refused"]) == (0, 0, 0, 0), seen
    assert seen["accepted"] >= 20, seen
    assert min(seen["versions a"], seen["versions b"]) > 0, seen


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Give the program a moment, as the daemon does between two looks; say whether it ended."""
    try:
        process.wait(0.01)
    except subprocess.TimeoutExpired:
        return False
    return True


def judge(found: Snapshot, versions: dict[str, str], seen: Counter[str]) -> None:
    """Count what is wrong with a snapshot that was given out."""
    for file in found.files.values():
        if file.content is not None and (match := VERSION.search(file.content)):
            versions[file.stamp.digest] = match[1].decode()
    here = {versions[f.stamp.digest] for f in found.files.values() if f.stamp.digest in versions}
    common = sum(path.startswith("jobs.d/common/") for path in found.files)
    own = sum(path.startswith("jobs.d/own/") for path in found.files)
    seen["accepted"] += 1
    seen["mixed"] += len(here) != 1
    seen["partial"] += (common, own) != (COMMON, OWN)
    for version in here:
        seen[f"versions {version}"] += 1


def test_six_thousand_files_at_once_are_taken_together(tmp_path: Path) -> None:
    place = Place(tmp_path / "site")
    place.write("i.yaml", INSTALLATION)
    place.take()
    for number in range(6000):
        place.write(f"many/{number % 60}/{number}.yaml", job(f"j{number}"))
    snapshot = place.snapshot()
    assert len(snapshot.changed) == 6000

"""A source in a temporary folder, with real files and real git, taken as the reconciler takes it."""

from __future__ import annotations

import shutil
import subprocess
import textwrap
from datetime import UTC, datetime
from pathlib import Path

from reconciler.core.model import Revision
from reconciler.ports.source import Held, Snapshot
from reconciler.sources.folder import FolderSource
from reconciler.spec.lastgood import Accepted, accept
from reconciler.spec.loading import loader_of
from reconciler.spec.objects import Identity
from reconciler.spec.resolve import ResolveCache
from reconciler.spec.stored import Stored, file_rows, object_rows, stored_from_rows

LATER = 4102444800.0
"""A time of looking at which every file was written long ago."""

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)


def job(name: str, more: str = "") -> str:
    """A small valid installation job."""
    return f"apiVersion: reconciler/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  command: [echo, {name}]\n{more}"


def domain_job(name: str, more: str = "") -> str:
    return job(name, f"  scope: domain\n{more}")


def domain(name: str, labels: str = "{}") -> str:
    return (
        f"apiVersion: reconciler/v1\nkind: Domain\nmetadata: {{name: {name}, labels: {labels}}}\n"
        "spec: {description: one}\n"
    )


def planning(name: str, spec: str) -> str:
    return f"apiVersion: reconciler/v1\nkind: Planning\nmetadata: {{name: {name}}}\nspec: {spec}\n"


INSTALLATION = (
    "apiVersion: reconciler/v1\nkind: Installation\nmetadata: {name: installation}\nspec: {maxParallel: 4}\n"
)
BROKEN = "kind: [\n"


def many(*documents: str) -> str:
    return "---\n".join(documents)


class Place:
    """A folder with `jobs.d`, what was accepted out of it so far, and git around it where asked for."""

    def __init__(self, root: Path, *, transactional: bool = False) -> None:
        self.root = root
        self.now = LATER
        self.transactional = transactional
        (root / "jobs.d").mkdir(parents=True)
        self.source = FolderSource(root)
        self.stored = Stored()
        self.cache = ResolveCache()
        self.accepted: Accepted | None = None

    def write(self, path: str, text: str) -> None:
        """Write a file below `jobs.d`."""
        file = self.root / "jobs.d" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))

    def remove(self, path: str) -> None:
        found = self.root / "jobs.d" / path
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink()

    def move(self, old: str, new: str) -> None:
        (self.root / "jobs.d" / new).parent.mkdir(parents=True, exist_ok=True)
        (self.root / "jobs.d" / old).rename(self.root / "jobs.d" / new)

    def look(self) -> Snapshot | Held:
        return self.source.snapshot(self.stored.known(), self.now)

    def snapshot(self) -> Snapshot:
        found = self.look()
        assert isinstance(found, Snapshot), found
        return found

    def take(self) -> Accepted:
        """Take the source as it is now, and keep what is accepted as the store would."""
        return self.take_snapshot(self.snapshot())

    def take_snapshot(self, snapshot: Snapshot) -> Accepted:
        loader = loader_of(self.cache, transactional=self.transactional, clock=lambda: NOW)
        accepted = accept(self.stored, snapshot, loader)
        self.stored = kept(self.stored, accepted.stored)
        self.accepted = accepted
        return accepted

    def restart(self) -> None:
        """Forget all that is not stored."""
        self.source = FolderSource(self.root)
        self.cache = ResolveCache()

    def git(self, *arguments: str) -> str:
        return git(self.root, *arguments)

    def commit(self, message: str = "change") -> str:
        self.git("add", "-A")
        self.git("commit", "-qm", message, "--allow-empty")
        return self.git("rev-parse", "HEAD")


def kept(before: Stored, after: Stored) -> Stored:
    """What a store gives back that was given the rows of both tables."""
    objects = {tuple(row[:3]): row for row in object_rows(Stored(), before).put}
    changes = object_rows(before, after)
    for key in changes.gone:
        del objects[tuple(key)]
    objects.update({tuple(row[:3]): row for row in changes.put})
    files = {row[0]: row for row in file_rows(Stored(), before).put}
    file_changes = file_rows(before, after)
    for path in file_changes.gone:
        del files[path]
    files.update({row[0]: row for row in file_changes.put})
    return stored_from_rows(
        [(*row[:-1], row[-1].encode("ascii")) for row in objects.values()],
        list(files.values()),
        Revision(after.revision.commit, after.revision.dirty, after.revision.signer),
    )


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def targets(accepted: Accepted) -> list[str]:
    return sorted(str(target) for target in accepted.desired.targets)


def codes(accepted: Accepted) -> dict[str, list[str]]:
    """The codes of errors by file."""
    return {path: [each.code for each in found] for path, found in accepted.rejected.items()}


def held(accepted: Accepted) -> dict[str, str]:
    return {f"{key.kind}/{key.name}": why for key, why in accepted.held.items()}


def identity(kind: str, name: str, area: str = "") -> Identity:
    return Identity(kind, area, name)

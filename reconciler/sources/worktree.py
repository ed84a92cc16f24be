"""The git working tree around a folder: is git in the middle of something, and which commit are the files?"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reconciler.core.model import Revision
from reconciler.ports.source import is_taken
from reconciler.sources import git

BUSY: Final = {
    "index.lock": "a git command is running",
    "rebase-merge": "a rebase is not finished",
    "rebase-apply": "a rebase or `git am` is not finished",
    "MERGE_HEAD": "a merge is not finished",
    "CHERRY_PICK_HEAD": "a cherry-pick is not finished",
    "REVERT_HEAD": "a revert is not finished",
    "sequencer": "a series of cherry-picks or reverts is not finished",
}
"""What lies in the git directory while the files are not meant to be used."""

HeadKey = tuple[object, ...]


@dataclass(slots=True)
class Worktree:
    """A git working tree. Looking at it costs a few stat calls; git runs only when HEAD moved."""

    top: str
    git_dir: str
    common_dir: str
    algorithm: str = "sha1"
    _head_key: HeadKey | None = None
    _commit: str = ""
    _blobs: dict[str, str] = field(default_factory=dict)
    _blobs_of: tuple[str, str] = ("", "")

    @property
    def identity(self) -> tuple[str, str]:
        return (self.top, self.git_dir)

    def busy(self) -> str:
        """Say what git is in the middle of, or ""."""
        for name, meaning in BUSY.items():
            if os.path.lexists(os.path.join(self.git_dir, name)):
                return f"{meaning} ({name} in {self.git_dir})"
        return ""

    def finished_ns(self) -> int:
        """When git last finished writing files: it renames its index into place as the last thing."""
        try:
            return os.stat(os.path.join(self.git_dir, "index")).st_ctime_ns
        except OSError:
            return 0

    def head_key(self) -> HeadKey:
        """A value that differs when HEAD may name another commit."""
        head = _text(os.path.join(self.git_dir, "HEAD")).strip()
        ref = head.removeprefix("ref: ") if head.startswith("ref: ") else ""
        places = ["packed-refs", "reftable/tables.list", *([ref] if ref else [])]
        return (head, *(git.file_stamp(os.path.join(self.common_dir, place)) for place in places))

    def commit(self, key: HeadKey) -> str:
        """The commit of HEAD, "" before the first; `key` is what `head_key` said at the time meant."""
        if key != self._head_key:
            self._commit = git.commit_of(self.top, "HEAD")
            self._head_key = key
        return self._commit

    def revision(self, key: HeadKey, digests: Mapping[str, str], below: str) -> Revision:
        """Compare files (by path from the top of the tree) with HEAD's: they are that commit, or edited.

        Only the committed tree is read, never the index, so this neither waits for git nor disturbs it.
        """
        commit = self.commit(key)
        if not commit:
            return Revision("", dirty=bool(digests))
        prefix = f"{below}/"
        committed = self._committed(commit, below if all(p.startswith(prefix) for p in digests) else "")
        expected = {
            path: oid
            for path, oid in committed.items()
            if path in digests or (path.startswith(prefix) and is_taken(path[len(prefix) :]))
        }
        return Revision(commit, dirty=expected != dict(digests))

    def _committed(self, commit: str, below: str) -> dict[str, str]:
        if self._blobs_of != (commit, below):
            entries = git.tree_of(self.top, commit, below)
            self._blobs = {each.path: each.oid for each in entries if not each.is_symlink}
            self._blobs_of = (commit, below)
        return self._blobs


def find(folder: str) -> Worktree | None:
    """The working tree that a folder (a real path) lies in, or None outside of git."""
    for top in (folder, *(str(parent) for parent in Path(folder).parents)):
        dot_git = os.path.join(top, ".git")
        if os.path.isdir(dot_git):
            return _worktree(top, dot_git)
        if os.path.isfile(dot_git):
            # A linked working tree or a submodule.
            linked = _text(dot_git).partition("gitdir:")[2].strip()
            return _worktree(top, os.path.normpath(os.path.join(top, linked))) if linked else None
    return None


def _worktree(top: str, git_dir: str) -> Worktree | None:
    if not os.path.exists(os.path.join(git_dir, "HEAD")):
        return None
    common = _text(os.path.join(git_dir, "commondir")).strip()
    common_dir = os.path.normpath(os.path.join(git_dir, common)) if common else git_dir
    config = _text(os.path.join(common_dir, "config"))
    sha256 = re.search(r"(?im)^\s*objectformat\s*=\s*sha256\s*$", config)
    return Worktree(top, git_dir, common_dir, "sha256" if sha256 else "sha1")


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 16)
    except OSError:
        return ""

"""The files of one commit, read from the object store: all of one moment by construction, whatever is checked out."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reconciler.core.diagnostics import Diagnostic
from reconciler.core.model import Revision
from reconciler.ports.source import (
    READ_LIMIT,
    TREE,
    FileStamp,
    Snapshot,
    SourceFile,
    area_of,
    is_ignored,
    is_taken,
    is_wanted,
)
from reconciler.sources import git
from reconciler.sources.folder import changed_paths, stale

_SUBMODULE: Final = "160000"
_MAX_LINKS: Final = 8


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, and the folder in it that is the source's root: "" at its top, else `a/b/`."""

    folder: str
    git_dir: str
    prefix: str

    @classmethod
    def at(cls, folder: Path | str) -> Repository:
        """Find the repository, bare or not, that a folder belongs to. Raises GitError."""
        asked = ("rev-parse", "--absolute-git-dir", "--show-prefix")
        lines = git.run(str(folder), *asked).decode("utf-8", "surrogateescape").splitlines()
        return cls(str(folder), lines[0], lines[1] if len(lines) > 1 else "")


@dataclass(slots=True)
class Listing:
    """The files of a tree below `jobs.d`, by their path from the source's root."""

    entries: dict[str, git.TreeEntry] = field(default_factory=dict)
    problems: dict[str, Diagnostic] = field(default_factory=dict)


def listing(repository: Repository, commit: str) -> Listing:
    """List the source's files in a commit, symlinks within the source resolved."""
    top = repository.prefix
    found = {
        entry.path[len(top) :]: entry
        for entry in git.tree_of(repository.folder, commit, f"{top}{TREE}")
        if entry.path.startswith(top)
    }
    links = {path: entry for path, entry in found.items() if entry.is_symlink and not _is_ignored(path)}
    if links:
        # They may lead anywhere within the source, so all of it is needed.
        all_entries = git.tree_of(repository.folder, commit, top.rstrip("/"))
        found |= {entry.path[len(top) :]: entry for entry in all_entries}
    result = Listing()
    for path, entry in found.items():
        if not path.startswith(f"{TREE}/") or _is_ignored(path) or entry.is_symlink:
            continue
        if entry.mode == _SUBMODULE:
            result.problems[path] = Diagnostic("E304", "a submodule cannot hold documents", path)
        elif is_wanted(posixpath.basename(path)):
            result.entries[path] = entry
    if links:
        _follow(repository, found, sorted(links), result)
    return result


def _is_ignored(path: str) -> bool:
    return any(is_ignored(part) for part in path.split("/"))


def _follow(
    repository: Repository, found: Mapping[str, git.TreeEntry], links: list[str], result: Listing
) -> None:
    """Take what symlinks lead to, unless that is elsewhere, nowhere or part of the tree already."""
    every = sorted({entry.oid for entry in found.values() if entry.is_symlink})
    texts = {oid: text.decode("utf-8", "replace") for oid, text in git.blobs(repository.folder, every)}
    taken = set(result.entries)
    for link in links:
        area = area_of(link)
        bound = f"{TREE}/domains/{area}/" if area else ""
        path = link
        for _ in range(_MAX_LINKS):
            entry = found.get(path)
            if entry is None or not entry.is_symlink:
                break
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), texts[entry.oid]))
        below = f"{path}/" if path != "." else ""
        if path.startswith(("/", "..")) or not f"{path}/".startswith(bound):
            where = "its domain's folder" if area else "the source"
            result.problems[link] = Diagnostic("E302", f"the symlink leads out of {where}", link)
        elif path in found and not found[path].is_symlink:
            if path not in taken and is_wanted(posixpath.basename(link)):
                taken.add(path)
                result.entries[link] = found[path]
        elif not (inner := [each for each in found if each.startswith(below)]):
            result.problems[link] = Diagnostic("E302", "the symlink leads nowhere", link)
        else:
            for each in inner:
                name = f"{link}/{each[len(below) :]}"
                if each not in taken and not found[each].is_symlink and is_taken(name[len(link) + 1 :]):
                    taken.add(each)
                    result.entries[name] = found[each]


def stamp_of(entry: git.TreeEntry) -> FileStamp:
    """What stands for a file of a tree: its content's name says all."""
    return FileStamp(0, int(entry.oid[:15], 16), entry.size, entry.oid)


def snapshot_of(
    repository: Repository, found: Listing, known: Mapping[str, FileStamp], revision: Revision
) -> Snapshot:
    """Read the contents that are not known and make it a snapshot."""
    stamps = {path: stamp_of(entry) for path, entry in found.entries.items()}
    wanted = stale(known, stamps)
    sizes = {found.entries[path].oid: found.entries[path].size for path in wanted}
    contents = dict(git.blobs(repository.folder, [oid for oid, size in sizes.items() if size < READ_LIMIT]))
    files = {
        path: SourceFile(
            path,
            stamp,
            contents.get(stamp.digest, b"\0" * READ_LIMIT) if path in wanted else None,
        )
        for path, stamp in stamps.items()
    }
    return Snapshot(files, revision, changed_paths(known, files, found.problems), found.problems)


def read_revision(folder: Path | str, revision: str) -> Snapshot:
    """All files of a commit, for comparing two of them offline. Raises GitError with git's words."""
    repository = Repository.at(folder)
    commit = git.commit_of(repository.folder, revision)
    if not commit:
        raise git.GitError(f"there is no revision `{revision}`")
    return snapshot_of(repository, listing(repository, commit), {}, Revision(commit))

"""A folder as the source: what a person or git wrote there, taken only when it is all of one moment.

The order is the promise: is git busy? - look - read what changed - is git busy? - look again - is git busy? Only when
both looks are equal, and git was never busy, is it a snapshot. Whoever writes at the same time changes a time, an
inode or a folder, and the second look differs.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from reconciler.core.diagnostics import Diagnostic
from reconciler.core.model import Revision
from reconciler.ports.source import (
    ATTACHMENTS,
    TREE,
    FileStamp,
    Held,
    HeldReason,
    Snapshot,
    SourceFile,
    Watch,
    covering,
    is_document,
    problem_digest,
)
from reconciler.sources import git, worktree
from reconciler.sources.scan import Entry, Look, Moved, Scanner, blob_id, read

TRIES: Final = 5
FRESH_SECONDS: Final = 2.0
"""A file written so shortly ago may be written again without a change of its times (FAT has 2 s, as git assumes)."""

SETTLE_SECONDS: Final = 1.0
"""A removal is believed when it has stood for so long: an editor, rsync or `rm -rf` may be half way."""

TICK_SECONDS: Final = 0.02

_RETRY: Final = {HeldReason.GIT_BUSY: 0.1, HeldReason.CHANGING: 0.1, HeldReason.SETTLING: 0.05}


class FolderSource:
    """The files below `root/jobs.d`. `root` may be a symlink (git-sync) or hold some (a ConfigMap)."""

    mode = "folder"

    def __init__(self, root: Path | str) -> None:
        self.root = str(root)
        self._worktree: worktree.Worktree | None = None
        self._missing_since: dict[str, float] = {}
        self._told: tuple[worktree.HeadKey, dict[str, str], Revision] | None = None

    def snapshot(self, known: Mapping[str, FileStamp], now: float) -> Snapshot | Held:
        """Give the files as they are, reading those whose stamp differs from `known`, or say why not now."""
        contents: dict[Entry, bytes] = {}
        for _ in range(TRIES):
            outcome = self._attempt(known, now, contents)
            if not (isinstance(outcome, Held) and outcome.reason is HeldReason.CHANGING):
                break
        if isinstance(outcome, Held) and outcome.reason is not HeldReason.SETTLING:
            # What was missing may have been there meanwhile, where this look could not see it.
            self._missing_since.clear()
        return outcome

    def approve(self, digest: str) -> None:
        """Nothing of a folder waits for an approval."""

    def sync(self) -> None:
        """A folder is always looked at as it is."""

    def watch(self, hint: Callable[[], None]) -> Watch:
        """Call `hint` from a thread soon after a file changed; it misses things, so look from time to time anyway."""
        from reconciler.sources.watch import Watcher

        return Watcher(self.root, hint)

    def _attempt(
        self, known: Mapping[str, FileStamp], now: float, contents: dict[Entry, bytes]
    ) -> Snapshot | Held:
        root = os.path.realpath(self.root)
        tree = self._enclosing(root)
        if tree is not None and (busy := tree.busy()):
            return held(HeldReason.GIT_BUSY, busy)
        key = tree.head_key() if tree else ()
        look = _look(root)
        if isinstance(look, Held):
            return look
        files, problems = {}, dict(look.problems)
        wanted = stale(known, look.files)
        for path, entry in look.files.items():
            if path not in wanted:
                files[path] = SourceFile(path, known[path])
                continue
            try:
                content = contents.get(entry)
                if content is None:
                    content = contents[entry] = read(entry)
            except Moved:
                return held(HeldReason.CHANGING, f"{path} is being written")
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ESTALE):
                    return held(HeldReason.CHANGING, f"{path} is being replaced")
                problems[path] = Diagnostic("E301", f"the file cannot be read: {error.strerror}", path)
                continue
            algorithm = tree.algorithm if tree else "sha1"
            files[path] = SourceFile(path, _stamp(entry, content, algorithm, now), content)
        changed = changed_paths(known, files, problems)
        if changed or contents:
            again = self._still(root, tree, key, look)
            if again is not None:
                return again
        if (settling := self._settling(known, look, problems, tree, now)) is not None:
            return settling
        revision, notices = self._revision(root, look, files, tree, key)
        return Snapshot(files, revision, changed, problems, notices)

    def _enclosing(self, root: str) -> worktree.Worktree | None:
        """Find the working tree anew each time, since it may have come or gone, but keep what is known of it."""
        found = worktree.find(root)
        if found is None or self._worktree is None or found.identity != self._worktree.identity:
            self._worktree = found
        return self._worktree

    def _still(
        self, root: str, tree: worktree.Worktree | None, key: worktree.HeadKey, look: Look
    ) -> Held | None:
        """Look again: None when nothing moved since the first look."""
        for last in (False, True):
            if tree is not None and (busy := tree.busy()):
                return held(HeldReason.GIT_BUSY, busy)
            if last:
                break
            again = _look(root, look)
            if isinstance(again, Held):
                return again
            if again != look:
                return held(HeldReason.CHANGING, "files are being written")
        if os.path.realpath(self.root) != root or (tree is not None and tree.head_key() != key):
            return held(HeldReason.CHANGING, "the source is being switched to another version")
        return None

    def _settling(
        self,
        known: Mapping[str, FileStamp],
        look: Look,
        problems: Mapping[str, Diagnostic],
        tree: worktree.Worktree | None,
        now: float,
    ) -> Held | None:
        """Hold while a file is missing only since a moment ago, unless it was git that removed it and is done."""
        missing = [path for path in known if path not in look.files and not covering(path, problems)]
        self._missing_since = {path: self._missing_since.get(path, now) for path in missing}
        finished = tree.finished_ns() if tree else 0
        # Within one tick of the kernel's clock something else may have removed files right after git.
        by_git = finished if finished <= (now - TICK_SECONDS) * 1e9 else 0
        for path in missing:
            removed_ns = _folder_changed_ns(path, look)
            quiet = removed_ns <= by_git or 0 <= removed_ns <= (now - SETTLE_SECONDS) * 1e9
            if not quiet and abs(now - self._missing_since[path]) < SETTLE_SECONDS:
                return held(HeldReason.SETTLING, f"{path} is missing since a moment ago")
        return None

    def _revision(
        self,
        root: str,
        look: Look,
        files: Mapping[str, SourceFile],
        tree: worktree.Worktree | None,
        key: worktree.HeadKey,
    ) -> tuple[Revision, tuple[str, ...]]:
        top = f"{tree.top.rstrip('/')}/" if tree else ""
        digests = {look.files[path].real.removeprefix(top): file.stamp.digest for path, file in files.items()}
        if self._told is not None and self._told[:2] == (key, digests):
            return self._told[2], ()
        notices: tuple[str, ...] = ()
        try:
            if tree is None:
                revision = Revision(content_id(files))
            else:
                below = os.path.relpath(os.path.join(root, TREE), tree.top)
                revision = tree.revision(key, digests, below)
        except git.GitError as error:
            revision = Revision(content_id(files), dirty=True)
            notices = (f"git cannot tell the revision: {error}",)
        else:
            self._told = (key, digests, revision)
        return revision, notices


def stale(known: Mapping[str, FileStamp], seen: Mapping[str, Entry | FileStamp]) -> set[str]:
    """Which files to read: those with another stamp than known and, since a document is loaded together with what
    it refers to, the documents beside or above a changed attachment, and then all attachments.
    """
    wanted = set()
    for path, (changed_ns, inode, size, _) in seen.items():
        stamp = known.get(path)
        if stamp is None or stamp[0] != changed_ns or stamp[1] != inode or stamp[2] != size:
            wanted.add(path)
    attachments = {path for path in seen if path.endswith(ATTACHMENTS)}
    gone = {path for path in known if path not in seen and path.endswith(ATTACHMENTS)}
    changed = gone | (wanted & attachments)
    folders = {parent for path in changed for parent in _parents(path)}
    if folders:
        wanted.update(path for path in seen if is_document(path) and posixpath.dirname(path) in folders)
    return wanted | attachments if wanted else wanted


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def held(reason: HeldReason, message: str) -> Held:
    return Held(reason, message, _RETRY.get(reason, 5.0))


def content_id(files: Mapping[str, SourceFile]) -> str:
    """What names a state of the files where there is no commit."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path}\0{files[path].stamp.digest}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:40]


def _look(root: str, before: Look | None = None) -> Look | Held:
    try:
        return Scanner(root, before).scan()
    except FileNotFoundError:
        name = os.path.join(root, TREE)
        return held(HeldReason.MISSING, f"there is no folder {name}; nothing is changed until it is back")
    except OSError as error:
        text = error.strerror or str(error)
        return held(HeldReason.UNREADABLE, f"{os.path.join(root, TREE)} cannot be read: {text}")


def _stamp(entry: Entry, content: bytes, algorithm: str, now: float) -> FileStamp:
    fresh = entry.changed_ns > (now - FRESH_SECONDS) * 1e9
    return FileStamp(-1 if fresh else entry.changed_ns, entry.inode, entry.size, blob_id(content, algorithm))


def changed_paths(
    known: Mapping[str, FileStamp], files: Mapping[str, SourceFile], problems: Mapping[str, Diagnostic]
) -> frozenset[str]:
    """Which paths have another content, presence or problem than is known."""
    changed = {
        path
        for path, file in files.items()
        if file.content is not None and (path not in known or known[path].digest != file.stamp.digest)
    }
    changed.update(
        path
        for path, problem in problems.items()
        if path not in known or known[path].digest != problem_digest(problem)
    )
    changed.update(path for path in known if path not in files and not covering(path, problems))
    return frozenset(changed)


def _folder_changed_ns(path: str, look: Look) -> int:
    """When the nearest folder that is still there last changed, which is not before the file was removed."""
    while path:
        path = path.rpartition("/")[0]
        if path in look.folders:
            return look.folders[path][0]
    return 0

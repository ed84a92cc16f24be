"""One look at all files below `jobs.d`: what is there, by names and stamps, without reading any of them.

Two looks that are equal have seen the same files: every file's and every folder's times, inode and size are compared,
and the real paths behind symlinks.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from reconciler.core.diagnostics import Diagnostic
from reconciler.ports.source import DOMAINS, READ_LIMIT, TREE, WANTED, area_of, is_ignored, is_wanted

MAX_FILES: Final = 200_000
MAX_DEPTH: Final = 32


class Entry(NamedTuple):
    """A file as seen by one look. `real` is the path to open, with no symlink in its last part."""

    changed_ns: int
    inode: int
    size: int
    real: str


@dataclass(slots=True)
class Look:
    """What one scan saw. A problem may be a folder's: then it stands for all that is known below it."""

    files: dict[str, Entry] = field(default_factory=dict)
    folders: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """(changed_ns, inode, real path) of each folder by path."""
    problems: dict[str, Diagnostic] = field(default_factory=dict)


def changed_ns(status: os.stat_result) -> int:
    """The later of the last write and the last change of any kind.

    An editor or rsync may set the time of the last write back; nobody can set the other.
    """
    written, changed = status.st_mtime_ns, status.st_ctime_ns
    return written if written > changed else changed


class _Link(NamedTuple):
    path: str
    actual: str


class Scanner:
    """One scan below a root whose real path is known. What is the same as `before` is not kept twice."""

    def __init__(self, root: str, before: Look | None = None) -> None:
        self.look = Look()
        self._before = before.files if before is not None else {}
        self._root = root
        self._tree = os.path.realpath(os.path.join(root, TREE))
        self._areas: dict[str, str] = {}
        self._links: list[_Link] = []
        self._visited: set[tuple[int, int]] = set()
        self._taken: set[str] | None = None
        """The real paths of all files so far; None before the first symlink, when none can come twice."""

    def scan(self) -> Look:
        """Walk real folders first and then, each once, what symlinks lead to."""
        self._walk(TREE, self._tree)
        if self._links:
            self._taken = {entry.real for entry in self.look.files.values()}
        while self._links:
            links, self._links = sorted(self._links), []
            for link in links:
                self._follow(link)
        return self.look

    def _walk(self, path: str, actual: str) -> None:
        """Scan one real folder and all real folders below it."""
        pending = [(path, actual)]
        while pending:
            path, actual = pending.pop()
            try:
                status = os.stat(actual)
                if (status.st_dev, status.st_ino) in self._visited:
                    continue
                self._visited.add((status.st_dev, status.st_ino))
                self.look.folders[path] = (changed_ns(status), status.st_ino, actual)
                if path.startswith(DOMAINS) and path.count("/") == 2:
                    self._areas[path[len(DOMAINS) :]] = actual
                pending.extend(self._list(path, actual))
            except FileNotFoundError:
                # It vanished since its parent was listed, which the second look will notice too.
                if path == TREE:
                    raise
            except OSError as error:
                if path == TREE:
                    raise
                self._problem(path, "E301", f"the folder cannot be read: {error.strerror}")

    def _list(self, path: str, actual: str) -> list[tuple[str, str]]:
        folders: list[tuple[str, str]] = []
        files = self.look.files
        with os.scandir(actual) as entries:
            for entry in entries:
                name = entry.name
                wanted = name.endswith(WANTED)
                if name[0] == "." or (not wanted and is_ignored(name)):
                    continue
                inner = f"{path}/{name}"
                if not name.isascii() and not _is_text(name):
                    self._problem(_escaped(inner), "E304", "the name is not UTF-8 text")
                elif entry.is_symlink():
                    self._links.append(_Link(inner, entry.path))
                elif entry.is_dir(follow_symlinks=False):
                    if path.count("/") >= MAX_DEPTH:
                        self._problem(inner, "E304", f"folders are nested more than {MAX_DEPTH} deep")
                    else:
                        folders.append((inner, entry.path))
                elif wanted:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    self._file(inner, entry.path, status)
        if len(files) > MAX_FILES:
            raise OSError(0, f"more than {MAX_FILES:,} files")
        return folders

    def _file(self, path: str, real: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            self._problem(path, "E304", "it is not a file but a device, a pipe or a socket")
            return
        if self._taken is not None:
            if real in self._taken:
                return
            self._taken.add(real)
        entry = Entry(changed_ns(status), status.st_ino, status.st_size, real)
        before = self._before.get(path)
        self.look.files[path] = before if before == entry else entry

    def _follow(self, link: _Link) -> None:
        """Take what a symlink leads to, unless that is elsewhere, nowhere or part of the tree already."""
        path, actual = link
        real = os.path.realpath(actual)
        if not self._is_inside(path, real):
            bound = "its domain's folder" if area_of(path) else "the source"
            self._problem(path, "E302", f"the symlink leads out of {bound}")
            return
        try:
            status = os.stat(real)
        except OSError:
            self._problem(path, "E302", "the symlink leads nowhere")
            return
        if stat.S_ISDIR(status.st_mode):
            self._walk(path, real)
        elif is_wanted(os.path.basename(path)):
            self._file(path, real, status)

    def _is_inside(self, path: str, real: str) -> bool:
        """Whether a symlink at `path` may lead to `real`: a domain's stay in its folder, others in the source."""
        domain = area_of(path)
        bounds = (self._areas.get(domain, self._tree),) if domain else (self._root, self._tree)
        return any(real == bound or real.startswith(f"{bound.rstrip('/')}/") for bound in bounds)

    def _problem(self, path: str, code: str, message: str) -> None:
        self.look.problems[path] = Diagnostic(code, message, path)


def _is_text(name: str) -> bool:
    return name.isascii() or not any("\udc80" <= each <= "\udcff" for each in name)


def _escaped(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class Moved(Exception):
    """A file is not what the scan saw any more."""


def read(entry: Entry) -> bytes:
    """The content of a scanned file, up to `READ_LIMIT`; raise `Moved` when it is another file by now."""
    try:
        # O_NONBLOCK: a pipe that took the file's place must not stop us for ever.
        handle = os.open(entry.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Moved(entry.real) from error
    try:
        status = os.fstat(handle)
        if (changed_ns(status), status.st_ino, status.st_size) != entry[:3]:
            raise Moved(entry.real)
        content = os.read(handle, min(READ_LIMIT, status.st_size + 1))
        while 0 < len(content) < min(READ_LIMIT, status.st_size):
            more = os.read(handle, READ_LIMIT - len(content))
            if not more:
                break
            content += more
        return content
    finally:
        os.close(handle)


def blob_id(content: bytes, algorithm: str = "sha1") -> str:
    """git's name of a content: for comparing with what was read before, and with git's trees."""
    digest = hashlib.new(algorithm, b"blob %d\0" % len(content), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest()

"""What the files that a pattern matches look like now: one digest of their paths, sizes, times and inodes."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

MAX_FILES: Final = 100_000
"""More files of one job are not looked at; the digest says that there are more."""

_WILD: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Appearance:
    """`digest` is the same as long as nothing was added, removed, replaced or written to."""

    digest: str
    files: int
    is_whole: bool
    """False when there are more files than are looked at."""


def appearance(patterns: Sequence[str]) -> Appearance:
    """Look at all files that the patterns match, now. Never raises on what it finds.

    `*`, `?` and `[...]` match within a name, `**` any number of folders. As in a shell, they leave out names with a
    leading dot; a folder itself counts only where it is named without them. `**` does not follow links to folders.
    """
    hashed, files, is_whole = hashlib.sha256(), 0, True
    for path, status in sorted(_all(patterns).items()):
        if files >= MAX_FILES:
            is_whole = False
            break
        files += 1
        line = f"{path}\0{status}\n"
        hashed.update(line.encode("utf-8", "surrogateescape"))
    return Appearance(f"{_name_of(tuple(patterns))}:{hashed.hexdigest()[:32]}", files, is_whole)


@functools.lru_cache(maxsize=4096)
def _name_of(patterns: tuple[str, ...]) -> str:
    """Names what is looked at, so that other patterns begin anew instead of seeming to be a change."""
    return hashlib.sha256("\0".join(patterns).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _all(patterns: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pattern in patterns:
        for path in _matches(pattern):
            if path not in found:
                found[path] = _status(path)
            if len(found) > MAX_FILES:
                return found
    return found


def _status(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError as error:
        return type(error).__name__
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def _matches(pattern: str) -> Iterator[str]:
    """The paths that a pattern matches; the part before its first wildcard is not searched for."""
    parts = [part for part in pattern.split("/") if part]
    fixed = next((n for n, part in enumerate(parts) if _WILD.search(part)), len(parts))
    base = "/" + "/".join(parts[:fixed])
    if fixed == len(parts):
        if os.path.lexists(base):
            yield base
        return
    yield from _below(base, tuple(parts[fixed:]))


def _below(folder: str, parts: tuple[str, ...]) -> Iterator[str]:
    """The files below a folder that match the rest of a pattern, each at least once."""
    first, rest = parts[0], parts[1:]
    if not rest and first != "**" and not _WILD.search(first):
        path = os.path.join(folder, first)
        if os.path.lexists(path):
            yield path
        return
    if first == "**" and rest:
        yield from _below(folder, rest)
    matches = _matcher("*" if first == "**" else first)
    for entry in _entries(folder):
        if entry.name.startswith(".") and not first.startswith("."):
            continue
        if not matches(entry.name):
            continue
        is_folder = _is_folder(entry, follow=first != "**" and bool(rest))
        if first == "**" and is_folder:
            yield from _below(entry.path, parts)
        elif is_folder and rest:
            yield from _below(entry.path, rest)
        elif not rest and not is_folder and not _is_folder(entry, follow=True):
            yield entry.path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str], *, follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False


@functools.lru_cache(maxsize=1024)
def _matcher(part: str) -> functools.partial[re.Match[str] | None]:
    import fnmatch

    return functools.partial(re.fullmatch, re.compile(fnmatch.translate(part)))

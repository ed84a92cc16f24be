"""Where the desired files come from: a folder, a folder behind symlinks, or a git ref. All give the same snapshot.

A source never decides anything. It says what the files are, all of one moment, or why it cannot say so right now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from reconciler.core.diagnostics import Diagnostic
from reconciler.core.model import Revision

TREE: Final = "jobs.d"
"""The folder of documents below a source's root; all paths of a snapshot begin with it."""

DOMAINS: Final = f"{TREE}/domains/"
READ_LIMIT: Final = (1 << 20) + 1
"""No more of a file is read. The loader refuses files of more than 1 MiB, so this is enough to refuse it."""

DOCUMENTS: Final = (".yaml", ".yml")
ATTACHMENTS: Final = (".ics",)
"""Files that documents refer to; their content is part of the snapshot as well."""

WANTED: Final = DOCUMENTS + ATTACHMENTS


class FileStamp(NamedTuple):
    """What a file was when it was read; the row of table `files`.

    `mtime_ns` is the later of the times of its last write and of its last change of any kind, or -1: to be read again.
    `digest` is git's name of the content (its blob id).
    """

    mtime_ns: int
    inode: int
    size: int
    digest: str


class SourceFile(NamedTuple):
    """A file of a snapshot. `content` is None when it is the known one and was not read."""

    path: str
    stamp: FileStamp
    content: bytes | None = None


class HeldReason(StrEnum):
    """Why there is no snapshot now. The values are stable: they are reasons of the condition `SourceReady`."""

    GIT_BUSY = "GitBusy"
    CHANGING = "Changing"
    SETTLING = "Settling"
    MISSING = "SourceMissing"
    UNREADABLE = "SourceUnreadable"
    REF_MISSING = "RefMissing"
    NOT_FAST_FORWARD = "NotFastForward"
    GIT_FAILED = "GitFailed"


@dataclass(frozen=True, slots=True)
class Held:
    """No snapshot at this moment; what is applied stays. Ask again after `retry_seconds`."""

    reason: HeldReason
    message: str
    retry_seconds: float
    approval: str = ""
    """The digest whose approval ends this (a ref that was moved back or aside)."""

    @property
    def is_passing(self) -> bool:
        """Whether waiting a moment is likely to help, so that a one-time command should wait."""
        return self.reason in (HeldReason.GIT_BUSY, HeldReason.CHANGING, HeldReason.SETTLING)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All files of one moment. `problems` are files that are there and cannot be used, by path."""

    files: Mapping[str, SourceFile]
    revision: Revision
    changed: frozenset[str] = frozenset()
    """Paths whose content, presence or problem differs from what was known: empty when nothing is to be done."""
    problems: Mapping[str, Diagnostic] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    """What is wrong around the source and does not touch what it says: `origin cannot be reached: ...`."""


class Source(Protocol):
    """A place that desired files come from."""

    mode: str
    """`folder` or `ref`, for status and metrics."""

    def snapshot(self, known: Mapping[str, FileStamp], now: float) -> Snapshot | Held:
        """Read what changed against `known`; `now` is the wall time in epoch seconds."""

    def approve(self, digest: str) -> None:
        """Take note of an approval, for sources that may be held until one is given."""

    def sync(self) -> None:
        """Look at what is far away at the next snapshot, whatever the interval."""

    def watch(self, hint: Callable[[], None]) -> Watch | None:
        """Call `hint` from another thread soon after something may have changed, until closed."""


class Watch(Protocol):
    """Hints are never complete; a periodic `snapshot` finds what they miss."""

    def close(self) -> None:
        """End the hints, and wait until the last call has returned."""


def is_ignored(name: str) -> bool:
    """Whether a file or folder of this name is none of ours: dotfiles, backups, temporary files of editors."""
    return (
        name.startswith(".")
        or name.endswith(("~", ".tmp"))
        or name == "4913"
        or (len(name) > 3 and name[-4:-1] == ".sw")
    )


def is_document(path: str) -> bool:
    """Whether a file holds documents, going by its name."""
    return path.endswith(DOCUMENTS)


def is_wanted(name: str) -> bool:
    """Whether a file of this name is part of the source: a document, or something that documents refer to."""
    return name.endswith(WANTED) and not is_ignored(name)


def is_taken(path: str) -> bool:
    """Whether a file at this path is part of the source: of a wanted name, and in no folder that is none of ours."""
    *folders, name = path.split("/")
    return is_wanted(name) and not any(map(is_ignored, folders))


def covering(path: str, problems: Collection[str]) -> str:
    """The path of the problem that a path suffers from, its own or that of a folder above it, or ""."""
    if not problems:
        return ""
    while path:
        if path in problems:
            return path
        path = path.rpartition("/")[0]
    return ""


def area_of(path: str) -> str | None:
    """Say whose area a path of a snapshot lies in; the folder alone decides.

    None is the system area; a name is that domain's; "" is the folder `domains` itself, where no document may stand.
    """
    if not path.startswith(DOMAINS):
        return None
    domain, slash, _ = path[len(DOMAINS) :].partition("/")
    return domain if slash else ""


def problem_digest(problem: Diagnostic) -> str:
    """What stands for the content of a file that cannot be used, so that the same problem is not news again."""
    return f"{problem.code}:{hashlib.sha256(problem.message.encode()).hexdigest()[:16]}"

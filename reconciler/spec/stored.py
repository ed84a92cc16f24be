"""What is kept of the source over restarts: the last good version of every document, and what each file was.

These are the rows of the tables `objects` and `files`. Unchanged files are neither read nor parsed again: their
objects come from here, so a restart needs no YAML and no pydantic.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from reconciler.core.diagnostics import Diagnostic
from reconciler.core.model import Revision
from reconciler.ports.source import FileStamp
from reconciler.spec.objects import Identity, SpecObject

WITHOUT_EFFECT: Final = "without effect"
"""How `held` begins for an object whose references fail."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The version of a document that is in force. `held` says why it is not the source's, "" when it is."""

    object: SpecObject
    revision: str = ""
    held: str = ""

    @property
    def is_inert(self) -> bool:
        """Whether it is kept without effect, since what it refers to is not there."""
        return self.held.startswith(WITHOUT_EFFECT)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What a file was when it was last read, what is wrong with it, and which objects its last good version had."""

    stamp: FileStamp
    rejected: tuple[Diagnostic, ...] = ()
    objects: tuple[Identity, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """The accepted state of the source."""

    objects: Mapping[Identity, StoredObject] = field(default_factory=dict)
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    revision: Revision = field(default_factory=Revision)
    """Which state of the source was accepted last."""

    def known(self) -> dict[str, FileStamp]:
        """What a source may take as read: a file that is rejected, or not in force as it is, is read again."""
        return {
            path: file.stamp if self._is_in_force(path, file) else file.stamp._replace(mtime_ns=-1)
            for path, file in self.files.items()
        }

    def _is_in_force(self, path: str, file: StoredFile) -> bool:
        if file.rejected:
            return False
        for identity in file.objects:
            stored = self.objects.get(identity)
            if stored is None or stored.held or stored.object.path != path:
                return False
        return True

    @property
    def rejected(self) -> dict[str, tuple[Diagnostic, ...]]:
        """What is wrong, by file."""
        return {path: file.rejected for path, file in self.files.items() if file.rejected}

    @property
    def held(self) -> dict[Identity, str]:
        """Objects at their last good version, and why."""
        return {identity: stored.held for identity, stored in self.objects.items() if stored.held}

    def specs(self) -> dict[Identity, SpecObject]:
        return {identity: stored.object for identity, stored in self.objects.items()}


@dataclass(frozen=True, slots=True)
class Rows:
    """What to write to one table: rows in the order of its columns, and the keys of rows to delete."""

    put: list[tuple[Any, ...]]
    gone: list[Any]


def applied_revision(source: Mapping[str, Any]) -> Revision:
    """What the value `source` of the state (store/schema.py) says was applied last."""
    return Revision(source.get("revision", ""), bool(source.get("dirty")), source.get("signer", ""))


def stored_from_rows(
    objects: Iterable[Mapping[str, Any]], files: Iterable[Mapping[str, Any]], revision: Revision
) -> Stored:
    """Read the tables `objects` and `files` back; `revision` is what they were accepted from."""
    # Ten thousand documents say the same words: each is kept once.
    share: dict[Any, Any] = {}
    found = {each.object.identity: each for each in (_object_from_row(row, share) for row in objects)}
    share.update((identity, identity) for identity in found)
    return Stored(
        found,
        {share.setdefault(row["path"], row["path"]): _file_from_row(row, share) for row in files},
        revision,
    )


def object_rows(before: Stored, after: Stored) -> Rows:
    """What differs in table `objects`."""
    return Rows(
        [
            _object_row(stored)
            for key, stored in after.objects.items()
            if (known := before.objects.get(key)) is not stored and known != stored
        ],
        [key for key in before.objects if key not in after.objects],
    )


def file_rows(before: Stored, after: Stored) -> Rows:
    """What differs in table `files`."""
    return Rows(
        [
            _file_row(path, file)
            for path, file in after.files.items()
            if (known := before.files.get(path)) is not file and known != file
        ],
        [path for path in before.files if path not in after.files],
    )


def _object_row(stored: StoredObject) -> tuple[Any, ...]:
    spec = stored.object
    return (
        *spec.identity,
        spec.path,
        spec.line,
        spec.digest,
        stored.revision,
        stored.held,
        spec.text.decode("ascii"),
    )


def _object_from_row(row: Mapping[str, Any], share: dict[Any, Any]) -> StoredObject:
    kind, domain, path, revision = (
        share.setdefault(row[name], row[name]) for name in ("kind", "domain", "path", "revision")
    )
    spec = SpecObject(
        kind,
        domain,
        row["name"],
        path,
        row["line"],
        row["digest"],
        row["body"].encode("ascii"),
    )
    return StoredObject(spec, revision, row["held"])


def _file_row(path: str, file: StoredFile) -> tuple[Any, ...]:
    rejected = json.dumps([asdict(each) for each in file.rejected]) if file.rejected else ""
    objects = json.dumps(file.objects, separators=(",", ":"))
    return (path, *file.stamp, rejected, objects)


def _file_from_row(row: Mapping[str, Any], share: dict[Any, Any]) -> StoredFile:
    identities = (Identity(*each) for each in json.loads(row["objects"]))
    return StoredFile(
        FileStamp(row["mtime_ns"], row["inode"], row["size"], row["digest"]),
        diagnostics_from_json(row["rejected"]),
        tuple(share.get(each, each) for each in identities),
    )


def diagnostics_from_json(text: str) -> tuple[Diagnostic, ...]:
    """The diagnostics in column `rejected` of table `files`."""
    if not text:
        return ()
    items: Sequence[dict[str, Any]] = json.loads(text)
    return tuple(
        Diagnostic(**{**item, "snippet": tuple(item["snippet"]), "field": tuple(item["field"])})
        for item in items
    )

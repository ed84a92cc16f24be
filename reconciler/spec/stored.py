"""What is kept of the source over restarts: the last good version of every document, and what each file was.

These are the rows of the tables `objects` and `files`. Unchanged files are neither read nor parsed again: their
objects come from here, so a restart needs no YAML and no pydantic.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import starmap
from typing import Any, Final, NamedTuple

from reconciler.core.diagnostics import Diagnostic
from reconciler.core.model import Revision
from reconciler.ports.source import FileStamp
from reconciler.spec.objects import Identity, SpecObject

WITHOUT_EFFECT: Final = "without effect"
"""How `held` begins for an object whose references fail."""


class StoredObject(NamedTuple):
    """The version of a document that is in force. `held` says why it is not the source's, "" when it is."""

    object: SpecObject
    revision: str = ""
    held: str = ""

    @property
    def is_inert(self) -> bool:
        """Whether it is kept without effect, since what it refers to is not there."""
        return self.held.startswith(WITHOUT_EFFECT)


class StoredFile(NamedTuple):
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
        known: dict[str, FileStamp] = {}
        for path, (stamp, rejected, identities) in self.files.items():
            is_in_force = not rejected
            for identity in identities:
                stored = self.objects.get(identity)
                if stored is None or stored.held or stored.object.path != path:
                    is_in_force = False
            known[path] = stamp if is_in_force else stamp._replace(mtime_ns=-1)
        return known

    @property
    def rejected(self) -> dict[str, tuple[Diagnostic, ...]]:
        """What is wrong, by file."""
        return {path: file.rejected for path, file in self.files.items() if file.rejected}

    @property
    def held(self) -> dict[Identity, str]:
        """Objects at their last good version, and why."""
        return {identity: stored.held for identity, stored in self.objects.items() if stored.held}

    @property
    def administrators(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and spec of each Administrator in force."""
        return [
            (key.name, stored.object.spec) for key, stored in self.objects.items() if key.kind == "Administrator"
        ]

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
    objects: Iterable[Sequence[Any]], files: Iterable[Sequence[Any]], revision: Revision
) -> Stored:
    """Read the tables back, as `ports.database` asks for them; `revision` is what they were accepted from."""
    # Ten thousand documents say the same words: each is kept once.
    share: dict[Any, Any] = {}
    once = share.setdefault
    found: dict[Identity, StoredObject] = {}
    for kind, domain, name, path, line, digest, revised, held, text in objects:
        identity = Identity(once(kind, kind), once(domain, domain), name)
        spec = SpecObject(identity[0], identity[1], name, once(path, path), line, digest, text)
        found[identity] = StoredObject(spec, once(revised, revised), held)
        share[identity] = identity
    return Stored(
        found,
        {
            once(path, path): StoredFile(
                FileStamp(mtime_ns, inode, size, digest),
                diagnostics_from_json(rejected),
                tuple(once(each, each) for each in starmap(Identity, json.loads(named))),
            )
            for path, mtime_ns, inode, size, digest, rejected, named in files
        },
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


def _file_row(path: str, file: StoredFile) -> tuple[Any, ...]:
    rejected = json.dumps([asdict(each) for each in file.rejected]) if file.rejected else ""
    objects = json.dumps(file.objects, separators=(",", ":"))
    return (path, *file.stamp, rejected, objects)


def diagnostics_from_json(text: str) -> tuple[Diagnostic, ...]:
    """The diagnostics in column `rejected` of table `files`."""
    if not text:
        return ()
    items: Sequence[dict[str, Any]] = json.loads(text)
    return tuple(
        Diagnostic(**{**item, "snippet": tuple(item["snippet"]), "field": tuple(item["field"])})
        for item in items
    )

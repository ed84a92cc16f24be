"""From a snapshot to accepted objects: what is valid is taken, what is not stays as it last was.

The rules (CONTRACT, "Invalid file"): the unit of rejection is the file; last good is kept per object; an object is
held while the path that it came from is there and rejected; a valid document of the same identity elsewhere wins at
once; a duplicate rejects both; an object whose references fail is rejected with its dependents. Objects disappear only
when their document demonstrably does: not while a file that might hold it cannot be read, not when nothing at all was
read, and when the Installation is missing the source is broken and nothing changes.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from reconciler.core.desired import Desired
from reconciler.core.diagnostics import Diagnostic
from reconciler.ports.source import FileStamp, Snapshot, area_of, covering, is_document, problem_digest
from reconciler.spec.objects import DOMAIN_KINDS, Identity, LoadedFile, SpecObject, duplicate
from reconciler.spec.stored import WITHOUT_EFFECT, Stored, StoredFile, StoredObject

INSTALLATION_MISSING: Final = "InstallationMissing"
NOTHING_READ: Final = "NothingRead"
TRANSACTIONAL: Final = "FilesRejected"

HELD_FILE: Final = "its file is rejected"


class Resolution(Protocol):
    """What resolving gives (`spec.resolve.Resolved`)."""

    @property
    def desired(self) -> Desired: ...
    @property
    def diagnostics(self) -> Iterable[Diagnostic]: ...
    @property
    def rejected(self) -> Collection[Any]:
        """The identities of objects whose references fail, dependents included."""


ReadBeside = Callable[[str], bytes | None]
Specs = Mapping[Identity, SpecObject]


@dataclass(frozen=True, slots=True)
class Loader:
    """How documents are read and resolved. Both import what they need when they are first called."""

    load: Callable[[str, bytes, str | None, ReadBeside], LoadedFile]
    """(path, content, area, a reader of files beside it) -> what the file holds."""
    resolve: Callable[[Specs, Specs, Collection[Identity]], Resolution]
    """(objects, last good versions, identities that are rejected and have none) -> what they ask for."""
    locate: Callable[[Diagnostic, bytes], Diagnostic]
    """Complete a diagnostic of resolving with its place in the text."""
    transactional: bool = False
    """Apply a state of the source as a whole or not at all."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What is in force now, and everything that is wrong with the source."""

    stored: Stored
    desired: Desired
    diagnostics: tuple[Diagnostic, ...]
    changed: frozenset[Identity]
    """Objects added, removed or with another content than before."""
    refused: str = ""
    """Why the whole state of the source is not taken (a reason), "" when it is."""
    refused_message: str = ""

    @property
    def rejected(self) -> dict[str, tuple[Diagnostic, ...]]:
        """Errors by file. A file here is kept at its last good version."""
        found: dict[str, list[Diagnostic]] = {}
        for each in self.diagnostics:
            if each.severity == "error":
                found.setdefault(each.path, []).append(each)
        return {path: tuple(each) for path, each in sorted(found.items())}

    @property
    def held(self) -> dict[Identity, str]:
        return self.stored.held

    @property
    def counts(self) -> dict[str, Counter[str]]:
        """Objects per kind, in all and held: `{"Job": {"active": 12, "held": 1}}`."""
        counts: dict[str, Counter[str]] = {}
        for identity, stored in self.stored.objects.items():
            counts.setdefault(identity.kind, Counter())["held" if stored.held else "active"] += 1
        return counts


def accept(before: Stored, snapshot: Snapshot, loader: Loader) -> Accepted:
    """Decide what is in force after `snapshot`, given what was before."""
    reading = _Reading(before, snapshot, loader)
    reading.load()
    reading.reject_duplicates()
    return reading.accept()


@dataclass(slots=True)
class _Reading:
    before: Stored
    snapshot: Snapshot
    loader: Loader
    unchanged: dict[str, StoredFile] = field(default_factory=dict)
    """Files that are in force as they are and were not read."""
    fresh: dict[str, dict[Identity, SpecObject]] = field(default_factory=dict)
    """The objects of each file that was read and could be loaded."""
    errors: dict[str, list[Diagnostic]] = field(default_factory=dict)
    """What is wrong, by file: these are rejected."""
    warnings: list[Diagnostic] = field(default_factory=list)
    named: dict[Identity, str] = field(default_factory=dict)
    """Whom rejected files speak of."""

    def load(self) -> None:
        """Load what was read; take the rest from what is stored."""
        for path, problem in self.snapshot.problems.items():
            self.errors[path] = [problem]
        for path, file in self.snapshot.files.items():
            if not is_document(path):
                continue
            if file.content is None:
                self.unchanged[path] = self.before.files[path]
                continue
            loaded = self.loader.load(path, file.content, area_of(path), self._beside(path))
            self.warnings += [each for each in loaded.diagnostics if each.severity != "error"]
            wrong = [each for each in loaded.diagnostics if each.severity == "error"]
            if wrong:
                self.errors[path] = wrong
                self.named.update(dict.fromkeys(loaded.named, path))
            else:
                self.fresh[path] = {each.identity: each for each in loaded.objects}
                if len(self.fresh[path]) < len(loaded.objects):
                    self._reject_twins(path, loaded.objects)

    def _beside(self, path: str) -> ReadBeside:
        folder = posixpath.dirname(path)

        def read(name: str) -> bytes | None:
            target = posixpath.normpath(posixpath.join(folder, name))
            file = self.snapshot.files.get(target) if target.startswith(f"{folder}/") else None
            return file.content if file else None

        return read

    def _reject_twins(self, path: str, objects: Iterable[SpecObject]) -> None:
        """Reject a file in which a document stands twice."""
        seen: dict[Identity, SpecObject] = {}
        for each in objects:
            first = seen.setdefault(each.identity, each)
            if first is not each:
                self._reject(path, self._located(duplicate(each, [first])))

    def reject_duplicates(self) -> None:
        """Reject every file with a document that stands in another one too."""
        places: dict[Identity, list[SpecObject]] = {}
        for objects in self.fresh.values():
            for identity, each in objects.items():
                places.setdefault(identity, []).append(each)
        for identity, found in places.items():
            known = self.before.objects.get(identity)
            unchanged = self.unchanged.get(known.object.path) if known else None
            if known is not None and unchanged is not None and identity in unchanged.objects:
                found.append(known.object)
            if len(found) > 1:
                for each in found:
                    self._reject(each.path, self._located(duplicate(each, found)))

    def _reject(self, path: str, diagnostic: Diagnostic) -> None:
        self.errors.setdefault(path, []).append(diagnostic)
        unchanged = self.unchanged.pop(path, None)
        spoken_of = unchanged.objects if unchanged else self.fresh.pop(path, {}).keys()
        self.named.update(dict.fromkeys(spoken_of, path))

    def accept(self) -> Accepted:
        objects, resolved = self._resolve()
        refused, message = self._refusal(objects)
        if refused:
            desired = resolve_all(self.before, self.loader)
            stored = replace(self.before, files={**self.before.files, **self._files(only_rejected=True)})
        else:
            stored = Stored(objects, self._files(), self.snapshot.revision)
            desired = replace(resolved.desired, revision=self.snapshot.revision)
        wrong = [each for errors in self.errors.values() for each in errors]
        warnings = {*self.warnings, *(each for each in resolved.diagnostics if each.severity != "error")}
        return Accepted(
            stored,
            desired,
            tuple(sorted({*wrong, *warnings}, key=lambda each: each.sort_key)),
            changed_identities(self.before, stored),
            refused,
            message,
        )

    def _resolve(self) -> tuple[dict[Identity, StoredObject], Resolution]:
        """Reject files with failing references until what is left holds together.

        Each round rejects a file or leaves out a last good version, so there are not more rounds than objects.
        """
        inert: dict[Identity, str] = {}
        last_good = self.before.specs()
        while True:
            objects = self._choose()
            effective = {key: stored.object for key, stored in objects.items() if key not in inert}
            broken = [*inert, *(key for key in self.named if key not in effective)]
            resolved = self.loader.resolve(effective, last_good, broken)
            failed = {Identity(*each) for each in resolved.rejected} - inert.keys()
            if not failed:
                return self._say_inert(objects, inert), resolved
            found = [each for each in resolved.diagnostics if each.severity == "error"]
            for identity in sorted(failed):
                stored = objects[identity]
                path = stored.object.path
                if stored.held or path in self.errors:
                    inert[identity] = next(
                        (e.message for e in found if e.path == path), "its references fail"
                    )
            for path in {objects[key].object.path for key in failed if key not in inert}:
                own = [each for each in found if each.path == path]
                for each in own or [Diagnostic("E201", "what it refers to is rejected", path)]:
                    self._reject(path, self._located(each))

    def _located(self, diagnostic: Diagnostic) -> Diagnostic:
        file = self.snapshot.files.get(diagnostic.path)
        if file is None or file.content is None:
            return diagnostic
        return self.loader.locate(diagnostic, file.content)

    def _say_inert(
        self, objects: dict[Identity, StoredObject], inert: Mapping[Identity, str]
    ) -> dict[Identity, StoredObject]:
        for identity, why in inert.items():
            if identity in objects:
                objects[identity] = objects[identity]._replace(held=f"{WITHOUT_EFFECT}: {why}")
        return objects

    def _choose(self) -> dict[Identity, StoredObject]:
        """The valid documents, and the last good version of each that did not demonstrably disappear."""
        chosen: dict[Identity, StoredObject] = {}
        commit = self.snapshot.revision.commit
        for file in self.unchanged.values():
            for identity in file.objects:
                chosen[identity] = self.before.objects[identity]
        for objects in self.fresh.values():
            for identity, each in objects.items():
                known = self.before.objects.get(identity)
                same = known is not None and known.object.digest == each.digest
                chosen[identity] = StoredObject(each, known.revision if known and same else commit)
        blocked = self._blocked_areas()
        nothing = not chosen
        for identity, stored in self.before.objects.items():
            if identity in chosen:
                continue
            why = self._keeps(identity, stored.object, blocked)
            if not why and nothing:
                why = "no document was read"
            if why:
                chosen[identity] = stored._replace(held=why)
        return chosen

    def _keeps(self, identity: Identity, last: SpecObject, blocked: Mapping[str | None, str]) -> str:
        """Say why an object that no valid document defines is kept, or ""."""
        if covering(last.path, self.errors):
            return HELD_FILE
        moved = self.named.get(identity) or self._misplaced(identity) or self._mentioned(identity)
        if moved:
            return f"it may have moved to {moved}, which is rejected"
        area = area_of(last.path) or None
        for blocking in (None, area):
            if blocking in blocked:
                return f"nothing is removed while {blocked[blocking]} is rejected"
        return ""

    def _mentioned(self, identity: Identity) -> str:
        """A rejected file of the same area that has the name as a word, although it could not be understood."""
        name = re.compile(rb"(?<![-.a-z0-9])%b(?![-.a-z0-9])" % re.escape(identity.name.encode()))
        for path in self.errors:
            file = self.snapshot.files.get(path)
            if (
                file
                and file.content
                and (area_of(path) or "") == identity.domain
                and name.search(file.content)
            ):
                return path
        return ""

    def _misplaced(self, identity: Identity) -> str:
        """The file of a domain area that holds a document of this kind and name, which may not stand there."""
        if identity.kind in DOMAIN_KINDS:
            return ""
        found = (
            path for key, path in self.named.items() if (key.kind, key.name) == (identity.kind, identity.name)
        )
        return next(found, "")

    def _blocked_areas(self) -> dict[str | None, str]:
        """Areas in which nothing disappears, since a file there that never was good might hold anything of it.

        A domain's file can only hold that domain's objects, so it blocks no one else.
        """
        blocked: dict[str | None, str] = {}
        for path in sorted(self.errors, reverse=True):
            known = self.before.files.get(path)
            if not (known and known.objects) and not self._has_objects_below(path):
                # A problem may be a whole folder's, that of a domain too.
                blocked[area_of(f"{path}/") or None] = path
        return blocked

    def _has_objects_below(self, folder: str) -> bool:
        return any(stored.object.path.startswith(f"{folder}/") for stored in self.before.objects.values())

    def _refusal(self, objects: Mapping[Identity, StoredObject]) -> tuple[str, str]:
        """Why nothing of this state is taken: a reason and what to do, or two empty texts."""
        had = next((key for key in self.before.objects if key.kind == "Installation"), None)
        if had is not None and not any(key.kind == "Installation" for key in objects):
            path = self.before.objects[had].object.path
            return INSTALLATION_MISSING, (
                f"the {had} that was applied from {path} is missing, so the source is taken for broken "
                "and nothing is changed; put it back"
            )
        if self.loader.transactional and self.errors:
            count = len(self.errors)
            return TRANSACTIONAL, f"{count} file{'s are' if count > 1 else ' is'} rejected (--transactional)"
        read = any(file.objects for file in self.unchanged.values()) or any(self.fresh.values())
        if self.before.objects and not self.errors and not read:
            return NOTHING_READ, "no document was read from the source, so nothing is removed"
        return "", ""

    def _files(self, *, only_rejected: bool = False) -> dict[str, StoredFile]:
        """What each file was; a rejected one keeps the identities of its last good version."""
        files: dict[str, StoredFile] = {}
        for path, file in self.snapshot.files.items():
            errors = self.errors.get(path)
            if errors is not None:
                wrong = tuple(sorted(errors, key=lambda each: each.sort_key))
                files[path] = StoredFile(file.stamp, wrong, self._had(path))
            elif not only_rejected:
                known = self.unchanged.get(path)
                files[path] = known or StoredFile(file.stamp, (), tuple(self.fresh.get(path, ())))
        for path, problem in self.snapshot.problems.items():
            stamp = FileStamp(-1, 0, 0, problem_digest(problem))
            files[path] = StoredFile(stamp, (problem,), self._had(path))
            # A folder that cannot be read hides its files; they are still what they were.
            for below, known in self.before.files.items():
                if below.startswith(f"{path}/"):
                    files.setdefault(below, known)
        return files

    def _had(self, path: str) -> tuple[Identity, ...]:
        known = self.before.files.get(path)
        return known.objects if known else ()


def resolve_all(stored: Stored, loader: Loader) -> Desired:
    """What the stored objects ask for, without those whose references fail."""
    objects = stored.specs()
    while True:
        resolved = loader.resolve(objects, {}, ())
        failed = [key for key in (Identity(*each) for each in resolved.rejected) if key in objects]
        if not failed:
            return replace(resolved.desired, revision=stored.revision)
        for key in failed:
            del objects[key]


def changed_identities(before: Stored, after: Stored) -> frozenset[Identity]:
    """Objects added, removed or with another content."""
    old, new = before.objects, after.objects
    changed = {
        key
        for key, stored in new.items()
        if (known := old.get(key)) is not stored
        and (known is None or known.object.digest != stored.object.digest)
    }
    return frozenset(changed | (old.keys() - new.keys()))

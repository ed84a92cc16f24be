"""A whole tree of files, judged offline: every error of every file at once, those between files included."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core.desired import Desired
from reconciler.core.diagnostics import Diagnostic
from reconciler.ports.source import area_of, is_document
from reconciler.spec.load import load_file
from reconciler.spec.objects import Identity, LoadedFile, SpecObject, duplicate
from reconciler.spec.places import locate
from reconciler.spec.resolve import resolve


@dataclass(frozen=True, slots=True)
class Validated:
    """What a tree holds and all that is wrong with it."""

    objects: Mapping[Identity, SpecObject]
    """The valid ones."""
    desired: Desired
    diagnostics: tuple[Diagnostic, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """Valid objects per kind, and `files`."""


def validate_tree(files: Iterable[tuple[str, bytes]], now: datetime | None = None) -> Validated:
    """Validate files given as (path that begins with `jobs.d/`, content); those that are no documents are attachments.

    References of requests that have expired at `now` are not checked.
    """
    contents = dict(files)
    loaded = [_load(path, contents) for path in sorted(contents) if is_document(path)]
    diagnostics = [each for file in loaded for each in file.diagnostics]
    broken = {identity for file in loaded for identity in file.named}
    found: dict[Identity, list[SpecObject]] = {}
    for file in loaded:
        for each in file.objects:
            found.setdefault(each.identity, []).append(each)
    objects = {identity: same[0] for identity, same in found.items() if len(same) == 1}
    twice = [same for same in found.values() if len(same) > 1]
    broken.update(same[0].identity for same in twice)
    across = [duplicate(each, same) for same in twice for each in same]
    resolved = resolve(objects, broken=broken, now=now)
    across.extend(resolved.diagnostics)
    diagnostics.extend(locate(each, contents[each.path]) for each in across)
    valid = {identity: each for identity, each in objects.items() if identity not in resolved.rejected}
    counts = Counter(identity.kind for identity in valid)
    return Validated(
        valid,
        resolved.desired,
        tuple(sorted(set(diagnostics), key=lambda each: each.sort_key)),
        {"files": len(loaded), **dict(sorted(counts.items()))},
    )


def _load(path: str, contents: Mapping[str, bytes]) -> LoadedFile:
    folder = posixpath.dirname(path)
    return load_file(
        path,
        contents[path],
        area_of(path),
        read_beside=lambda name: contents.get(posixpath.join(folder, name)),
    )

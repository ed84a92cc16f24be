"""Taking a place as the reconciler does, and comparing what it says with what was in force."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from reconciler.core.changes import Changes, Version
from reconciler.core.desired import Desired
from reconciler.spec.lastgood import accept
from reconciler.spec.loading import loader_of
from reconciler.spec.proposal import Proposal, propose, version_of
from reconciler.spec.resolve import ResolveCache
from reconciler.spec.stored import Stored
from tests.sources.place import NOW, Place, kept


def proposal(place: Place, approved: Collection[str] = (), now: datetime = NOW) -> Proposal:
    """Compare a place as it is now with what was applied of it."""
    loader = loader_of(place.cache, clock=lambda: now)
    applied = place.accepted.desired if place.accepted else Desired()
    return propose(place.stored, applied, place.snapshot(), loader, now, approved=approved)


def compare(place: Place, approved: Collection[str] = (), now: datetime = NOW) -> Changes:
    """Plan and apply a place as it is now: the changes that were shown."""
    found = proposal(place, approved, now)
    place.stored = kept(place.stored, found.accepted.stored)
    place.accepted = found.accepted
    return found.changes()


def versions(place: Place) -> Version:
    """What a place says, without anything known before."""
    from reconciler.ports.source import Snapshot
    from reconciler.sources.folder import FolderSource

    snapshot = FolderSource(place.root).snapshot({}, place.now)
    assert isinstance(snapshot, Snapshot)
    return version_of(accept(Stored(), snapshot, loader_of(ResolveCache(), clock=lambda: NOW)))

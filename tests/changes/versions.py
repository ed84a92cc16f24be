"""Taking a place as the reconciler does, and comparing what it says with what was in force."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from reconciler.core.changes import Changes, Version
from reconciler.core.model import Desired
from reconciler.spec.lastgood import accept
from reconciler.spec.loading import loader_of
from reconciler.spec.proposal import propose, version_of
from reconciler.spec.resolve import ResolveCache
from reconciler.spec.stored import Stored
from tests.sources.place import NOW, Place, kept


def compare(place: Place, approved: Collection[str] = (), now: datetime = NOW) -> Changes:
    """Plan and apply a place as it is now: the changes that were shown."""
    loader = loader_of(place.cache, clock=lambda: now)
    applied = place.accepted.desired if place.accepted else Desired()
    proposal = propose(place.stored, applied, place.snapshot(), loader, now, approved=approved)
    place.stored = kept(place.stored, proposal.accepted.stored)
    place.accepted = proposal.accepted
    return proposal.changes()


def versions(place: Place) -> Version:
    """What a place says, without anything known before."""
    from reconciler.ports.source import Snapshot
    from reconciler.sources.folder import FolderSource

    snapshot = FolderSource(place.root).snapshot({}, place.now)
    assert isinstance(snapshot, Snapshot)
    return version_of(accept(Stored(), snapshot, loader_of(ResolveCache(), clock=lambda: NOW)))

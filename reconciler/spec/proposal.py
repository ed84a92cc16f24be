"""From a snapshot to what may be applied now: accepted, and held back where it needs an approval."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from reconciler.core.changes import DAYS, Changes, Version, diff
from reconciler.core.changes_guard import Guard, guard
from reconciler.core.desired import Desired
from reconciler.ports.source import Snapshot
from reconciler.spec.lastgood import Accepted, Loader, accept, changed_identities
from reconciler.spec.objects import Identity, SpecObject
from reconciler.spec.stored import Stored

BLOCKED: Final = "PruneBlocked"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to put in force now, and what of the source waits."""

    accepted: Accepted
    guard: Guard
    before: Version
    wanted: Version
    """What the source asks for, were nothing held back."""
    now: datetime
    approved: frozenset[str]
    observed: str
    """The commit that was looked at, whether or not it is in force."""

    def changes(self, days: int = DAYS) -> Changes:
        """All changes against what is in force, those held included."""
        return diff(self.before, self.wanted, self.now, days, self.approved)


def propose(
    before: Stored,
    applied: Desired,
    snapshot: Snapshot,
    loader: Loader,
    now: datetime,
    *,
    approved: Collection[str] = (),
) -> Proposal:
    """Accept a snapshot and hold back what needs an approval; `applied` is what `before` was resolved to."""
    wanted = accept(before, snapshot, loader)
    old, new = version(before, applied), version_of(wanted)
    checked = guard(old.objects, old.desired, new.objects, new.desired, now, approved)
    accepted = _holding(before, applied, wanted, checked, loader) if checked.held else wanted
    return Proposal(accepted, checked, old, new, now, frozenset(approved), snapshot.revision.commit)


def _holding(before: Stored, applied: Desired, wanted: Accepted, checked: Guard, loader: Loader) -> Accepted:
    held = {Identity(*key): why for key, why in checked.held_objects.items()}
    accepted = hold_back(before, wanted, held, loader)
    if accepted is not None and all(item.target in accepted.desired.targets for item in checked.held):
        return accepted
    # What else they depend on is gone too: then nothing of this state is applied.
    rejected = {path: file for path, file in wanted.stored.files.items() if file.rejected}
    return replace(
        wanted,
        stored=replace(before, files={**before.files, **rejected}),
        desired=applied,
        changed=frozenset(),
        refused=BLOCKED,
        refused_message="what waits for approval cannot be kept without the rest, so nothing is applied",
    )


def hold_back(
    before: Stored, wanted: Accepted, held: Mapping[Identity, str], loader: Loader
) -> Accepted | None:
    """Keep some objects as they were before and take the rest as it is wanted; None when that does not fit."""
    objects = dict(wanted.stored.objects)
    for identity, why in held.items():
        if identity in before.objects:
            objects[identity] = before.objects[identity]._replace(held=why)
    for identity, each in wanted.stored.objects.items():
        known = before.objects.get(identity)
        if each.is_inert and known is not None and not known.is_inert:
            # What it refers to would be gone; that is held back, so it is in force as it was.
            objects[identity] = known
    while True:
        effective: dict[Identity, SpecObject] = {
            key: kept.object for key, kept in objects.items() if not kept.is_inert
        }
        resolved = loader.resolve(effective, before.specs(), ())
        failed = {Identity(*each) for each in resolved.rejected}
        if not failed:
            break
        stored_now = wanted.stored.objects
        revived = [key for key in failed if key in stored_now and stored_now[key].is_inert]
        if len(revived) < len(failed):
            return None
        for key in revived:
            objects[key] = wanted.stored.objects[key]
    stored = replace(wanted.stored, objects=objects)
    desired = replace(resolved.desired, revision=wanted.desired.revision)
    return replace(wanted, stored=stored, desired=desired, changed=changed_identities(before, stored))


def version(stored: Stored, desired: Desired) -> Version:
    """What is in force, for comparing."""
    return Version(stored.specs(), desired, stored.held)


def version_of(accepted: Accepted) -> Version:
    """What a snapshot asks for, for comparing."""
    return Version(
        accepted.stored.specs(),
        accepted.desired,
        accepted.held,
        accepted.diagnostics,
        accepted.refused_message,
    )


def compare(before: Snapshot, after: Snapshot, loader: Loader, now: datetime) -> Proposal:
    """Compare two states of the source that were read whole, such as two commits, without any other state.

    The second is taken as a reconciler takes it that has applied the first: with what was last good, and with the
    same digest for what needs an approval.
    """
    first = accept(Stored(), before, loader)
    return propose(first.stored, first.desired, after, loader, now)

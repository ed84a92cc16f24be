"""From a snapshot to what may be applied now: accepted, compared with what is in force, and held where it must be."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from reconciler.core.changes import DAYS, Changes, Version, diff
from reconciler.core.model import Desired
from reconciler.ports.source import Snapshot
from reconciler.spec.lastgood import Accepted, Loader, accept, changed_identities
from reconciler.spec.objects import Identity, SpecObject
from reconciler.spec.stored import Stored

BLOCKED: Final = "PruneBlocked"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to put in force now, and all changes, those held included."""

    accepted: Accepted
    changes: Changes


def propose(
    before: Stored,
    applied: Desired,
    snapshot: Snapshot,
    loader: Loader,
    now: datetime,
    *,
    approved: Collection[str] = (),
    days: int = DAYS,
) -> Proposal:
    """Accept a snapshot, hold back what needs an approval, and say what changes against `applied`."""
    wanted = accept(before, snapshot, loader)
    changes = diff(version(before, applied), version_of(wanted), now, days, approved)
    held = {Identity(*key): why for key, why in changes.guard.held_objects.items()}
    if not changes.guard.held:
        return Proposal(wanted, changes)
    targets = {item.target for item in changes.guard.held}
    accepted = hold_back(before, wanted, held, loader)
    if accepted is None or not targets <= accepted.desired.targets.keys():
        # What else they depend on is gone too: then nothing of this state is applied.
        message = "what is held back cannot be kept without the rest, so nothing is applied"
        rejected = {path: file for path, file in wanted.stored.files.items() if file.rejected}
        stored = replace(before, files={**before.files, **rejected})
        accepted = replace(
            wanted,
            stored=stored,
            desired=applied,
            changed=frozenset(),
            refused=BLOCKED,
            refused_message=message,
        )
    return Proposal(accepted, changes)


def hold_back(
    before: Stored, wanted: Accepted, held: Mapping[Identity, str], loader: Loader
) -> Accepted | None:
    """Keep some objects as they were before and take the rest as it is wanted; None when they do not go together."""
    objects = dict(wanted.stored.objects)
    for identity, why in held.items():
        if identity in before.objects:
            objects[identity] = replace(before.objects[identity], held=why)
    stored = replace(wanted.stored, objects=objects)
    effective: dict[Identity, SpecObject] = {
        key: each.object for key, each in objects.items() if not each.held.startswith("without effect")
    }
    resolved = loader.resolve(effective, before.specs(), ())
    if resolved.rejected:
        return None
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

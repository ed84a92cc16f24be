"""What must not happen by accident: many targets vanish, or a stopped one starts because a Planning was removed.

Such changes are held while everything else is applied. They have a digest, which covers nothing but the sorted list of
them: a pipeline that compares two commits prints the same one as the daemon that waits for its approval.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from reconciler.core.desired import Desired
from reconciler.core.model import Mode, TargetId
from reconciler.core.plan import Plan

Key = tuple[str, str, str]


class Held(StrEnum):
    """Why something needs an approval, or is never done."""

    PRUNE = "prune"
    REPLACE = "replace"
    START = "start"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Item:
    """One target that is held, and the objects whose new version (or absence) would do it."""

    held: Held
    target: TargetId
    why: str
    objects: frozenset[Key] = frozenset()


@dataclass(frozen=True, slots=True)
class Guard:
    """What is held back. `digest` is "" when nothing needs an approval."""

    pending: tuple[Item, ...] = ()
    kept: tuple[Item, ...] = ()
    """Never removed, and not to be approved: `reconciler/prune: disabled`."""
    digest: str = ""
    approved: bool = False
    """An approval of `digest` was given, so nothing is pending."""
    reasons: tuple[str, ...] = ()
    renames: Mapping[TargetId, TargetId] = field(default_factory=dict)
    """New name -> old name, where the history goes on."""
    replaced: frozenset[TargetId] = frozenset()

    @property
    def held(self) -> tuple[Item, ...]:
        """All that is not done now."""
        return (*self.pending, *self.kept)

    @property
    def held_objects(self) -> dict[Key, str]:
        """The objects to keep as they were so that nothing held happens, and why."""
        return {key: self._text(item) for item in self.held for key in item.objects}

    def _text(self, item: Item) -> str:
        return item.why if item.held is Held.DISABLED else f"{item.why}; waits for approval of {self.digest}"


def guard(
    objects_before: Mapping[Any, Any],
    before: Desired,
    objects_after: Mapping[Any, Any],
    after: Desired,
    now: datetime,
    approved: Collection[str] = (),
) -> Guard:
    """Find what needs an approval; `approved` are digests, of which one may be in the Installation too."""
    changed = _Changed(objects_before, objects_after)
    vanished = [target for target in before.targets if target not in after.targets]
    renames = _renames(vanished, before, after)
    vanished = [target for target in vanished if target not in set(renames.values())]
    scopes = {target.job: plan.scope for target, plan in after.targets.items()} if vanished else {}
    kept, pending, counted = [], [], []
    for target in vanished:
        plan = before.targets[target]
        if not plan.prunable:
            why = "`reconciler/prune: disabled` keeps it"
            kept.append(Item(Held.DISABLED, target, why, changed.of_target(target)))
            continue
        counted.append(target)
        if scopes.get(target.job, plan.scope) != plan.scope:
            why = f"the scope of {target.job} changed from {plan.scope} to {scopes[target.job]}"
            pending.append(Item(Held.REPLACE, target, why, changed.of_target(target)))
    replaced = frozenset(item.target for item in pending)
    held, reasons = _too_many(counted, before, after)
    pending += [
        Item(Held.PRUNE, target, changed.why_gone(target), changed.of_target(target))
        for target in counted
        if target in held and target not in replaced
    ]
    if replaced:
        reasons = (*reasons, "a changed scope replaces the job's targets")
    starts = list(_starts(objects_before, before, objects_after, after, now))
    if starts:
        reasons = (*reasons, "a removed Planning would start what is stopped")
    pending = sorted([*pending, *starts], key=lambda item: (item.target, item.held))
    digest = digest_of(pending)
    is_approved = bool(digest) and digest in {*approved, after.approved_digest}
    return Guard(
        pending=() if is_approved else tuple(pending),
        kept=tuple(sorted(kept, key=lambda item: item.target)),
        digest=digest,
        approved=is_approved,
        reasons=reasons,
        renames=renames,
        replaced=replaced,
    )


def digest_of(items: Iterable[Item]) -> str:
    """What an approval names: the same for the same list, wherever it was made."""
    lines = sorted(f"{item.held} {item.target}\n" for item in items)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16] if lines else ""


class _Changed:
    """Which objects differ between the two versions."""

    def __init__(self, before: Mapping[Any, Any], after: Mapping[Any, Any]) -> None:
        self._before, self._after = before, after

    def _differs(self, key: Key) -> bool:
        old, new = self._before.get(key), self._after.get(key)
        return old is not new and (old is None or new is None or old.digest != new.digest)

    def of_target(self, target: TargetId) -> frozenset[Key]:
        """The changed ones among the objects that make a target exist: its job and its domain."""
        keys = [("Job", "", target.job)]
        if target.domain:
            keys.append(("Domain", "", target.domain))
        return frozenset(key for key in keys if key in self._before and self._differs(key))

    def why_gone(self, target: TargetId) -> str:
        if ("Job", "", target.job) not in self._after:
            return "its job is gone"
        if target.domain and ("Domain", "", target.domain) not in self._after:
            return "its domain is gone"
        return "its job no longer selects it"


def _renames(vanished: Collection[TargetId], before: Desired, after: Desired) -> dict[TargetId, TargetId]:
    gone = set(vanished)
    if not gone:
        return {}
    renames = {}
    for target, plan in after.targets.items():
        old = TargetId(plan.renamed_from, target.domain)
        if plan.renamed_from and target not in before.targets and old in gone:
            renames[target] = old
    return renames


def _too_many(
    vanished: Collection[TargetId], before: Desired, after: Desired
) -> tuple[set[TargetId], tuple[str, ...]]:
    """Which of the vanished targets are held, and why (CONTRACT, Prune)."""
    if not vanished:
        return set(), ()
    total, count = len(before.targets), len(vanished)
    # A commit must not widen its own limit.
    limit = min(before.prune_max_targets, after.prune_max_targets)
    if count > limit:
        return set(vanished), (f"{count} targets would vanish, more than prune.maxTargets: {limit}",)
    if total < 20 and count * 2 > total:
        return set(vanished), (f"{count} of {total} targets would vanish, more than half",)
    of_domain = Counter(target.domain for target in vanished if target.domain)
    had = Counter(target.domain for target in before.targets if target.domain in of_domain)
    whole = sorted(domain for domain, gone in of_domain.items() if gone == had[domain])
    reasons = tuple(f"all targets of {domain} would vanish" for domain in whole)
    return {target for target in vanished if target.domain in whole}, reasons


def _starts(
    objects_before: Mapping[Any, Any],
    before: Desired,
    objects_after: Mapping[Any, Any],
    after: Desired,
    now: datetime,
) -> Iterable[Item]:
    """Stopped targets that would start since the Planning that stopped them is not in force any more."""
    plannings = {key: each for key, each in objects_before.items() if key[0] == "Planning"}
    if not plannings:
        return
    places = {f"{each.path}:{each.line}": tuple(key) for key, each in plannings.items()}
    after_places = {f"{each.path}:{each.line}": tuple(key) for key, each in objects_after.items()}
    for target, new in after.targets.items():
        old = before.targets.get(target)
        if old is None or old is new or not _is_stopped(old, now) or _is_stopped(new, now):
            continue
        decides = after_places.get(new.planning_path)
        if (
            decides is not None
            and decides[0] == "Planning"
            and _is_new(decides, objects_before, objects_after)
        ):
            continue
        fallen = set()
        decided = places.get(old.planning_path)
        if old.mode is Mode.DISABLED and decided is not None and decided != decides:
            fallen.add(decided)
        pauses = [places.get(pause.source) for pause in old.pauses if pause.holds(now)]
        fallen.update(key for key in pauses if key is not None and key not in objects_after)
        if fallen:
            names = ", ".join(sorted(key[2] for key in fallen))
            yield Item(Held.START, target, f"it would start without Planning {names}", frozenset(fallen))


def _is_stopped(plan: Plan, now: datetime) -> bool:
    return plan.mode is Mode.DISABLED or plan.is_paused(now)


def _is_new(key: Key, before: Mapping[Any, Any], after: Mapping[Any, Any]) -> bool:
    return key not in before or before[key].digest != after[key].digest

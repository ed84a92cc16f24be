"""All documents to what is desired: references checked, plannings chosen, targets and their plans.

An object that is valid alone but whose references fail is rejected; then everything is looked at again, so that its
dependents follow. Never imports pydantic: what was last good comes back from the store as plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from weakref import WeakValueDictionary

from reconciler.core.desired import Administrator, Desired, DomainInfo, Limits
from reconciler.core.diagnostics import Diagnostic
from reconciler.core.model import TargetId
from reconciler.core.plan import Plan, Retention
from reconciler.spec.objects import APPROVE, Identity, SpecObject, as_key, digest_of
from reconciler.spec.parts import retention_of
from reconciler.spec.plans import Common, Fault, Ground, profile_of, targets_of
from reconciler.spec.references import Index, check_references
from reconciler.spec.requests import request_of, run_now_of
from reconciler.spec.schedules import LazySchedule

Objects = Mapping[Identity, SpecObject]
_SCOPE: Final = as_key("scope")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What is desired, and which objects cannot be used as they are."""

    desired: Desired
    diagnostics: tuple[Diagnostic, ...] = ()
    """Each names its document's path and line, and the field; `places.locate` completes it from the text."""
    rejected: frozenset[Identity] = frozenset()
    """Objects whose references fail, and their dependents."""
    held: frozenset[Identity] = frozenset()
    """Those among them for which the last good version counts; the others are left out."""


@dataclass(slots=True)
class _JobEntry:
    """One job as it was resolved, and all that this depended on."""

    job: SpecObject
    plannings: Sequence[SpecObject]
    surroundings: str
    targets: tuple[tuple[TargetId, Plan], ...]
    faults: tuple[Fault, ...]


@dataclass(slots=True)
class ResolveCache:
    """What one resolving leaves for the next: only jobs that changed, or what they depend on, are looked at again."""

    jobs: dict[str, _JobEntry] = field(default_factory=dict)
    targets: dict[TargetId, Plan] = field(default_factory=dict)
    """Those of all `jobs`."""
    ground: Ground | None = None
    standing_on: str = ""
    """Of what `ground` was made."""
    schedules: WeakValueDictionary[str, LazySchedule] = field(default_factory=WeakValueDictionary)
    """Those that plans have, by digest."""


def resolve(
    objects: Objects,
    cache: ResolveCache | None = None,
    *,
    last_good: Objects | None = None,
    broken: Iterable[Identity] = (),
    now: datetime | None = None,
    is_handled: Callable[[str], bool] = lambda token: False,
) -> Resolved:
    """Resolve all objects to what is desired.

    An object whose references fail is replaced by its `last_good` version or else left out, and then its dependents
    are. `broken` are identities whose documents are rejected already; messages say so. Requests that have expired
    at `now`, and those whose token was handled, need no valid references any more.
    """
    cache = cache if cache is not None else ResolveCache()
    current = dict(objects)
    diagnostics: list[Diagnostic] = []
    rejected: set[Identity] = set()
    held: set[Identity] = set()
    while True:
        index = Index.of(current, (rejected - held).union(broken))
        targets, faults = _targets(index, cache)
        faults.extend(check_references(index, now, is_handled))
        if not faults:
            return Resolved(
                _desired(index, targets), tuple(diagnostics), frozenset(rejected), frozenset(held)
            )
        diagnostics.extend(_diagnostic(fault) for fault in faults if fault.object.identity not in held)
        for identity in {fault.object.identity for fault in faults}:
            before = (last_good or {}).get(identity)
            if identity not in rejected and before is not None and before.digest != current[identity].digest:
                current[identity] = before
                held.add(identity)
            else:
                held.discard(identity)
                del current[identity]
            rejected.add(identity)


def _diagnostic(fault: Fault) -> Diagnostic:
    origin = fault.object
    return Diagnostic(
        fault.code, fault.message, origin.path, line=origin.line, help=fault.help, field=fault.field
    )


def _targets(index: Index, cache: ResolveCache) -> tuple[dict[TargetId, Plan], list[Fault]]:
    """The targets of all jobs; entries of the cache whose inputs are the same are used as they are."""
    numbers: dict[str, int] = {}
    profiles = {
        name: numbers.setdefault(profile_of(each), len(numbers)) for name, each in index.domains.items()
    }
    for_installation = digest_of([_mark(each) for each in (index.installation, *index.calendars.values())])
    if cache.ground is None or cache.standing_on != for_installation:
        cache.ground = Ground(index.installation, index.calendars, cache.schedules)
        cache.standing_on = for_installation
    common = Common(cache.ground, index.domains, profiles)
    for_domains = digest_of([for_installation, [_mark(each) for each in index.domains.values()]])
    targets = cache.targets.copy()
    faults: list[Fault] = []
    entries: dict[str, _JobEntry] = {}
    for name, job in index.jobs.items():
        plannings: Sequence[SpecObject] = index.plannings.get(name, ())
        is_domain_job = job.mentions(_SCOPE) and job.body["spec"].get("scope") == "domain"
        surroundings = for_domains if is_domain_job else for_installation
        entry = cache.jobs.get(name)
        if entry is None or not _is_same(entry, job, plannings, surroundings):
            before = entry.targets if entry else ()
            made, wrong = targets_of(job, plannings, common)
            entry = _JobEntry(job, plannings, surroundings, tuple(made), tuple(wrong))
            now = dict(entry.targets)
            for target, _ in before:
                if target not in now:
                    del targets[target]
            targets.update(now)
        entries[name] = entry
        if entry.faults:
            faults.extend(entry.faults)
    for name in cache.jobs.keys() - entries.keys():
        for target, _ in cache.jobs[name].targets:
            del targets[target]
    cache.jobs, cache.targets = entries, targets
    return targets, faults


def _mark(item: SpecObject | None) -> tuple[str, str, str, int] | None:
    """What of an object the plans of others depend on; where it is written is shown by them."""
    return (item.name, item.digest, item.path, item.line) if item else None


def _is_same(entry: _JobEntry, job: SpecObject, plannings: Sequence[SpecObject], surroundings: str) -> bool:
    return (
        entry.surroundings == surroundings
        and (entry.job is job or _mark(entry.job) == _mark(job))
        and len(entry.plannings) == len(plannings)
        and all(map(_are_same, entry.plannings, plannings))
    )


def _are_same(one: SpecObject, other: SpecObject) -> bool:
    return one is other or (one.domain, *(_mark(one) or ())) == (other.domain, *(_mark(other) or ()))


def _desired(index: Index, targets: dict[TargetId, Plan]) -> Desired:
    installation = index.installation
    spec: Mapping[str, Any] = installation.spec if installation else {}
    return Desired(
        targets=targets,
        domains={
            name: DomainInfo(name, tuple(sorted(domain.labels.items())), domain.spec.get("description", ""))
            for name, domain in index.domains.items()
        },
        administrators={each.name: _administrator(each) for each in index.administrators},
        requests=tuple(request_of(each) for each in index.requests),
        run_now=tuple(run_now_of(each) for each in index.run_now),
        limits=Limits(spec.get("maxParallel", 16), spec.get("maxParallelPerDomain")),
        retention=retention_of(spec["retention"]) if "retention" in spec else Retention(),
        prune_max_targets=(spec.get("prune") or {}).get("maxTargets", 10),
        approved_digest=installation.annotations.get(APPROVE, "") if installation else "",
        hosts=tuple(spec["hosts"]) if "hosts" in spec else None,
        default_zone=spec.get("timeZone", "UTC"),
        mail=spec.get("mail"),
    )


def _administrator(item: SpecObject) -> Administrator:
    spec = item.spec
    return Administrator(
        item.name,
        spec["role"],
        tuple(spec.get("domains", ())),
        spec.get("email", ""),
        tuple(spec.get("identities", ())),
    )

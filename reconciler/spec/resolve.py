"""All documents to what is desired: references checked, plannings chosen, targets and their plans.

An object that is valid alone but whose references fail is rejected; then everything is looked at again, so that its
dependents follow. Never imports pydantic: what was last good comes back from the store as plain values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.core.diagnostics import Diagnostic
from reconciler.core.model import (
    Administrator,
    Desired,
    DomainInfo,
    Limits,
    Plan,
    Request,
    Retention,
    RunNow,
    TargetId,
)
from reconciler.core.units import parse_duration
from reconciler.spec.objects import APPROVE, RUN_REQUESTED_AT, Identity, SpecObject, digest_of
from reconciler.spec.plans import Common, Fault, profile_of, retention_of, targets_of
from reconciler.spec.references import Index, check_references
from reconciler.spec.schedules import LazySchedule

Objects = Mapping[Identity, SpecObject]


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
    key: tuple[Any, ...]
    targets: list[tuple[TargetId, Plan]]
    faults: list[Fault]


@dataclass(slots=True)
class ResolveCache:
    """What one resolving leaves for the next: only jobs that changed, or what they depend on, are looked at again."""

    jobs: dict[str, _JobEntry] = field(default_factory=dict)
    schedules: dict[str, LazySchedule] = field(default_factory=dict)


def resolve(
    objects: Objects,
    cache: ResolveCache | None = None,
    *,
    last_good: Objects | None = None,
    broken: Iterable[Identity] = (),
    now: datetime | None = None,
) -> Resolved:
    """Resolve all objects to what is desired.

    An object whose references fail is replaced by its `last_good` version or else left out, and then its dependents
    are. `broken` are identities whose documents are rejected already; messages say so. Requests that have expired
    at `now` need no valid references any more.
    """
    cache = cache if cache is not None else ResolveCache()
    current = dict(objects)
    diagnostics: list[Diagnostic] = []
    rejected: set[Identity] = set()
    held: set[Identity] = set()
    while True:
        index = Index.of(current, (rejected - held).union(broken))
        targets, faults = _targets(index, cache)
        faults.extend(check_references(index, now))
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
    base = digest_of(
        [
            [each.digest, each.path, each.line] if each else None
            for each in (index.installation, *index.calendars.values())
        ]
    )
    of_domains = digest_of(
        [[each.name, each.digest, each.path, each.line] for each in index.domains.values()]
    )
    numbers: dict[str, int] = {}
    profiles = {
        name: numbers.setdefault(profile_of(domain), len(numbers)) for name, domain in index.domains.items()
    }
    common = Common(index.installation, index.calendars, cache.schedules, index.domains, profiles)
    targets: dict[TargetId, Plan] = {}
    faults: list[Fault] = []
    entries: dict[str, _JobEntry] = {}
    for name, job in index.jobs.items():
        plannings = index.plannings.get(name, ())
        domain_part = of_domains if job.body["spec"].get("scope") == "domain" else ""
        key = (
            job.digest,
            job.path,
            job.line,
            base,
            domain_part,
            *((p.digest, p.path, p.line) for p in plannings),
        )
        entry = cache.jobs.get(name)
        if entry is None or entry.key != key:
            entry = _JobEntry(key, *targets_of(job, plannings, common))
        entries[name] = entry
        targets.update(entry.targets)
        if entry.faults:
            faults.extend(entry.faults)
    cache.jobs = entries
    if len(cache.schedules) > 2 * len(entries) + 1000:
        used = {plan.schedule_digest for plan in targets.values()}
        cache.schedules = {digest: cache.schedules[digest] for digest in used if digest in cache.schedules}
    return targets, faults


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
        requests=tuple(_request(each) for each in index.requests),
        run_now=tuple(_run_now(each) for each in index.run_now),
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


def instant_of(text: str) -> datetime:
    """Read a time with its offset as an instant, UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _request(item: SpecObject) -> Request:
    spec = item.spec
    return Request(
        domain=item.domain,
        name=item.name,
        targets=tuple(spec["targets"]),
        requested_at=instant_of(spec["requestedAt"]),
        expires_after=timedelta(seconds=parse_duration(spec.get("expiresAfter", "1h"))),
        parameters=spec.get("parameters") or {},
        reason=spec.get("reason", ""),
        digest=item.digest,
        path=item.place,
    )


def _run_now(item: SpecObject) -> RunNow:
    value = item.annotations[RUN_REQUESTED_AT]
    token = f"{item.kind}/{item.domain}/{item.name}#{value}"
    return RunNow(token, item.kind, item.domain, item.name, value, instant_of(value.partition("#")[0]))

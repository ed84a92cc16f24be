"""References between documents: each name leads somewhere, own folder first, and nothing leads in a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from reconciler.core.diagnostics import suggest
from reconciler.core.units import format_duration, parse_duration
from reconciler.spec.objects import RUN_REQUESTED_AT, Identity, SpecObject, as_key
from reconciler.spec.parameters import check_parameters
from reconciler.spec.plans import Fault, selects
from reconciler.spec.requests import request_of
from reconciler.spec.schedules import shortest_interval
from reconciler.spec.substitution import FIXED_NAMES, references

_ANNOTATED: Final = as_key(RUN_REQUESTED_AT)
_AFTER: Final = as_key("after")
_REFERRING: Final = (_AFTER, *map(as_key, ("domains", "calendars", "scope")))


@dataclass(slots=True)
class Index:
    """All objects, by what refers to them."""

    installation: SpecObject | None = None
    domains: dict[str, SpecObject] = field(default_factory=dict)
    jobs: dict[str, SpecObject] = field(default_factory=dict)
    referring: list[SpecObject] = field(default_factory=list)
    """The jobs that may refer to something: all others need no look."""
    plannings: dict[str, list[SpecObject]] = field(default_factory=dict)
    """By the job that they plan."""
    calendars: dict[tuple[str, str], SpecObject] = field(default_factory=dict)
    administrators: list[SpecObject] = field(default_factory=list)
    requests: list[SpecObject] = field(default_factory=list)
    run_now: list[SpecObject] = field(default_factory=list)
    broken: set[Identity] = field(default_factory=set)
    helps: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """Suggestions made already, by kind, name and area."""

    @classmethod
    def of(cls, objects: Mapping[Identity, SpecObject], broken: set[Identity]) -> Index:
        index = cls(broken=broken)
        for each in objects.values():
            match each.kind:
                case "Job":
                    index.jobs[each.name] = each
                    if each.mentions(*_REFERRING):
                        index.referring.append(each)
                case "Planning":
                    index.plannings.setdefault(each.spec.get("job") or each.name, []).append(each)
                case "Domain":
                    index.domains[each.name] = each
                case "Calendar":
                    index.calendars[(each.domain, each.name)] = each
                case "RunRequest":
                    index.requests.append(each)
                case "Administrator":
                    index.administrators.append(each)
                case "Installation":
                    index.installation = each
            if each.mentions(_ANNOTATED) and RUN_REQUESTED_AT in each.annotations:
                index.run_now.append(each)
        index.plannings = {
            job: sorted(listed, key=lambda each: (each.domain, each.name)) if len(listed) > 1 else listed
            for job, listed in index.plannings.items()
        }
        index.domains = dict(sorted(index.domains.items()))
        index.calendars = dict(sorted(index.calendars.items()))
        return index

    def unknown(self, kind: str, name: str, known: Iterable[str], domain: str = "") -> tuple[str, str]:
        """Message and help for a name that leads nowhere."""
        noun = kind.lower()
        if Identity(kind, domain, name) in self.broken or Identity(kind, "", name) in self.broken:
            return (
                f"the {noun} `{name}` cannot be used, since its own document is rejected",
                "correct that one first",
            )
        key = (kind, name, domain)
        if key not in self.helps and len(self.helps) < _MAX_HELPS:
            self.helps[key] = suggest(name, known) or f"write a {kind} of this name"
        return f"there is no {noun} `{name}`", self.helps.get(key, "")


_MAX_HELPS: Final = 50
"""Looking for the name that was meant costs time: where hundreds lead nowhere, one cause explains them all."""


def check_references(
    index: Index, now: datetime | None, is_handled: Callable[[str], bool] = lambda token: False
) -> Iterator[Fault]:
    """Find every reference that fails."""
    yield from _jobs(index)
    yield from _circles(index)
    for job, plannings in index.plannings.items():
        for planning in plannings:
            yield from _planning(index, job, planning)
    for each in index.administrators:
        for number, name in enumerate(each.spec.get("domains", ())):
            if name not in index.domains:
                message, help = index.unknown("Domain", name, index.domains)
                yield Fault(each, "E202", message, help, ("spec", "domains", number))
    for request in index.requests:
        yield from _in_known_domain(index, request)
        asked = request_of(request)
        if now is None or not asked.is_expired(now):
            faults = list(_request(index, request))
            # A token is used once: what it meant then must not hold up what is wanted now.
            if faults and not is_handled(asked.token):
                yield from faults
    for calendar in index.calendars.values():
        yield from _in_known_domain(index, calendar)


def _in_known_domain(index: Index, item: SpecObject) -> Iterator[Fault]:
    if item.domain and item.domain not in index.domains:
        message, _ = index.unknown("Domain", item.domain, ())
        yield Fault(item, "E202", message, "the folder is named after a Domain", ())


def _selector(index: Index, item: SpecObject) -> Iterator[Fault]:
    for number, name in enumerate((item.spec.get("domains") or {}).get("names", ())):
        if name not in index.domains:
            message, help = index.unknown("Domain", name, index.domains)
            yield Fault(item, "E202", message, help, ("spec", "domains", "names", number))


def _jobs(index: Index) -> Iterator[Fault]:
    for job in index.referring:
        spec = job.body["spec"]
        if "domains" in spec:
            yield from _selector(index, job)
        if "automatic" in spec:
            for number, name in enumerate(spec["automatic"].get("after", ())):
                if name not in index.jobs:
                    message, help = index.unknown("Job", name, index.jobs)
                    yield Fault(job, "E201", message, help, ("spec", "automatic", "after", number))
        if "planning" in spec and "schedule" in spec["planning"]:
            yield from _calendars(index, job, spec["planning"]["schedule"], ("spec", "planning", "schedule"))
        if spec.get("scope") == "domain":
            yield from _domain_variables(index, job)


def _domain_variables(index: Index, job: SpecObject) -> Iterator[Fault]:
    """Names in a command that only Domains can set: each domain of the job must."""
    spec = job.spec
    known = {*FIXED_NAMES, *spec.get("environment", ())}
    probe = (spec.get("automatic") or {}).get("probe") or {}
    for path, words in (
        (("command",), spec.get("command")),
        (("automatic", "probe", "command"), probe.get("command")),
    ):
        for number, name, _ in references(words or ()):
            if name in known or name.startswith("RECONCILE_"):
                continue
            selected = [each for each in index.domains.values() if selects(spec.get("domains"), each)]
            without = [each.name for each in selected if name not in each.spec.get("environment", ())]
            if without:
                more = f" and {len(without) - 3} more" if len(without) > 3 else ""
                message = f"`$({name})` is set neither by the job nor by {', '.join(without[:3])}{more}"
                help = "add it to the job's `environment` as a default"
                if len(without) == len(selected):
                    help = suggest(name, known) or help
                yield Fault(job, "E210", message, help, ("spec", *path, number))


def _calendars(
    index: Index, item: SpecObject, schedule: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[Fault]:
    for use, names in (schedule.get("calendars") or {}).items():
        for number, name in enumerate(names):
            if (item.domain, name) not in index.calendars and ("", name) not in index.calendars:
                seen = [known for domain, known in index.calendars if domain in ("", item.domain)]
                message, help = index.unknown("Calendar", name, seen, item.domain)
                yield Fault(item, "E203", message, help, (*path, "calendars", use, number))


def _planning(index: Index, job_name: str, planning: SpecObject) -> Iterator[Fault]:
    yield from _in_known_domain(index, planning)
    spec = planning.spec
    job = index.jobs.get(job_name)
    where: tuple[str, ...] = ("spec", "job") if "job" in spec else ("metadata", "name")
    if job is None:
        message, help = index.unknown("Job", job_name, _visible_jobs(index, planning.domain), planning.domain)
        if "job" not in spec and "did you mean" not in help and "rejected" not in message:
            help = "name the job in `spec.job`" + (f"; {help}" if help.startswith("known") else "")
        yield Fault(planning, "E201", message, help, where)
    if "domains" in spec:
        yield from _selector(index, planning)
    if "schedule" in spec:
        yield from _calendars(index, planning, spec["schedule"], ("spec", "schedule"))
        if planning.domain and job is not None:
            least = parse_duration(job.spec.get("minInterval", "1m"))
            shortest = shortest_interval(spec["schedule"], least)
            if shortest < least:
                message = f"a run every {format_duration(shortest)} is more often than this job allows"
                help = f"at most one every {format_duration(least)} (its `minInterval`)"
                yield Fault(planning, "E207", message, help, ("spec", "schedule"))


def _visible_jobs(index: Index, domain: str) -> Iterable[str]:
    """The jobs that a message in this area may name: a domain's administrators see only what runs for them."""
    if not domain:
        return index.jobs
    return (name for name, job in index.jobs.items() if _runs_for(index, job, domain))


def _runs_for(index: Index, job: SpecObject, domain: str) -> bool:
    known = index.domains.get(domain)
    return known is not None and job.spec.get("scope") == "domain" and selects(job.spec.get("domains"), known)


def _request(index: Index, request: SpecObject) -> Iterator[Fault]:
    given = request.spec.get("parameters") or {}
    jobs: dict[str, SpecObject] = {}
    for number, target in enumerate(request.spec["targets"]):
        name, _, domain = target.partition("@")
        job = index.jobs.get(name)
        where = ("spec", "targets", number)
        if job is None or (request.domain and not _runs_for(index, job, request.domain)):
            message, help = index.unknown("Job", name, _visible_jobs(index, request.domain), request.domain)
            yield Fault(request, "E201", message, help if "did you" in help else "", where)
            continue
        jobs[name] = job
        if not request.domain and (fault := _target_fault(index, job, domain)):
            yield Fault(request, "E206", *fault, where)
    for job in jobs.values():
        for error in check_parameters(job.spec, given)[1]:
            yield Fault(request, "E209", f"{job.name}: {error}", "", ("spec", "parameters"))


def _target_fault(index: Index, job: SpecObject, domain: str) -> tuple[str, str] | None:
    if job.spec.get("scope") != "domain":
        return (f"`{job.name}` is no domain job", f"write `{job.name}`") if domain else None
    if not domain:
        help = f"write `{job.name}@DOMAIN`, or `{job.name}@*` for all domains"
        return f"`{job.name}` runs for domains, and none is named", help
    if domain != "*" and not _runs_for(index, job, domain):
        running = [each for each in index.domains if _runs_for(index, job, each)]
        return f"`{job.name}` does not run for `{domain}`", suggest(domain, running)
    return None


def _circles(index: Index) -> Iterator[Fault]:
    """Every job that waits for itself through `automatic.after`."""
    edges: dict[str, Sequence[str]] = {
        job.name: job.body["spec"]["automatic"].get("after", ())
        for job in index.referring
        if job.mentions(_AFTER) and "automatic" in job.body["spec"]
    }
    reported: set[str] = set()
    for name in _not_in_order(edges):
        circle = [] if name in reported else _way_back(name, edges)
        for place, following in pairwise(circle):
            reported.add(place)
            message = "the job waits for itself: " + " after ".join(f"`{each}`" for each in circle)
            number = list(edges[place]).index(following)
            where = ("spec", "automatic", "after", number)
            yield Fault(index.jobs[place], "E204", message, "remove one of these", where)


def _not_in_order(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """The jobs that cannot be put into an order: those in a circle, and those that wait for one."""
    waiting_for = {name: sum(each in edges for each in after) for name, after in edges.items()}
    followers: dict[str, list[str]] = {}
    for name, after in edges.items():
        for each in after:
            followers.setdefault(each, []).append(name)
    free = [name for name, count in waiting_for.items() if not count]
    for name in free:
        for follower in followers.get(name, ()):
            waiting_for[follower] -= 1
            if not waiting_for[follower]:
                free.append(follower)
    return [name for name, count in waiting_for.items() if count]


def _way_back(start: str, edges: Mapping[str, Sequence[str]]) -> list[str]:
    """The shortest way from a job over `after` back to itself, both ends included; empty when there is none."""
    came_from: dict[str, str] = {}
    waiting = [start]
    for name in waiting:
        for following in edges.get(name, ()):
            if following == start:
                way = [start]
                while name != start:
                    way.append(name)
                    name = came_from[name]
                return [start, *reversed(way)] if len(way) > 1 else [start, start]
            if following not in came_from:
                came_from[following] = name
                waiting.append(following)
    return []

"""One job to its targets: which domains, which planning counts for each, and the plan that they share.

Works on the plain bodies of validated documents. Targets that resolve alike share one Plan.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from reconciler.core.model import Mode, TargetId
from reconciler.core.plan import Plan
from reconciler.spec.objects import PRUNE, RENAMED_FROM, SpecObject, digest_of
from reconciler.spec.parts import Spec, criteria_of, needs_of, parts_of, pauses_of
from reconciler.spec.reports import merged_report
from reconciler.spec.schedules import LazySchedule


class Fault(NamedTuple):
    """An object whose references fail, and which field of it speaks of what is not there."""

    object: SpecObject
    code: str
    message: str
    help: str = ""
    field: tuple[str | int, ...] = ()


class Ground:
    """What the plans of all jobs stand on: the Installation and the calendars.

    `calendars` are by (domain area, name); `schedules` are those in use, by digest, so that alike ones are one.
    """

    def __init__(
        self,
        installation: SpecObject | None,
        calendars: Mapping[tuple[str, str], SpecObject],
        schedules: MutableMapping[str, LazySchedule],
    ) -> None:
        self.installation, self.calendars, self.schedules = installation, calendars, schedules
        self.spec: Spec = installation.spec if installation else {}
        self.time_zone: str = self.spec.get("timeZone", "UTC")
        self.of_plain: dict[str, Any] = {
            "scope": "installation",
            "criteria": None,
            "report": merged_report(installation),
            "executor": "local",
            "secrets": (),
            "needs": needs_of({}, self.spec.get("user")),
            "renamed_from": "",
        }
        """The fields of a plan that are the same for all plain jobs (`_is_plain`)."""


@dataclass(frozen=True, slots=True)
class Common:
    """What all jobs share."""

    ground: Ground
    domains: Mapping[str, SpecObject]
    profiles: Mapping[str, int]
    """Domains alike in all that plans depend on have the same number."""


def selects(selector: Spec | None, domain: SpecObject) -> bool:
    """Whether a `domains` block selects a domain: all its labels, or its name, and not left out."""
    if not selector:
        return True
    if domain.name in selector.get("except", ()):
        return False
    if domain.name in selector.get("names", ()):
        return True
    if "matchLabels" in selector:
        labels = domain.labels
        return all(labels.get(key) == value for key, value in selector["matchLabels"].items())
    return "names" not in selector


def profile_of(domain: SpecObject) -> str:
    """All that plans depend on in a domain, as one text."""
    spec = domain.spec
    parts = [spec.get("timeZone"), spec.get("environment"), spec.get("report"), domain.annotations.get(PRUNE)]
    return digest_of([*parts, domain.place]) if "report" in spec else digest_of(parts)


def targets_of(
    job: SpecObject, plannings: Sequence[SpecObject], common: Common
) -> tuple[list[tuple[TargetId, Plan]], list[Fault]]:
    """Give each target of a job its plan, and the faults of its Plannings."""
    if not plannings and _is_plain(job):
        plan = Plan.begun(_Whole(job, common.ground), job=job.name, **common.ground.of_plain)
        return [(TargetId(job.name), plan)], []
    faults: list[Fault] = []
    is_domain_job = job.spec.get("scope") == "domain"
    system = [planning for planning in plannings if not planning.domain]
    areas: dict[str, list[SpecObject]] = {}
    for planning in plannings:
        if planning.domain:
            areas.setdefault(planning.domain, []).append(planning)
    maker = _PlanMaker(job, common, faults)
    if not is_domain_job:
        for planning in plannings:
            if planning.domain and planning.domain not in common.domains:
                continue
            if planning.domain or "domains" in planning.spec:
                where = ("spec", "domains") if "domains" in planning.spec else ("spec", "job")
                if planning.domain:
                    faults.append(Fault(planning, "E206", _NOT_HERE, "", where))
                else:
                    faults.append(
                        Fault(planning, "E206", f"`{job.name}` is no domain job", _SCOPE_HELP, where)
                    )
        own = _only_one([each for each in system if "domains" not in each.spec], "the installation", faults)
        return [(TargetId(job.name), maker.plan(None, own, None))], faults
    selector = job.spec.get("domains")
    targets = []
    for name, domain in common.domains.items():
        if not selects(selector, domain):
            continue
        matching = (
            [each for each in system if selects(each.spec.get("domains"), domain)] if system else system
        )
        chosen = _only_one(matching, name, faults) if matching else None
        area = _only_one(areas.pop(name), name, faults) if name in areas else None
        targets.append((TargetId(job.name, name), maker.plan(domain, chosen, area)))
    for planning in (each for name, listed in areas.items() if name in common.domains for each in listed):
        faults.append(Fault(planning, "E206", _NOT_HERE, "", ("spec", "job")))
    return targets, faults


_NOT_HERE: Final = "no job of this name runs for this domain"
_SCOPE_HELP: Final = "remove `domains`, or give the job `scope: domain`"


def _only_one(plannings: list[SpecObject], where: str, faults: list[Fault]) -> SpecObject | None:
    if len(plannings) > 1:
        known = {(fault.object.identity, fault.code) for fault in faults}
        for planning in plannings:
            if (planning.identity, "E205") not in known:
                others = ", ".join(
                    f"`{each.name}` ({each.place})" for each in plannings[:4] if each is not planning
                )
                message = f"another Planning speaks of the same target, for {where}: {others}"
                faults.append(
                    Fault(planning, "E205", message, "remove one, or narrow its `domains`", ("spec", "job"))
                )
        return None
    return plannings[0] if plannings else None


_NOT_PLAIN: Final = tuple(
    f'"{word}"'.encode("ascii")
    for word in ("scope", "automatic", "report", "executor", "secrets", "user", "group", "limits", RENAMED_FROM)
)


def _is_plain(job: SpecObject) -> bool:
    """Whether a job is the installation's and says nothing of what is asked of all plans at once: a test of its text.

    `automatic` is also a mode, which is a fault without the criteria of that name.
    """
    return not job.mentions(*_NOT_PLAIN)


class _Whole:
    """Makes the plan of a plain job when it is asked for."""

    __slots__ = ("_ground", "_job")

    def __init__(self, job: SpecObject, ground: Ground) -> None:
        self._job, self._ground = job, ground

    def __call__(self) -> Plan:
        return _PlanMaker(self._job, Common(self._ground, {}, {}), []).plan(None, None, None)


class _PlanMaker:
    """Makes the plans of one job; what does not differ between its targets is made once."""

    def __init__(self, job: SpecObject, common: Common, faults: list[Fault]) -> None:
        self._job = job
        self._profiles = common.profiles
        self._ground = common.ground
        self._faults = faults
        self._plans: dict[tuple[int, str, str], Plan] = {}
        self._fixed: dict[str, Any] | None = None

    def plan(self, domain: SpecObject | None, system: SpecObject | None, area: SpecObject | None) -> Plan:
        profile = self._profiles[domain.name] if domain else -1
        key = (profile, system.name if system else "", f"{area.domain}/{area.name}" if area else "")
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = self._make(domain, system, area)
        return found

    def _make(self, domain: SpecObject | None, system: SpecObject | None, area: SpecObject | None) -> Plan:
        job, spec = self._job, self._job.spec
        if self._fixed is None:
            self._fixed = parts_of(job, self._ground.spec)
        deciding, planning = self._deciding(system, area)
        domain_spec: Spec = domain.spec if domain else {}
        zone = domain_spec.get("timeZone") or self._ground.time_zone
        automatic = spec.get("automatic")
        mode = Mode(planning.get("mode") or ("automatic" if automatic else "disabled"))
        if mode is Mode.AUTOMATIC and not automatic:
            help = "choose another mode, or add `automatic` to the job"
            message = f"`mode: automatic`, but `{job.name}` has no criteria"
            self._faults.append(Fault(deciding, "E208", message, help, ("spec", "mode")))
            mode = Mode.DISABLED
        schedule_spec: Spec | None = planning.get("schedule") if mode is Mode.SCHEDULED else None
        calendars = self._calendars(deciding, schedule_spec)
        own_zone = (schedule_spec or {}).get("timeZone") or zone
        criteria = automatic if mode is Mode.AUTOMATIC else None
        schedule_digest = sys.intern(digest_of([mode.value, schedule_spec, own_zone, calendars, criteria]))
        environment = domain_spec.get("environment")
        digest = digest_of([self._fixed["digest"], environment]) if environment else self._fixed["digest"]
        prunable = self._fixed["prunable"] and (domain is None or domain.annotations.get(PRUNE) != "disabled")
        return Plan(
            **{
                **self._fixed,
                "digest": digest,
                "prunable": prunable,
                "mode": mode,
                "schedule_digest": schedule_digest,
                "schedule": self._schedule(schedule_spec, own_zone, calendars, schedule_digest),
                "criteria": criteria_of(criteria, zone) if criteria else None,
                "pauses": pauses_of((job, spec.get("planning")), system, area, zone=own_zone),
                "report": merged_report(self._ground.installation, domain, job, system, area),
                "planning_path": self._fixed["path"] if deciding is job else deciding.place,
            }
        )

    def _deciding(self, system: SpecObject | None, area: SpecObject | None) -> tuple[SpecObject, Spec]:
        """The first that gives a mode: the domain's own Planning, the system's, the job's."""
        for planning in (area, system):
            if planning is not None and "mode" in planning.spec:
                return planning, planning.spec
        return self._job, self._job.spec.get("planning") or {}

    def _calendars(self, deciding: SpecObject, schedule: Spec | None) -> dict[str, Spec]:
        """The calendars that a schedule names; the missing ones were found when references were checked."""
        used = (schedule or {}).get("calendars") or {}
        found: dict[str, Spec] = {}
        for name in (*used.get("skip", ()), *used.get("only", ())):
            calendars = self._ground.calendars
            calendar = calendars.get((deciding.domain, name)) or calendars.get(("", name))
            if calendar is not None:
                found[name] = calendar.spec
        return found

    def _schedule(
        self, spec: Spec | None, zone: str, calendars: Mapping[str, Spec], digest: str
    ) -> LazySchedule | None:
        if spec is None:
            return None
        used = spec.get("calendars") or {}
        if any(name not in calendars for name in (*used.get("skip", ()), *used.get("only", ()))):
            return None
        known = self._ground.schedules.get(digest)
        if known is None:
            known = self._ground.schedules[digest] = LazySchedule(spec, zone, calendars)
        return known

"""Planning: the administrator's choice of when one job runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import ConfigDict

from reconciler.spec.blocks import PLANNING_RULES, DomainSelector, Metadata, PlanningBlock, Report
from reconciler.spec.checks import annotation_faults, domain_report_faults, schedule_faults
from reconciler.spec.fields import Model, Name, item, needed
from reconciler.spec.kinds import Body, Fault, Kind


class PlanningSpec(PlanningBlock):
    """When a job runs, for some or all of its targets."""

    model_config = ConfigDict(json_schema_extra=PLANNING_RULES)

    job: Name | None = item("Which job; default: the document's name.", "ldap-import")
    domains: DomainSelector | None = item("Which of the job's domains; default: all. Not in a domain area.")
    report: Report | None = item("Who hears about outcomes.", {"recipients": ["it@acme.example"]})


class Planning(Model):
    """The administrator's choice for one job; in a domain's folder for that domain, else for `domains`."""

    api_version: Literal["reconciler/v1"] = needed("The version of this form.")
    kind: Literal["Planning"] = needed("The kind of document.")
    metadata: Metadata = needed("What the planning is known by.", {"name": "ldap-import"})
    spec: PlanningSpec = needed("The choice.", {"mode": "disabled"})


def _check(body: Body) -> Iterator[Fault]:
    yield from annotation_faults(body, "Planning")
    if "schedule" in body["spec"]:
        yield from schedule_faults(body["spec"]["schedule"], ("spec", "schedule"))


def _check_in_domain(body: Body, domain: str) -> Iterator[Fault]:
    if "domains" in body["spec"]:
        help = "remove it: a Planning in this folder is for this domain"
        yield Fault("E121", "`domains` cannot be used in a domain area", help, ("spec", "domains"))
    yield from domain_report_faults(body["spec"].get("report") or {})


KIND = Kind("Planning", Planning, _check, _check_in_domain)

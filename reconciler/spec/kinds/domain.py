"""Domain: one tenant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from reconciler.spec.blocks import DomainMetadata, Report
from reconciler.spec.checks import annotation_faults
from reconciler.spec.fields import Description, Environment, Model, TimeZone, item, needed
from reconciler.spec.kinds import Body, Fault, Kind


class DomainSpec(Model):
    """What is particular to this domain."""

    description: Description | None = item("For people.", "ACME")
    time_zone: TimeZone | None = item(
        "The zone of its schedules; default: the Installation's.", "Europe/Paris"
    )
    environment: Environment | None = item(
        "Variables of its runs; they win over the Job's.", {"LDAP_HOST": "ldap.acme.example"}
    )
    report: Report | None = item("Who hears about outcomes of its runs.", {"recipients": ["it@acme.example"]})


class Domain(Model):
    """One tenant; lives in the system area."""

    api_version: Literal["reconciler/v1"] = needed("The version of this form.")
    kind: Literal["Domain"] = needed("The kind of document.")
    metadata: DomainMetadata = needed("What the domain is known by.", {"name": "acme.example"})
    spec: DomainSpec = needed("What is particular to it.", {"description": "ACME"})


def _check(body: Body) -> Iterator[Fault]:
    yield from annotation_faults(body, "Domain")


KIND = Kind("Domain", Domain, _check)

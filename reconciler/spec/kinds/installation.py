"""Installation: what holds for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from reconciler.spec.blocks import Metadata, Report
from reconciler.spec.checks import annotation_faults
from reconciler.spec.fields import (
    Address,
    Model,
    PositiveDuration,
    Secret,
    Size,
    TimeZone,
    UserName,
    bad,
    item,
    needed,
)
from reconciler.spec.kinds import Body, Fault, Kind


def _check_name(name: str) -> str:
    if name != "installation":
        raise bad("E113", "an Installation is always named `installation`", "write `name: installation`")
    return name


InstallationName = Annotated[
    str, AfterValidator(_check_name), Field(json_schema_extra={"const": "installation"})
]


class InstallationMetadata(Metadata):
    """There is at most one Installation."""

    name: InstallationName = needed("Always `installation`.", "installation")


class Retention(Model):
    """How much history is kept; the last run, success and failure of a target always stay."""

    runs: Annotated[int, Field(ge=1, le=1_000_000)] = item("Started runs per target.", default=100)
    age: PositiveDuration = item("How long.", default="90d")
    log: Size = item("Bound on one attempt's log.", default="64MiB")
    total: Size = item("Bound on all of it.", default="10GiB")


class Prune(Model):
    """How much may go away without being approved."""

    max_targets: Annotated[int, Field(ge=0)] = item(
        "More than this many targets at once are held.", default=10
    )


class Mail(Model):
    """How reports are sent."""

    smtp: Annotated[str, Field(pattern=r"^smtps?://[A-Za-z0-9.\-\[\]:]+$", max_length=300)] = needed(
        "The mail server.", "smtp://mail.example.org:587"
    )
    tls: Literal["starttls", "tls", "none"] = item("How the connection is protected.", default="starttls")
    from_: Address = needed("The sender.", "reconciler@example.org")
    username: Annotated[str, Field(max_length=300)] | None = item("For servers that ask.", "reconciler")
    password_secret: Secret | None = item("Name of the secret with the password.", "smtp")


Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$", max_length=253)]


class InstallationSpec(Model):
    """What holds for all jobs and domains."""

    time_zone: TimeZone = item("The zone of schedules that name none.", default="UTC")
    hosts: list[Host] | None = item(
        "The only machines that serve or apply this; elsewhere they refuse.",
        ["mail1.example.net"],
        min_length=1,
    )
    max_parallel: Annotated[int, Field(ge=1, le=100_000)] = item("Runs at once on this machine.", default=16)
    max_parallel_per_domain: Annotated[int, Field(ge=1, le=100_000)] | None = item(
        "Runs at once of one domain; default: no limit.", 4
    )
    user: UserName | None = item("Default user of jobs when the reconciler is root.", "nobody")
    retention: Retention | None = item("How much history is kept.", {"runs": 100})
    prune: Prune | None = item("How much may go away without being approved.", {"maxTargets": 10})
    report: Report | None = item("Who hears about outcomes.", {"recipients": ["ops@example.org"]})
    mail: Mail | None = item(
        "How reports are sent.", {"smtp": "smtp://localhost:25", "from": "ops@example.org"}
    )


class Installation(Model):
    """What holds for all; at most one. Once applied, its absence means a broken source: nothing changes."""

    api_version: Literal["reconciler/v1"] = needed("The version of this form.")
    kind: Literal["Installation"] = needed("The kind of document.")
    metadata: InstallationMetadata = needed("Always `installation`.", {"name": "installation"})
    spec: InstallationSpec = needed("What holds for all.", {"timeZone": "Europe/Paris"})


def _check(body: Body) -> Iterator[Fault]:
    yield from annotation_faults(body, "Installation")


KIND = Kind("Installation", Installation, _check)

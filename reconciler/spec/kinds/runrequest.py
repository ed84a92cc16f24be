"""RunRequest: run now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue

from reconciler.spec.blocks import Metadata
from reconciler.spec.checks import TARGET_PATTERN, annotation_faults
from reconciler.spec.fields import Description, Model, PositiveDuration, item, needed
from reconciler.spec.kinds import Body, Fault, Kind
from reconciler.spec.times import INSTANT_PATTERN, check_instant

Target = Annotated[str, Field(pattern=TARGET_PATTERN, max_length=400)]
Instant = Annotated[str, AfterValidator(check_instant), Field(json_schema_extra={"pattern": INSTANT_PATTERN})]


class RunRequestSpec(Model):
    """What to run now, and until when this holds."""

    targets: list[Target] = needed(
        "What to run: `job`, `job@domain`, `job@*`.",
        ["ldap-import@acme.example", "quota@*"],
        min_length=1,
        max_length=1000,
    )
    requested_at: Instant = needed("When it was asked for (RFC 3339).", "2026-11-22T10:30:00Z")
    parameters: dict[str, JsonValue] | None = item("Values for the job's parameters.", {"full": True})
    reason: Description | None = item("Why, for those who wonder.", "OPS-42")
    expires_after: PositiveDuration = item("How long it may still be taken up.", default="1h")


class RunRequest(Model):
    """Run now: one file per request; its name, in its domain, is a token that is handled once for ever."""

    api_version: Literal["reconciler/v1"] = needed("The version of this form.")
    kind: Literal["RunRequest"] = needed("The kind of document.")
    metadata: Metadata = needed("The token.", {"name": "20261122t103000z-ldap-import-7f3a"})
    spec: RunRequestSpec = needed(
        "What to run.", {"targets": ["backup"], "requestedAt": "2026-11-22T10:30:00Z"}
    )


def _check(body: Body) -> Iterator[Fault]:
    yield from annotation_faults(body, "RunRequest")
    for name, value in (body["spec"].get("parameters") or {}).items():
        if isinstance(value, dict | list):
            yield Fault(
                "E123", f"the parameter `{name}` is not a single value", "", ("spec", "parameters", name)
            )


def _check_in_domain(body: Body, domain: str) -> Iterator[Fault]:
    for index, target in enumerate(body["spec"]["targets"]):
        _, separator, named = target.partition("@")
        if separator and named != domain:
            help = "write the job alone: it means the one of this domain"
            yield Fault("E121", f"`{target}` is outside this domain", help, ("spec", "targets", index))


KIND = Kind("RunRequest", RunRequest, _check, _check_in_domain)

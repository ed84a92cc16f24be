"""Administrator: a person, and what this person may see and do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from reconciler.spec.blocks import Metadata
from reconciler.spec.checks import annotation_faults
from reconciler.spec.fields import Address, DomainName, Model, bad, item, needed
from reconciler.spec.kinds import Body, Fault, Kind

AdministratorIdentity = Annotated[
    str, Field(pattern=r"^(password|token|proxy|unix|signer):[^\s:][^\s]*$", max_length=300)
]


class AdministratorSpec(Model):
    """Who this is, and what this person may see and do."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"role": {"const": "domain"}}},
            "then": {"required": ["domains"]},
            "else": {"not": {"required": ["domains"]}},
        }
    )

    role: Literal["system", "domain"] = needed("`system`: everything; `domain`: only `domains`.", "domain")
    domains: list[DomainName] | None = item("For `role: domain`: which.", ["acme.example"], min_length=1)
    email: Address | None = item("Where to write to.", "alice@acme.example")
    identities: list[AdministratorIdentity] | None = item(
        "How this person is recognised: `password:` and `token:` name secrets; `proxy:`, `unix:`, `signer:` names.",
        ["unix:alice", "password:alice-hash"],
    )

    @model_validator(mode="after")
    def _agrees(self) -> AdministratorSpec:
        if self.role == "domain" and self.domains is None:
            raise bad("E105", "`role: domain` needs `domains`", "add `domains`", ("role",))
        if self.role == "system" and self.domains is not None:
            raise bad(
                "E115", "`role: system` sees everything; `domains` says otherwise", "remove one", ("domains",)
            )
        return self


class Administrator(Model):
    """A person, and what this person may see and do."""

    api_version: Literal["reconciler/v1"] = needed("The version of this form.")
    kind: Literal["Administrator"] = needed("The kind of document.")
    metadata: Metadata = needed("What the person is known by.", {"name": "alice"})
    spec: AdministratorSpec = needed("Role and identities.", {"role": "system"})


def _check(body: Body) -> Iterator[Fault]:
    yield from annotation_faults(body, "Administrator")


KIND = Kind("Administrator", Administrator, _check)

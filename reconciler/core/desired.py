"""What the source asks for as a whole: targets with their plans, domains, administrators, requests and bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from reconciler.core.model import INSTALLATION, Revision, TargetId
from reconciler.core.plan import Plan, Retention

ANNOTATION_EXPIRES: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """What admission has to keep: runs at once on this machine, and of any one domain (None: no own limit)."""

    max_parallel: int = 16
    max_parallel_per_domain: int | None = None

    def domain_full(self, domain: str, running: int) -> bool:
        """Whether `running` runs are all that the domain may have; the installation's own jobs have no such limit."""
        most = self.max_parallel_per_domain
        return bool(domain) and most is not None and running >= most


@dataclass(frozen=True, slots=True)
class RunNow:
    """A `reconciler/run-requested-at` annotation found on a Job or a Planning."""

    token: str
    """Unique: the identity of the annotated object and the annotation's text."""
    kind: str
    domain: str
    name: str
    value: str
    requested_at: datetime

    @property
    def expires_at(self) -> datetime:
        return self.requested_at + ANNOTATION_EXPIRES

    def is_expired(self, now: datetime) -> bool:
        """Whether it is too late to start anything because of it."""
        return now > self.expires_at


@dataclass(frozen=True, slots=True)
class Request:
    """A RunRequest document."""

    domain: str
    """The domain area it stands in, "" for the system area."""
    name: str
    targets: tuple[str, ...]
    requested_at: datetime
    expires_after: timedelta
    parameters: Mapping[str, Any]
    reason: str
    digest: str
    path: str
    requester: str = ""

    @property
    def token(self) -> str:
        return f"{self.domain or INSTALLATION}/{self.name}"

    @property
    def expires_at(self) -> datetime:
        return self.requested_at + self.expires_after

    def is_expired(self, now: datetime) -> bool:
        """Whether it is too late to start anything because of it, and what it names need not exist any more."""
        return now > self.expires_at


@dataclass(frozen=True, slots=True)
class DomainInfo:
    name: str
    labels: tuple[tuple[str, str], ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who may see and do what (CONTRACT.md, Administrator)."""

    name: str
    role: str
    domains: tuple[str, ...] = ()
    email: str = ""
    identities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything that the source asks for, resolved. Targets that share a plan share the object."""

    targets: Mapping[TargetId, Plan] = field(default_factory=dict)
    domains: Mapping[str, DomainInfo] = field(default_factory=dict)
    administrators: Mapping[str, Administrator] = field(default_factory=dict)
    requests: Sequence[Request] = ()
    run_now: Sequence[RunNow] = ()
    limits: Limits = Limits()
    retention: Retention = field(default_factory=Retention)
    prune_max_targets: int = 10
    approved_digest: str = ""
    hosts: tuple[str, ...] | None = None
    default_zone: str = "UTC"
    mail: Mapping[str, Any] | None = None
    revision: Revision = field(default_factory=Revision)

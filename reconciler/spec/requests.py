"""What asks for a run now: RunRequest documents and annotations, as the engine takes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from reconciler.core.desired import Request, RunNow
from reconciler.core.units import parse_duration
from reconciler.spec.objects import RUN_REQUESTED_AT, SpecObject


def request_of(item: SpecObject) -> Request:
    """Read a RunRequest document."""
    spec = item.spec
    return Request(
        domain=item.domain,
        name=item.name,
        targets=tuple(spec["targets"]),
        requested_at=_instant_of(spec["requestedAt"]),
        expires_after=timedelta(seconds=parse_duration(spec.get("expiresAfter", "1h"))),
        parameters=spec.get("parameters") or {},
        reason=spec.get("reason", ""),
        digest=item.digest,
        path=item.place,
    )


def run_now_of(item: SpecObject) -> RunNow:
    """Read the annotation of a Job or a Planning that has one."""
    value = item.annotations[RUN_REQUESTED_AT]
    token = f"{item.kind}/{item.domain}/{item.name}#{value}"
    return RunNow(token, item.kind, item.domain, item.name, value, _instant_of(value.partition("#")[0]))


def _instant_of(text: str) -> datetime:
    """Read a time with its offset as an instant, UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)

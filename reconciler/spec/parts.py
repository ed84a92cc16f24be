"""The blocks of a Job, its Plannings and the Installation as the parts of a Plan.

Works on the plain bodies of validated documents; nothing here knows which domain or Planning counts (`spec.plans`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from reconciler.core.model import State
from reconciler.core.plan import (
    Concurrency,
    Criteria,
    Expect,
    Needs,
    Pause,
    Probe,
    Retention,
    Retry,
    Warnings,
    Window,
)
from reconciler.core.units import parse_duration, parse_size
from reconciler.core.zones import zone as find_zone
from reconciler.spec.objects import PRUNE, RENAMED_FROM, SpecObject, digest_of
from reconciler.triggers.calendars import moment_of

Spec = Mapping[str, Any]

_RUN_FIELDS: Final = frozenset(
    (
        "command", "script", "shell", "environment", "secrets", "user", "group", "workingDirectory", "umask", "limits",
        "parameters", "timeout", "stopSignal", "stopGrace", "warnings", "expect", "executor", "retry", "concurrency",
        "locks",
    )
)  # fmt: skip
"""What a run depends on: the digest of a plan covers these."""


def parts_of(job: SpecObject, installation: Spec) -> dict[str, Any]:
    """The fields of a Plan that are the same for all targets of a job."""
    spec, metadata = job.body["spec"], job.body["metadata"]
    annotations = metadata.get("annotations") or {}
    depends = {name: spec[name] for name in spec if name in _RUN_FIELDS}
    if "user" not in depends and "user" in installation:
        depends["user"] = installation["user"]
    parts: dict[str, Any] = {
        "job": job.name,
        "scope": spec.get("scope", "installation"),
        "digest": digest_of(depends),
        "concurrency": Concurrency(spec.get("concurrency", "skip")),
        "locks": tuple(dict.fromkeys(spec["locks"])) if "locks" in spec else (),
        "timeout_seconds": _seconds(spec.get("timeout")),
        "executor": (spec.get("executor") or {}).get("name", "local"),
        "description": spec.get("description", ""),
        "labels": _shared(tuple(sorted((metadata.get("labels") or {}).items()))),
        "path": job.place,
        "secrets": tuple(sorted(set(spec["secrets"].values()))) if "secrets" in spec else (),
        "needs": needs_of(spec, installation.get("user")),
        "retention": _retention(installation.get("retention") or {}, spec.get("retention") or {}),
        "prunable": annotations.get(PRUNE) != "disabled",
        "renamed_from": annotations.get(RENAMED_FROM, ""),
    }
    if "retry" in spec:
        parts["retry"] = _retry(spec["retry"])
    if "expect" in spec:
        parts["expect"] = _expect(spec["expect"])
    if "warnings" in spec:
        warnings = spec["warnings"]
        parts["warnings"] = Warnings(tuple(warnings.get("exitCodes", ())), warnings.get("level", "error"))
    return parts


@lru_cache(maxsize=1024)
def _seconds(text: str | None) -> float | None:
    return None if text is None else parse_duration(text)


def _retry(spec: Spec) -> Retry:
    return Retry(
        attempts=spec["attempts"],
        delay_seconds=parse_duration(spec.get("delay", "30s")),
        backoff=float(spec.get("backoff", 2.0)),
        max_delay_seconds=parse_duration(spec.get("maxDelay", "10m")),
        exit_codes=tuple(spec.get("exitCodes", ())),
        states=tuple(State(state) for state in spec.get("states", ("failure",))),
    )


def _expect(spec: Spec) -> Expect:
    duration = spec.get("duration") or {}
    return Expect(
        start_within_seconds=_seconds(spec.get("startWithin")),
        duration_min_seconds=_seconds(duration.get("min")),
        duration_max_seconds=_seconds(duration.get("max")),
        output_lines_min=(spec.get("outputLines") or {}).get("min"),
        success_every_seconds=_seconds(spec.get("successEvery")),
    )


@lru_cache(maxsize=1024)
def _shared(labels: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The same object for the same labels: thousands of jobs have few of them."""
    return labels


_NOTHING_NEEDED: Final = Needs()


def needs_of(spec: Spec, default_user: str | None) -> Needs:
    """What a job with this `spec` asks of the machine; `default_user` is the Installation's."""
    limits = spec.get("limits")
    if default_user is None and limits is None and "user" not in spec and "group" not in spec:
        return _NOTHING_NEEDED
    return Needs(spec.get("user"), default_user, spec.get("group"), tuple(sorted((limits or {}).items())))


_DEFAULT_RETENTION: Final = Retention()


def _retention(installation: Spec, job: Spec) -> Retention:
    given = {**installation, **job}
    return retention_of(given) if given else _DEFAULT_RETENTION


def retention_of(spec: Spec) -> Retention:
    """Read a `retention` block."""
    return Retention(
        runs=spec.get("runs", 100),
        age_seconds=parse_duration(spec.get("age", "90d")),
        log_bytes=parse_size(spec.get("log", "64MiB")),
        total_bytes=parse_size(spec.get("total", "10GiB")),
    )


def criteria_of(spec: Spec, zone: str) -> Criteria:
    """Read an `automatic` block; its window is in the time of `zone`."""
    probe, window = spec.get("probe"), spec.get("window")
    return Criteria(
        every_seconds=_seconds(spec.get("every")),
        on_change=tuple(spec.get("onChange", ())),
        after=tuple(dict.fromkeys(spec.get("after", ()))),
        probe=Probe(tuple(probe["command"]), parse_duration(probe.get("every", "1m"))) if probe else None,
        window=Window(_minute(window["from"]), _minute(window["to"]), zone) if window else None,
    )


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def pauses_of(
    job: tuple[SpecObject, Spec | None], system: SpecObject | None, area: SpecObject | None, zone: str
) -> tuple[Pause, ...]:
    """The pauses that the job and its Plannings write, expired ones included; dates are of `zone`."""
    blocks = [job, *((planning, planning.spec) for planning in (system, area) if planning is not None)]
    return tuple(_pause(spec["pause"], zone, source) for source, spec in blocks if spec and "pause" in spec)


def _pause(spec: Spec, zone: str, source: SpecObject) -> Pause:
    until = spec.get("until")
    moment = None
    if until is not None:
        moment = datetime.fromtimestamp(moment_of(until, "until", find_zone(zone))[1], UTC)
    return Pause(moment, spec.get("reason", ""), source.place)

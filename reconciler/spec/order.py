"""The order of one attempt out of documents: argv and environment exist from here on only. Pure, without pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.core.model import TargetId
from reconciler.core.units import parse_duration, parse_size
from reconciler.ports.executor import AttemptId, Order, ProcessLimits, script_argv
from reconciler.spec.parameters import parameter_text
from reconciler.spec.substitution import parameter_variable, substitute

Spec = Mapping[str, Any]

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL: Final = ("/bin/sh", "-eu")
PROBE_TIMEOUT_SECONDS: Final = 300.0
"""A probe of a job without a timeout of its own is stopped after this."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a run runs as, as the user database has it."""

    name: str
    home: str
    shell: str


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run is told about itself. Times are RFC 3339 texts, "" where there is none."""

    target: TargetId
    run: str
    attempt: int
    group: str = ""
    slot: str = ""
    trigger: str = ""
    revision: str = ""
    last_success: str = ""
    state_folder: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Checked values, defaults included (`check_parameters`)."""


@dataclass(frozen=True, slots=True)
class Site:
    """What holds for all orders here."""

    account: Account
    """Of the user that `user_of` names, or of the reconciler itself."""
    default_user: str | None = None
    """The Installation's `user`, where the reconciler is root."""
    secrets_folder: str = ""
    log_bytes: int | None = None


def user_of(job: Spec, default_user: str | None) -> str | None:
    """Name the user that a job runs as; None is the reconciler's own. `job` is the spec of its body."""
    user: str | None = job.get("user", default_user)
    return user


def make_order(job: Spec, domain: Spec | None, facts: RunFacts, site: Site) -> Order:
    """Make the order of one attempt of a run. `job` and `domain` are the specs of their bodies."""
    variables = environment(job, domain, facts, site.account)
    if "script" in job:
        argv = script_argv(job.get("shell", DEFAULT_SHELL), job["script"], facts.target.job)
    else:
        argv = substitute(job["command"], variables)
    timeout = job.get("timeout")
    return _order(job, facts, site, argv, variables, parse_duration(timeout) if timeout else None)


def probe_order(job: Spec, domain: Spec | None, facts: RunFacts, site: Site) -> Order:
    """Make the order of the job's probe."""
    variables = environment(job, domain, facts, site.account)
    argv = substitute(job["automatic"]["probe"]["command"], variables)
    timeout = job.get("timeout")
    return _order(
        job, facts, site, argv, variables, parse_duration(timeout) if timeout else PROBE_TIMEOUT_SECONDS
    )


def _order(
    job: Spec,
    facts: RunFacts,
    site: Site,
    argv: tuple[str, ...],
    variables: Mapping[str, str],
    timeout_seconds: float | None,
) -> Order:
    return Order(
        attempt=AttemptId.of(facts.target, facts.run, facts.attempt),
        argv=argv,
        environment=variables,
        secrets=dict(job.get("secrets") or {}),
        secrets_folder=site.secrets_folder,
        working_directory=job.get("workingDirectory", "/"),
        user=user_of(job, site.default_user),
        group=job.get("group"),
        umask=int(job.get("umask", "022"), 8),
        limits=_limits(job.get("limits")),
        timeout_seconds=timeout_seconds,
        stop_signal=job.get("stopSignal", "TERM"),
        stop_grace_seconds=parse_duration(job.get("stopGrace", "10s")),
        log_bytes=site.log_bytes,
    )


def environment(job: Spec, domain: Spec | None, facts: RunFacts, account: Account) -> dict[str, str]:
    """Give a run exactly its environment, besides its secrets (CONTRACT.md 2); nothing comes from the daemon."""
    variables = {
        "PATH": DEFAULT_PATH,
        "HOME": account.home,
        "USER": account.name,
        "LOGNAME": account.name,
        "SHELL": account.shell or "/bin/sh",
        "LANG": "C.UTF-8",
        **(job.get("environment") or {}),
        **((domain or {}).get("environment") or {}),
    }
    for name in job.get("secrets") or ():
        variables.pop(name, None)
    variables |= {
        "RECONCILE_JOB": facts.target.job,
        "RECONCILE_DOMAIN": facts.target.domain,
        "RECONCILE_RUN": facts.run,
        "RECONCILE_GROUP": facts.group,
        "RECONCILE_SLOT": facts.slot,
        "RECONCILE_TRIGGER": facts.trigger,
        "RECONCILE_ATTEMPT": str(facts.attempt),
        "RECONCILE_REVISION": facts.revision,
        "RECONCILE_LAST_SUCCESS": facts.last_success,
        "RECONCILE_STATE_DIR": facts.state_folder,
    }
    for name, value in facts.parameters.items():
        variables[parameter_variable(name)] = parameter_text(value)
    return variables


def _limits(limits: Spec | None) -> ProcessLimits | None:
    if not limits:
        return None
    cpu = limits.get("cpuTime")
    return ProcessLimits(
        memory_bytes=_bytes(limits.get("memory")),
        cpu_seconds=max(1, round(parse_duration(cpu))) if cpu else None,
        open_files=limits.get("openFiles"),
        file_size_bytes=_bytes(limits.get("fileSize")),
        nice=limits.get("nice"),
        io_priority=limits.get("ioPriority"),
    )


def _bytes(text: str | None) -> int | None:
    return None if text is None else parse_size(text)

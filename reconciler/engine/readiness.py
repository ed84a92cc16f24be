"""Whether this machine and this process can run a job at all, asked before its time comes: secrets, user, limits.

Answers are remembered, for they are asked for with every row that is written; `recheck` asks the machine again.
"""

from __future__ import annotations

import grp
import os
import pwd
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from reconciler.core.plan import Needs, Plan
from reconciler.core.units import parse_duration, parse_size

LOCAL: Final = "local"
_HARD_LIMITS: Final = (
    ("openFiles", resource.RLIMIT_NOFILE, int),
    ("fileSize", resource.RLIMIT_FSIZE, parse_size),
    ("cpuTime", resource.RLIMIT_CPU, lambda text: max(1, round(parse_duration(text)))),
)

class Readiness:
    """Says why runs of a plan cannot start here."""

    def __init__(self, secrets: Path) -> None:
        self._secrets = secrets
        self._known: dict[tuple[Needs, tuple[str, ...], str], str] = {}

    def recheck(self) -> None:
        """Ask the machine again from here on."""
        self._known.clear()

    def why_not(self, plan: Plan) -> str:
        """Why it cannot run now; empty when it can."""
        key = plan.needs, plan.secrets, plan.executor
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = "; ".join(self._faults(plan))
        return known

    def _faults(self, plan: Plan) -> list[str]:
        if plan.executor != LOCAL:
            return [f"there is no executor `{plan.executor}` here; there is: {LOCAL}"]
        needs = plan.needs
        return [
            *self._secret_faults(plan),
            *account_faults(needs.user, needs.group, needs.default_user),
            *limit_faults(dict(needs.limits)),
        ]

    def _secret_faults(self, plan: Plan) -> list[str]:
        missing = [name for name in plan.secrets if not os.access(self._secrets / name, os.R_OK)]
        if not missing:
            return []
        many = "s" if len(missing) > 1 else ""
        return [f"secret{many} missing in {self._secrets}: {', '.join(missing)}"]


def account_faults(user: str | None, group: str | None, default_user: str | None) -> list[str]:
    """What is wrong with the user and the group that a job wants to run as."""
    faults = []
    user = user or (default_user if os.geteuid() == 0 else None)
    account = None
    if user:
        try:
            account = pwd.getpwnam(user)
        except KeyError:
            faults.append(f"there is no user `{user}` on this machine")
    gid = account.pw_gid if account else os.getegid()
    if group:
        try:
            gid = grp.getgrnam(group).gr_gid
        except KeyError:
            faults.append(f"there is no group `{group}` on this machine")
    uid = account.pw_uid if account else os.geteuid()
    if not faults and os.geteuid() != 0 and (uid, gid) != (os.geteuid(), os.getegid()):
        wanted = f"user `{user}`" if account and uid != os.geteuid() else f"group `{group or gid}`"
        faults.append(f"only root may run it as {wanted}, and the reconciler runs as user {_own_name()}")
    return faults


def limit_faults(limits: Mapping[str, Any]) -> list[str]:
    """Which limits only root may set, where the reconciler is not."""
    if os.geteuid() == 0:
        return []
    faults = []
    lowest_nice = 20 - resource.getrlimit(resource.RLIMIT_NICE)[1]
    nice = limits.get("nice")
    if nice is not None and nice < min(0, lowest_nice) and nice < os.getpriority(os.PRIO_PROCESS, 0):
        faults.append(f"only root may set limits.nice to {nice}")
    for name, number, read in _HARD_LIMITS:
        hard = resource.getrlimit(number)[1]
        wanted = limits.get(name)
        if wanted is not None and hard != resource.RLIM_INFINITY and read(wanted) > hard:
            faults.append(f"limits.{name} {wanted} is more than this process may give ({hard})")
    return faults


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())

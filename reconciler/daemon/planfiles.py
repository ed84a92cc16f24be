"""Apply a plan that was kept in a file: exactly what it shows, and once for ever."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from reconciler.core.changes import Version
from reconciler.core.changes_file import PlanFile, StalePlan, check_plan
from reconciler.core.desired import Desired
from reconciler.daemon.http import CommandError

if TYPE_CHECKING:
    from reconciler.daemon.reconciler import Look, Reconciler

_AGAIN = "`reconcile plan --out FILE` makes a new one"


def plan_of(sent: Any) -> PlanFile | None:
    """The plan that was sent along, as `sent_of` writes it; None when there was none. Raises CommandError."""
    if sent is None:
        return None
    try:
        name, base, target, approval = (str(sent[key]) for key in ("id", "base", "target", "approval"))
        return PlanFile(name, base, target, approval, datetime.fromisoformat(sent["madeAt"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(400, "`plan` is not a plan") from error


def sent_of(plan: PlanFile) -> dict[str, str]:
    """What of a plan is sent to whoever applies it: what it is bound to."""
    made_at = plan.made_at.isoformat()
    return {
        "id": plan.id,
        "base": plan.base,
        "target": plan.target,
        "approval": plan.approval,
        "madeAt": made_at,
    }


def check(reconciler: Reconciler, plan: PlanFile, look: Look) -> None:
    """Refuse a plan that was used, or that says something else than the look. Raises CommandError."""
    used = reconciler.store.meta(_key(plan))
    if used is not None:
        raise CommandError(409, f"the plan was applied already, {used}", _AGAIN)
    in_force = Version(reconciler.stored.specs(), Desired())
    before, wanted = in_force, in_force
    if look.proposal is not None:
        before, wanted = look.proposal.before, look.proposal.wanted
    try:
        check_plan(plan, before, wanted)
    except StalePlan as error:
        raise CommandError(409, str(error), _AGAIN) from error


def note(reconciler: Reconciler, plan: PlanFile) -> None:
    """Keep for ever that the plan was used."""
    reconciler.store.set_meta(_key(plan), reconciler.clock.now().wall.isoformat(timespec="seconds"))


def _key(plan: PlanFile) -> str:
    return f"plan/{plan.id}"

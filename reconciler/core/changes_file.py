"""A plan kept in a file: what was shown is what is applied, or nothing is.

It is bound to the state that it was made against and to what the source said then. Applying it changes the first, so
it can be used once; when either has changed meanwhile, it is stale.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from reconciler.core.changes import Changes, Document, Version
from reconciler.core.changes_json import to_plain

FORMAT: Final = "reconciler-plan/1"


class StalePlan(Exception):
    """The plan cannot be applied any more, or never could; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class PlanFile:
    """What a plan is bound to."""

    id: str
    """Unique; the caller refuses an id that was used before."""
    base: str
    target: str
    approval: str
    """The digest of what it does that needs an approval, which whoever applies it gives; "" for nothing."""
    made_at: datetime


def digest_of(objects: Mapping[Any, Document]) -> str:
    """What names a state of all documents, wherever they are written."""
    digest = hashlib.sha256()
    for key in sorted(objects):
        digest.update("\0".join((*key, objects[key].digest)).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def write_plan(changes: Changes, before: Version, wanted: Version, plan_id: str) -> str:
    """The text of a plan file for `changes` between two versions."""
    body = {
        "format": FORMAT,
        "id": plan_id,
        "base": digest_of(before.objects),
        "target": digest_of(wanted.objects),
        "approval": changes.guard.digest,
        "madeAt": changes.now.astimezone(UTC).isoformat(timespec="seconds"),
        "changes": to_plain(changes),
    }
    return json.dumps({**body, "checksum": _checksum(body)}, ensure_ascii=False, indent=1) + "\n"


def read_plan(text: str) -> PlanFile:
    """Read a plan file. Raises StalePlan when it is none, or was changed by hand."""
    try:
        body = json.loads(text)
        checksum = body.pop("checksum")
        known = body["format"] == FORMAT
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StalePlan("this is not a plan file; make one with: reconcile plan --out FILE") from error
    if not known:
        raise StalePlan(f"the plan file has the format {body['format']!r}, and this version reads {FORMAT!r}")
    if checksum != _checksum(body):
        raise StalePlan("the plan file was changed after it was made; make it anew")
    made_at = datetime.fromisoformat(body["madeAt"])
    return PlanFile(body["id"], body["base"], body["target"], body["approval"], made_at)


def check_plan(plan: PlanFile, before: Version, wanted: Version) -> None:
    """Raise StalePlan unless the same is applied, and wanted, as when the plan was made."""
    if plan.base != digest_of(before.objects):
        raise StalePlan(
            "the plan is stale: something was applied since it was made, perhaps the plan itself; plan again"
        )
    if plan.target != digest_of(wanted.objects):
        raise StalePlan("the plan is stale: the source says something else than when it was made; plan again")


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

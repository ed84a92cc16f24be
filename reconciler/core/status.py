"""What a status document says: conditions in the Kubernetes form, made of a row of the list of targets.

`item` everywhere is what `views.jobs` gives for a target. A condition's lastTransitionTime is kept for as long as its
status stays the same; where it is known when the change happened, that counts, else when it was first seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from reconciler.core.yamlout import Inline

API_VERSION: Final = "reconciler/v1"
GOOD: Final = ("success", "warning")


def conditions(
    item: Mapping[str, Any], before: Iterable[Mapping[str, Any]], now: str
) -> list[dict[str, Any]]:
    """The conditions of a target at `now` (RFC 3339), after the ones it had `before`."""
    last = item["lastRun"] or {}
    ended = last.get("finishedAt") or last.get("startedAt")
    drift, paused, overdue = item["drift"], item["paused"], item["overdue"]
    found = [
        _ready(item),
        _condition("Running", bool(item["running"]), "Running" if item["running"] else "Idle", "",
                   last.get("startedAt") if item["running"] else ended),
        _last_run(last, ended),
        _condition("Overdue", bool(overdue), "Overdue" if overdue else "OnTime", overdue),
        _condition("Paused", bool(paused), "Paused" if paused else "Active", paused),
        _condition("Drifted", bool(drift), "LocalOverride" if drift else "AsDeclared", drift),
    ]  # fmt: skip
    known = {str(one.get("type")): one for one in before}
    for one in found:
        same = known.get(one["type"])
        if same is not None and same.get("status") == one["status"] and same.get("lastTransitionTime"):
            one["lastTransitionTime"] = same["lastTransitionTime"]
        else:
            one["lastTransitionTime"] = one["lastTransitionTime"] or now
    return [Inline(one) for one in found]


def _condition(
    kind: str, status: bool | None, reason: str, message: str, since: str | None = None
) -> dict[str, Any]:
    word = "Unknown" if status is None else "True" if status else "False"
    return {"type": kind, "status": word, "reason": reason, "message": message, "lastTransitionTime": since}


def _ready(item: Mapping[str, Any]) -> dict[str, Any]:
    if item["removed"]:
        return _condition("Ready", False, "Removed", "removed from the source; its history is kept")
    if item["notReady"]:
        return _condition("Ready", False, "NotReady", item["notReady"])
    return _condition("Ready", True, "Accepted", "")


def _last_run(last: Mapping[str, Any], ended: str | None) -> dict[str, Any]:
    state = last.get("state", "")
    if not state or state in ("running", "queued"):
        return _condition("Succeeded", None, "InProgress" if state else "NeverRan", "")
    reason = last.get("reason") or str(state).capitalize()
    return _condition("Succeeded", state in GOOD, reason, f"{last['run']} ended in {state}", ended)


def is_healthy(item: Mapping[str, Any]) -> bool:
    """Whether nothing about a target asks for a look: what is not, is shown even where the rest is summed up."""
    last = (item["lastRun"] or {}).get("state", "")
    return not (
        item["notReady"] or item["overdue"] or item["drift"] or last in ("failure", "interrupted", "missed")
    )


def job_status(
    item: Mapping[str, Any], revision: str, before: Iterable[Mapping[str, Any]], now: str
) -> dict[str, Any]:
    """The JobStatus document of a target; `revision` is where its Job was read."""
    return {
        "apiVersion": API_VERSION,
        "kind": "JobStatus",
        "metadata": {"name": item["job"], **({"domain": item["domain"]} if item["domain"] else {})},
        "status": {
            "observedRevision": revision,
            "digest": item["digest"],
            "state": item["state"],
            "planning": item["planning"],
            "nextRun": item["nextRun"],
            "lastRun": item["lastRun"],
            "lastSuccess": item["lastSuccess"],
            "failures": item["failures"],
            "definedIn": item["path"],
            "conditions": conditions(item, before, now),
        },
    }


def conditions_in(text: str) -> list[dict[str, Any]]:
    """The conditions that stand in a status file as we write it: one JSON object a line."""
    found = []
    for line in text.splitlines():
        words = line.strip()
        if words.startswith('- {"type":'):
            try:
                found.append(json.loads(words[2:]))
            except ValueError:
                continue
    return found

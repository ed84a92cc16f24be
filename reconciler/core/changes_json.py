"""Changes as JSON, with the key names of the status documents."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from reconciler.core.changes import Changes, ObjectChange, Side, TargetChange
from reconciler.core.changes_time import RunsChange
from reconciler.core.changes_words import NAMES, summary


def render_json(changes: Changes) -> str:
    """Show changes as one JSON document."""
    return json.dumps(to_plain(changes), ensure_ascii=False, indent=2) + "\n"


def to_plain(changes: Changes) -> dict[str, Any]:
    """The changes as plain values."""
    checked = changes.guard
    return {
        "empty": changes.is_empty,
        "summary": summary(changes),
        "before": changes.before,
        "after": changes.after,
        "at": _time(changes.now),
        "days": changes.days,
        "objects": [_object(each) for each in changes.objects],
        "targets": [_target(each) for each in changes.targets],
        "warnings": list(changes.warnings),
        "approval": {
            "digest": checked.digest,
            "approved": checked.approved,
            "reasons": list(checked.reasons),
            "pending": [
                {"target": str(item.target), "kind": str(item.held), "why": item.why}
                for item in checked.pending
            ],
            "kept": [{"target": str(item.target), "why": item.why} for item in checked.kept],
        },
        "held": [{"object": name, "why": why} for name, why in changes.held],
        "drift": [{"target": name, "what": what} for name, what in changes.drift],
        "rejected": [
            {"code": each.code, "path": each.path, "line": each.line, "message": each.message}
            for each in changes.diagnostics
            if each.severity == "error"
        ],
        "refused": changes.refused,
    }


def _object(change: ObjectChange) -> dict[str, Any]:
    return _without_empty(
        {
            "action": NAMES[change.action],
            "kind": change.kind,
            "domain": change.domain,
            "name": change.name,
            "path": change.path,
            "oldPath": change.old_path,
            "note": change.note,
            "fields": [{"path": f.path, "old": f.old or None, "new": f.new or None} for f in change.fields],
        }
    )


def _target(change: TargetChange) -> dict[str, Any]:
    return _without_empty(
        {
            "action": NAMES[change.action],
            "job": change.target.job,
            "domain": change.target.domain,
            "before": _side(change.before),
            "after": _side(change.after),
            "what": list(change.what),
            "renamedFrom": change.renamed_from,
            "held": change.held,
            "runs": _runs(change.runs),
        }
    )


def _side(side: Side | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return {
        "mode": side.mode.value,
        "planning": side.planning,
        "nextRun": _time(side.next_run),
        "paused": side.paused,
    }


def _runs(runs: RunsChange | None) -> dict[str, Any] | None:
    if runs is None or runs.is_empty:
        return None
    return {
        "added": runs.added,
        "removed": runs.removed,
        "moved": runs.moved,
        "firstAdded": [_time(each) for each in runs.first_added],
        "firstRemoved": [_time(each) for each in runs.first_removed],
        "firstMoved": [[_time(old), _time(new)] for old, new in runs.first_moved],
    }


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _without_empty(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if value not in (None, "", [])}

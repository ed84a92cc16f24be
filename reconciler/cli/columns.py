"""The columns of every list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from reconciler.cli.out import Column, status_text
from reconciler.cli.times import ago, local, span

KEYS: Final = {
    "jobs": "target",
    "runs": "name",
    "domains": "name",
    "requests": "name",
    "administrators": "name",
    "events": "seq",
}
"""What `-o name` prints of a row."""


def columns(kind: str, at: float, wide: bool) -> list[Column]:
    """The columns of a list at an instant: times relative to it, or absolute in the wide form."""

    def when(text: str | None) -> str:
        return local(text) if wide else ago(text, at)

    return _COLUMNS[kind](when)


def _state(item: dict[str, Any]) -> str:
    return str(item["state"])


def _job_status(item: dict[str, Any]) -> str:
    text = status_text(item["state"])
    if item["running"] > 1:
        text += f" ×{item['running']}"
    return text


def _job_notes(item: dict[str, Any]) -> str:
    """What a person should know at one look, the worst first."""
    notes = []
    if item["removed"]:
        notes.append("removed")
    if item["notReady"]:
        notes.append(f"not ready: {item['notReady']}")
    if item["overdue"]:
        notes.append(f"overdue: {item['overdue']}")
    if item["drift"]:
        notes.append(f"drift: {item['drift']}")
    elif item["paused"]:
        notes.append(f"paused {item['paused']}")
    if item["failures"] > 1:
        notes.append(f"{item['failures']} failures in a row")
    return "; ".join(notes)


def _job_columns(when: Callable[[str | None], str]) -> list[Column]:
    def last(key: str) -> Callable[[dict[str, Any]], Any]:
        return lambda item: (item["lastRun"] or {}).get(key)

    started, duration, run, reason = last("startedAt"), last("durationSeconds"), last("run"), last("reason")
    return [
        Column("STATUS", _job_status, color=_state),
        Column("JOB", lambda item: item["job"]),
        Column("DOMAIN", lambda item: item["domain"]),
        Column("PLANNING", lambda item: item["planning"]["text"]),
        Column("LAST RUN", lambda item: when(started(item))),
        Column("TOOK", lambda item: span(duration(item)), right=True),
        Column("NEXT RUN", lambda item: when(item["nextRun"])),
        Column("LOG", lambda item: "unread" if item["unread"] else ""),
        Column("REASON", lambda item: reason(item) or "", wide=True),
        Column("RUN", lambda item: run(item) or "", wide=True),
        Column("DEFINED IN", lambda item: item["path"], wide=True),
        Column("NOTES", _job_notes),
        Column("DESCRIPTION", lambda item: item["description"], wide=True),
    ]


def _run_reason(item: dict[str, Any]) -> str:
    reason = item.get("reason", "")
    if reason == "ExitCode":
        reason = f"exit {item.get('exitCode')}"
    elif reason == "Signal":
        reason = f"signal {item.get('signal')}"
    return str(item.get("waiting") or reason)


def _run_log(item: dict[str, Any]) -> str:
    log = item["log"]
    text = str(log["lines"])
    if log["errors"]:
        text += f" ✘{log['errors']}"
    if log["warnings"]:
        text += f" ⚠{log['warnings']}"
    return text


def _run_status(item: dict[str, Any]) -> str:
    text = status_text(item["state"])
    if item["state"] == "running" and "progress" in item:
        text += f" {item['progress']} %"
    if item.get("count"):
        text += f" ×{item['count']}"
    return text


def _run_columns(when: Callable[[str | None], str]) -> list[Column]:
    return [
        Column("STATUS", _run_status, color=_state),
        Column("RUN", lambda item: item["name"]),
        Column("TRIGGER", lambda item: item["trigger"]),
        Column("STARTED", lambda item: when(item.get("startedAt") or item.get("slot"))),
        Column("TOOK", lambda item: span(item.get("durationSeconds")), right=True),
        Column("LINES", _run_log, right=True),
        Column("REASON", _run_reason),
        Column("BY", lambda item: item.get("requester", ""), wide=True),
        Column("CAUSE", lambda item: item.get("cause", ""), wide=True),
        Column("REVISION", _run_revision, wide=True),
        Column("GROUP", lambda item: item.get("group", ""), wide=True),
        Column("MESSAGE", lambda item: item.get("message", "") or item.get("note", "")),
    ]


def _run_revision(item: dict[str, Any]) -> str:
    return str(item.get("revision", ""))[:12] + ("+dirty" if item.get("dirty") else "")


def _domain_columns(when: Callable[[str | None], str]) -> list[Column]:
    return [
        Column("DOMAIN", lambda item: item["name"]),
        Column("TARGETS", lambda item: str(item["targets"]), right=True),
        Column("RUNNING", lambda item: str(item["running"]), right=True),
        Column("FAILING", lambda item: str(item["failing"]), right=True),
        Column("OVERDUE", lambda item: str(item["overdue"]), right=True),
        Column("NEXT RUN", lambda item: when(item["nextRun"])),
        Column("LABELS", lambda item: ",".join(f"{k}={v}" for k, v in item["labels"].items())),
        Column("DESCRIPTION", lambda item: item["description"]),
    ]


def _request_columns(when: Callable[[str | None], str]) -> list[Column]:
    return [
        Column("OUTCOME", lambda item: item["outcome"]),
        Column("REQUEST", lambda item: item["name"]),
        Column("AREA", lambda item: item["domain"]),
        Column("HANDLED", lambda item: when(item["handledAt"])),
        Column("RUNS", lambda item: str(len(item.get("targets") or ())), right=True),
        Column("BY", lambda item: item["requester"]),
        Column("MESSAGE", lambda item: str(item.get("message") or item.get("reason") or "")),
    ]


def _administrator_columns(when: Callable[[str | None], str]) -> list[Column]:
    return [
        Column("NAME", lambda item: item["name"]),
        Column("ROLE", lambda item: item["role"]),
        Column("DOMAINS", lambda item: ",".join(item["domains"])),
        Column("E-MAIL", lambda item: item["email"]),
    ]


def _event_columns(when: Callable[[str | None], str]) -> list[Column]:
    return [
        Column("WHEN", lambda item: when(item["at"])),
        Column("TARGET", lambda item: item["target"]),
        Column("EVENT", lambda item: item["kind"]),
        Column("SEQ", lambda item: str(item["seq"]), wide=True),
        Column("WHAT", lambda item: item["text"]),
    ]


_COLUMNS: Final = {
    "jobs": _job_columns,
    "runs": _run_columns,
    "domains": _domain_columns,
    "requests": _request_columns,
    "administrators": _administrator_columns,
    "events": _event_columns,
}

"""What is seen of one target: the facts about it folded into all that a decision needs, as kept in its row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reconciler.core.facts import Ended, revive, to_json
from reconciler.core.model import Mode, Reason, State, Trigger
from reconciler.core.plan import Pause


@dataclass(slots=True)
class RunSeen:
    """A run that is not over."""

    run: str
    trigger: Trigger
    queued_at: datetime
    group: str = ""
    slot: datetime | None = None
    cause: str = ""
    parameters: Mapping[str, Any] | None = None
    deadline: datetime | None = None
    attempt: int = 0
    """The last attempt claimed; 0 before the first."""
    waiting: bool = True
    """True before a claim and between attempts; a waiting run holds nothing."""
    claimed_at: datetime | None = None
    boot_id: str = ""
    digest: str = ""
    revision: str = ""
    dirty: bool = False
    locks: tuple[str, ...] = ()
    """Held since the claim of the last attempt."""
    started_at: datetime | None = None
    attempt_started_at: datetime | None = None
    not_before: datetime | None = None
    not_before_boot: float = 0.0
    not_before_boot_id: str = ""
    stop_reason: Reason = Reason.NONE
    stop_by: str = ""
    ended: Ended | None = None
    """How the last attempt ended, until the run is finished or waits again."""


@dataclass(slots=True)
class LastRun:
    """The summary of a run that is over, for `lastRun`, `lastSuccess` and failure streaks."""

    run: str
    state: State
    reason: Reason
    started_at: datetime | None
    finished_at: datetime
    duration_seconds: float = 0.0
    message: str = ""
    trigger: Trigger = Trigger.SCHEDULE
    exit_code: int | None = None


@dataclass(slots=True)
class Seen:
    """All that a decision needs to know of one target; fold(checkpoint, later facts) gives it again."""

    since: datetime | None = None
    """Slots count from here: the last joining or swap."""
    mode: Mode = Mode.DISABLED
    plan_digest: str = ""
    schedule_digest: str = ""
    gone: bool = False
    cursor: int | None = None
    """The last settled slot, or `since`, in epoch seconds. Slots at or before it are settled."""
    runs: dict[str, RunSeen] = field(default_factory=dict)
    """The runs that are not over, in the order of their wishes."""
    last: LastRun | None = None
    """The last run that started and is over."""
    last_success: LastRun | None = None
    last_failure: LastRun | None = None
    failures: int = 0
    """Failures and interruptions in a row."""
    unstarted: int = 0
    """Slots in a row that started no run."""
    last_started_at: datetime | None = None
    every_from: datetime | None = None
    """After an edit or a resume `automatic.every` counts a full interval from here."""
    causes: list[str] = field(default_factory=list)
    """Criteria met and held, in order."""
    probed_at: datetime | None = None
    probing: bool = False
    probe_failures: int = 0
    probe_message: str = ""
    fingerprint: str = ""
    fingerprint_handled: str = ""
    upstream_mark: datetime | None = None
    overdue_since: datetime | None = None
    overdue_message: str = ""
    pause_until: datetime | None = None
    pause_reason: str = ""
    pause_by: str = ""

    @property
    def local_pause(self) -> Pause | None:
        """The pause of this machine alone, also one that has expired."""
        return None if self.pause_until is None else Pause(self.pause_until, self.pause_reason)

    @property
    def running(self) -> list[RunSeen]:
        return [run for run in self.runs.values() if not run.waiting]

    @property
    def waiting(self) -> list[RunSeen]:
        return [run for run in self.runs.values() if run.waiting]

    def to_json(self) -> dict[str, Any]:
        body = to_json(self)
        body.pop("runs", None)
        body.pop("causes", None)
        if self.runs:
            body["runs"] = [_run_json(run) for run in self.runs.values()]
        if self.causes:
            body["causes"] = list(self.causes)
        for name in ("last", "last_success", "last_failure"):
            item = getattr(self, name)
            if item is not None:
                body[name] = to_json(item)
        return body

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Seen:
        values = revive(cls, {k: v for k, v in body.items() if k not in _NESTED})
        seen = cls(**values)
        seen.causes = list(body.get("causes", ()))
        for item in body.get("runs", ()):
            run = _run_from_json(item)
            seen.runs[run.run] = run
        for name in ("last", "last_success", "last_failure"):
            item = body.get(name)
            if item is not None:
                setattr(seen, name, LastRun(**revive(LastRun, _with_defaults(item))))
        return seen


_NESTED = frozenset(("runs", "causes", "last", "last_success", "last_failure"))


def _with_defaults(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"started_at": None, **item}


def _run_json(run: RunSeen) -> dict[str, Any]:
    body = to_json(run)
    if run.ended is not None:
        body["ended"] = to_json(run.ended)
    return body


def _run_from_json(body: Mapping[str, Any]) -> RunSeen:
    values = revive(RunSeen, body)
    ended = values.pop("ended", None)
    run = RunSeen(**values)
    if ended is not None:
        run.ended = Ended(**revive(Ended, ended))
    return run

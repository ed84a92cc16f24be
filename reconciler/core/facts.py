"""What has happened to a target: facts, and the state that they fold into. Only facts change state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from reconciler.core.model import Mode, Reason, State, Trigger


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened at an instant; written once, never changed."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Joined(Fact):
    """The target was applied for the first time or anew, or its schedule was swapped: slots count from `at`."""

    mode: Mode
    plan_digest: str
    schedule_digest: str
    revision: str = ""
    again: bool = False
    """True for a swap of the schedule or a return after a removal: the target existed before."""


@dataclass(frozen=True, slots=True)
class Changed(Fact):
    """The definition changed and its schedule did not."""

    plan_digest: str
    revision: str = ""
    resumed: bool = False
    """True where the change ends a pause."""


@dataclass(frozen=True, slots=True)
class Left(Fact):
    """The target was removed from the source; its history stays."""

    revision: str = ""


@dataclass(frozen=True, slots=True)
class Settled(Fact):
    """Slots that started no run: `count` of them from `first` to `last`, all for the same reason."""

    state: State
    reason: Reason
    first: datetime
    last: datetime
    count: int
    message: str = ""

    @property
    def is_on_purpose(self) -> bool:
        """Whether nothing was expected of these slots, so that they make nobody overdue."""
        return self.reason in _ON_PURPOSE


_ON_PURPOSE = frozenset((Reason.PAUSED, Reason.CALENDAR, Reason.CLOCK_STEPPED, Reason.SCHEDULE_CHANGED))


@dataclass(frozen=True, slots=True)
class Queued(Fact):
    """A wish for a run. Its name can never be used again for this target."""

    run: str
    trigger: Trigger
    group: str = ""
    slot: datetime | None = None
    cause: str = ""
    """For automatic runs, the criterion: `every`, `after domain-sync/20261122T103000Z`, `probe`, `change`."""
    requester: str = ""
    parameters: Mapping[str, Any] | None = None
    note: str = ""
    deadline: datetime | None = None
    """Not started by then, it is missed."""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Claimed(Fact):
    """The intent to start an attempt, durable before anything is started."""

    run: str
    attempt: int
    boot_id: str
    digest: str
    revision: str = ""
    dirty: bool = False
    locks: tuple[str, ...] = ()
    """What it holds until it has ended, whatever becomes of its definition."""


@dataclass(frozen=True, slots=True)
class Started(Fact):
    run: str
    attempt: int
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Ended(Fact):
    """An attempt is over, as the run directory tells it."""

    run: str
    attempt: int
    exit_code: int | None = None
    signal: int | None = None
    reason: Reason = Reason.NONE
    message: str = ""
    lines: int = 0
    infos: int = 0
    warnings: int = 0
    errors: int = 0
    progress: int | None = None
    duration_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Delayed(Fact):
    """The run waits for its next attempt."""

    run: str
    attempt: int
    not_before: datetime
    not_before_boot: float = 0.0
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class StopAsked(Fact):
    run: str
    reason: Reason
    by: str = ""


@dataclass(frozen=True, slots=True)
class Finished(Fact):
    """The run is over; no attempt is left."""

    run: str
    state: State
    reason: Reason = Reason.NONE
    message: str = ""


@dataclass(frozen=True, slots=True)
class Met(Fact):
    """A criterion is met; it is held until a run comes of it."""

    cause: str


@dataclass(frozen=True, slots=True)
class Probed(Fact):
    """A heartbeat: the outcome of a probe. Only `met` and failures leave a fact."""

    outcome: str
    """`started`, `met`, `nothing`, `failed`, `lost` (nobody can say; it is asked again)."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Fingerprinted(Fact):
    """A heartbeat: what the watched files looked like; before the `:` in `digest` stands which files those are."""

    digest: str


@dataclass(frozen=True, slots=True)
class ClockSetBack(Fact):
    """Wall time went back: what lay ahead of now is clamped to now. Names of runs that exist are never used again."""


@dataclass(frozen=True, slots=True)
class OverdueBegan(Fact):
    message: str


@dataclass(frozen=True, slots=True)
class OverdueEnded(Fact):
    pass


@dataclass(frozen=True, slots=True)
class PausedLocally(Fact):
    """A time-limited override on this machine (`pause --local`); shows as drift."""

    until: datetime
    reason: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class ResumedLocally(Fact):
    by: str = ""


@dataclass(frozen=True, slots=True)
class HistoryRemoved(Fact):
    """Runs were removed from the history, by retention or (`by`) by hand. Changes nothing that decisions count from."""

    count: int
    size_bytes: int = 0
    rule: str = ""
    """`runs`, `age`, `total`; `by hand` when somebody asked for it."""
    first: str = ""
    """The names of the oldest and the newest of them."""
    last: str = ""
    by: str = ""


KINDS: dict[str, type[Fact]] = {
    kind.__name__: kind
    for kind in (
        Joined,
        Changed,
        Left,
        Settled,
        Queued,
        Claimed,
        Started,
        Ended,
        Delayed,
        StopAsked,
        Finished,
        Met,
        Probed,
        Fingerprinted,
        ClockSetBack,
        OverdueBegan,
        OverdueEnded,
        PausedLocally,
        ResumedLocally,
        HistoryRemoved,
    )
}


def is_heartbeat(fact: Fact) -> bool:
    """Whether the fact only overwrites what is seen and leaves no fact behind."""
    return isinstance(fact, Fingerprinted) or (
        isinstance(fact, Probed) and fact.outcome in ("started", "nothing", "lost")
    )


_FIELDS: dict[type, tuple[tuple[str, Any, Callable[[Any], Any] | None], ...]] = {}


def _spec(kind: type) -> tuple[tuple[str, Any, Callable[[Any], Any] | None], ...]:
    """The fields of a dataclass: name, default, and how its value is read from JSON."""
    known = _FIELDS.get(kind)
    if known is None:
        known = tuple((f.name, f.default, _READ.get(str(f.type))) for f in fields(kind))
        _FIELDS[kind] = known
    return known


def to_json(value: Any) -> dict[str, Any]:
    """One dataclass of facts or seen state as plain JSON values, without what is at its default."""
    out: dict[str, Any] = {}
    for name, default, _ in _spec(type(value)):
        item = getattr(value, name)
        if item is default or item == default:
            continue
        kind = type(item)
        if kind is datetime:
            item = item.isoformat()
        elif kind is not str and isinstance(item, Enum):
            item = item.value
        out[name] = item
    return out


_READ: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "datetime | None": datetime.fromisoformat,
    "Mode": Mode,
    "State": State,
    "Trigger": Trigger,
    "Reason": Reason,
    "tuple[str, ...]": tuple,
}
"""How a field of this annotation is read from its JSON text."""


def _revive(kind: type, body: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, _, read in _spec(kind):
        if name in body:
            item = body[name]
            out[name] = item if read is None or item is None else read(item)
    return out


def fact_from_json(kind: str, body: Mapping[str, Any]) -> Fact:
    """The fact that `to_json` was given."""
    cls = KINDS[kind]
    return cls(**_revive(cls, body))


@dataclass(slots=True)
class RunSeen:
    """A run that is not over."""

    run: str
    trigger: Trigger
    queued_at: datetime
    group: str = ""
    slot: datetime | None = None
    cause: str = ""
    requester: str = ""
    parameters: Mapping[str, Any] | None = None
    note: str = ""
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
    failed_attempts: int = 0
    lines: int = 0
    warnings: int = 0
    errors: int = 0

    @property
    def is_running(self) -> bool:
        return not self.waiting


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
        values = _revive(cls, {k: v for k, v in body.items() if k not in _NESTED})
        seen = cls(**values)
        seen.causes = list(body.get("causes", ()))
        for item in body.get("runs", ()):
            run = _run_from_json(item)
            seen.runs[run.run] = run
        for name in ("last", "last_success", "last_failure"):
            item = body.get(name)
            if item is not None:
                setattr(seen, name, LastRun(**_revive(LastRun, _with_defaults(item))))
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
    values = _revive(RunSeen, body)
    ended = values.pop("ended", None)
    run = RunSeen(**values)
    if ended is not None:
        run.ended = Ended(**_revive(Ended, ended))
    return run


def epoch(instant: datetime) -> int:
    """Whole seconds since 1970 of an aware datetime, rounded down."""
    return int(instant.timestamp() // 1)


def from_epoch(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

"""What has happened to a target, as facts, and how they are written down. Only facts change state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
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


def revive(kind: type, body: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, _, read in _spec(kind):
        if name in body:
            item = body[name]
            out[name] = item if read is None or item is None else read(item)
    return out


def fact_from_json(kind: str, body: Mapping[str, Any]) -> Fact:
    """The fact that `to_json` was given."""
    cls = KINDS[kind]
    return cls(**revive(cls, body))


def epoch(instant: datetime) -> int:
    """Whole seconds since 1970 of an aware datetime, rounded down."""
    return int(instant.timestamp() // 1)


def from_epoch(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

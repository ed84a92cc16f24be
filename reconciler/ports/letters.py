"""What reports need of the state: letters that collect outcomes, what each recipient was told, tails of logs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from reconciler.core.model import TargetId

COLLECTING = "collecting"
PENDING = "pending"
SENT = "sent"
GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter, without what it holds. Instants in epoch seconds."""

    id: int
    state: str
    medium: str
    recipient: str
    key: str
    group: str
    """The runs that it waits for, "" for none."""
    due: float
    latest: float
    created: float
    message_id: str
    tries: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mention:
    """What a letter says of one target; `count`: so many of its kind since the letter was begun."""

    target: TargetId
    run: str
    kind: str
    count: int
    body: Mapping[str, Any]


class Letters(Protocol):
    def standing(self, target: TargetId, recipient: str) -> Mapping[str, Any]: ...

    def put_standing(self, target: TargetId, recipient: str, body: Mapping[str, Any]) -> None:
        """Keep it; an empty body is forgotten."""

    def begin(self, letter: Letter) -> int:
        """Insert a letter (its `id` does not count); return its id."""

    def collecting(self, medium: str, recipient: str, key: str) -> Letter | None: ...

    def count_of(self, medium: str, recipient: str, key: str) -> int:
        """How many letters there were with this key."""

    def mention(self, letter: int, mention: Mention, together: bool) -> None:
        """Add to a letter. `together`: one of the same target and kind takes its place and counts it."""

    def mentions(self, letter: int) -> list[Mention]: ...

    def waits_for_group(self) -> bool:
        """Whether any letter waits for the runs of a group."""

    def wake_group(self, group: str, now: float) -> None:
        """Have the letters that wait for a group looked at, once their time has come."""

    def ready(self, now: float, limit: int) -> list[Letter]:
        """Collecting letters whose time has come."""

    def pending(self, now: float, medium: str, limit: int, without: Collection[int]) -> list[Letter]:
        """Letters to be sent now, the oldest first."""

    def next_collecting(self) -> float | None:
        """When the next collecting letter is to be looked at."""

    def next_pending(self, medium: str, after: float) -> float | None:
        """When the next letter is to be sent, of those later than `after`."""

    def postpone(self, letter: int, due: float, body: Mapping[str, Any]) -> None:
        """Let a collecting letter go on."""

    def close(self, letter: int, now: float, body: Mapping[str, Any]) -> None:
        """Nothing more is added; it is to be sent."""

    def drop(self, letter: int) -> None:
        """It has nothing to say."""

    def settle(self, letter: int, state: str, now: float, due: float, error: str) -> None:
        """Note how a try to send ended."""

    def give_up(self, medium: str, before: float, now: float, error: str) -> int:
        """Give up the pending letters created before; return how many."""

    def put_tail(self, target: TargetId, run: str, tail: bytes) -> None: ...

    def has_tail(self, target: TargetId, run: str) -> bool: ...

    def tail(self, target: TargetId, run: str) -> bytes: ...

    def forget(self, before: float) -> None:
        """Delete what was sent or given up before, and the tails that no letter needs any more."""

    # What there is to say.

    def run(self, target: TargetId, run: str) -> dict[str, Any]:
        """The values of a run; empty where it is not known."""

    def next_run(self, target: TargetId) -> float | None: ...

    def usual_seconds(self, target: TargetId) -> float | None:
        """The median duration of the last successes."""

    def open_runs(self, group: str) -> int: ...

    def members(self, group: str) -> dict[str, int]:
        """How many runs of a group are in which state."""

    def digest(self, targets: Collection[TargetId], since: float) -> dict[str, Any]:
        """What a digest says besides its mentions: still failing, overdue, never run, changes of duration."""

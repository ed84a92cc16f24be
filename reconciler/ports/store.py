"""What the engine needs of the state: one writer, one transaction for all that one round decides."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from reconciler.core.facts import Fact
from reconciler.core.model import TargetId
from reconciler.core.plan import Plan
from reconciler.core.seen import Seen


@dataclass(slots=True)
class Summary:
    """The columns of a target that lists show; times in epoch seconds."""

    mode: str
    planning: str
    wake_at: float | None
    next_run: float | None
    state: str
    reason: str
    run: str
    started: float | None
    finished: float | None
    duration: float | None
    exit_code: int | None
    success_at: float | None
    running: int
    queued: int
    failures: int
    overdue: str
    paused: str
    drift: str
    not_ready: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of a target without reading its state."""

    plan_digest: str
    schedule_digest: str
    gone: bool


class Store(Protocol):
    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, durable when the block has been left."""

    def due(self, now: float, limit: int) -> list[TargetId]:
        """Targets whose time to be looked at has come, earliest first."""

    def next_wake(self) -> float | None:
        """When the next target wants to be looked at, in epoch seconds."""

    def active(self) -> list[TargetId]:
        """Targets with a run that is not over."""

    def known(self, among: Collection[TargetId] | None = None) -> dict[TargetId, Known]:
        """Every target ever joined, or those of them that are asked for."""

    def seen(self, target: TargetId) -> Seen | None: ...

    def join(self, target: TargetId, plan: Plan) -> None:
        """Insert the target or refresh what its definition gives lists."""

    def rename(self, old: TargetId, new: TargetId) -> None:
        """Carry state, facts and runs of a target over to its new name, but for the runs that are not over."""

    def leave(self, target: TargetId) -> None: ...

    def save(self, target: TargetId, seen: Seen, summary: Summary) -> None: ...

    def record(self, target: TargetId, fact: Fact) -> None:
        """Append a fact and keep the row of its run."""

    def run_exists(self, target: TargetId, run: str) -> bool:
        """Whether the name is taken, also by a run that was removed from the history."""

    def remove_runs(self, target: TargetId, names: Sequence[str], now: float) -> int:
        """Take runs that are over out of the history; their names stay taken. Return how many there were."""

    def remove_facts(self, target: TargetId, before: float) -> int:
        """Remove some of what was noted of the target itself before an instant; return how much."""

    def forget_definitions(self, digests: Sequence[str], newest: int, now: float) -> int:
        """Remove those of these definitions that no run newer than `newest`, or under way, refers to."""

    def set_progress(self, target: TargetId, run: str, counts: Mapping[str, int | None]) -> None: ...

    def set_waiting(self, target: TargetId, run: str, why: str) -> None: ...

    def wake_all(self, at: float) -> None:
        """Have every target looked at (the clock was set back, the zones changed)."""

    def objects(self) -> Iterator[tuple[Any, ...]]: ...

    def object_body(self, kind: str, domain: str, name: str) -> Mapping[str, Any] | None: ...

    def put_objects(self, rows: Iterable[Sequence[Any]], gone: Iterable[tuple[str, str, str]]) -> None: ...

    def definition(self, digest: str) -> Mapping[str, Any] | None: ...

    def put_definition(self, digest: str, body: Mapping[str, Any]) -> None:
        """Keep what a run is made of; the same digest is kept once."""

    def all_succeeded(self, job: str, since: float) -> bool:
        """Whether every target of the job that may run has last succeeded, with a start after `since`."""

    def amend_token(self, token: str, body: Mapping[str, Any]) -> None: ...

    def files(self) -> Iterator[tuple[Any, ...]]: ...

    def put_files(self, rows: Iterable[Sequence[Any]], gone: Iterable[str]) -> None: ...

    def token(self, token: str) -> Mapping[str, Any] | None: ...

    def put_token(
        self, token: str, digest: str, outcome: str, requester: str, body: Mapping[str, Any]
    ) -> None: ...

    def meta(self, key: str) -> str | None: ...

    def set_meta(self, key: str, value: str) -> None: ...

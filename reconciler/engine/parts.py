"""What the engine is put together from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from reconciler.core.admit import Admission, Running, Waiting, admit
from reconciler.core.decide import decide
from reconciler.core.desired import Limits
from reconciler.core.facts import Fact
from reconciler.core.model import Instant, TargetId
from reconciler.core.plan import Plan
from reconciler.core.seen import RunSeen, Seen
from reconciler.engine.board import Decide
from reconciler.ports.clock import Clock
from reconciler.ports.executor import AttemptId, Executor, Order
from reconciler.ports.logs import Logs
from reconciler.ports.store import Store

PROBE_RUN = "_probe"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an attempt is made of, and the order that starts it; `error` instead of an order says why it cannot be."""

    digest: str
    order: Order | None
    error: str = ""


class Orders(Protocol):
    """Makes orders out of documents, at the claim."""

    def prepare(self, target: TargetId, run: RunSeen, attempt: int, seen: Seen) -> Prepared:
        """Freeze the definition with the first attempt, reuse it for the others; make the order."""

    def probe(self, target: TargetId, attempt: int) -> Prepared: ...

    def not_ready(self, plan: Plan) -> str:
        """Why the target cannot run now (a secret is missing); empty when it can."""

    def forget(self) -> None:
        """Documents have changed."""


Admit = Callable[[Sequence[Waiting], Sequence[Running], Limits, str], Admission]


@dataclass(slots=True)
class Parts:
    """What the engine is put together from."""

    store: Store
    clock: Clock
    executor: Executor
    logs: Logs
    orders: Orders
    measure: Callable[[], float]
    """Seconds of a monotonic clock, to bound a round."""
    discard: Callable[[AttemptId], None]
    """Delete the directory of an attempt that leaves no run behind."""
    changed: Callable[[set[TargetId]], None] = lambda targets: None
    """Told after each commit whose rows changed."""
    recorded: Callable[[list[tuple[TargetId, Fact]]], None] = lambda facts: None
    """Told after each commit which facts it holds."""
    starts: bool = True
    """False for a process that applies and leaves: it decides and records, and starts nothing."""
    hooks: list[Callable[[Sequence[tuple[TargetId, Fact]], Instant], None]] = field(default_factory=list)
    """Told in each transaction, when its rows are written, which facts it holds (letters)."""
    decide: Decide = decide
    admit: Admit = admit

"""Which waiting runs may start now: locks, places, fairness, and why each of the others waits.

The rule (CONTRACT.md 2, Waiting): a waiting run holds nothing; it takes all its locks and a place at once. It may
pass an earlier one only if they share no lock, or that one waits only for a place in another domain. Places go round
the domains with waiting runs; in a domain, requests first, then by instant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core.desired import Limits
from reconciler.core.model import Reason, TargetId, Trigger


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that may start as far as its target is concerned."""

    target: TargetId
    run: str
    trigger: Trigger
    since: datetime
    locks: tuple[str, ...] = ()
    blocked: Reason = Reason.NONE
    """Why it may not start yet for reasons of its own: `StillRunning`, `RetryDelay`, `NotReady`."""
    blocked_by: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """A run whose leader may live: it holds its locks and a place."""

    target: TargetId
    run: str
    locks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Why:
    """Why a run waits; rendered as `LocksBusy: database held by ...`."""

    reason: Reason
    text: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.text}" if self.text else str(self.reason)


@dataclass(slots=True)
class Admission:
    claims: list[Waiting] = field(default_factory=list)
    waits: dict[tuple[TargetId, str], Why] = field(default_factory=dict)
    last_domain: str = ""
    """The domain that was served last; give it back the next time."""


def admit(
    waiting: Sequence[Waiting], running: Sequence[Running], limits: Limits, last_domain: str = ""
) -> Admission:
    """Choose what starts now. The order of the arguments does not matter."""
    out = Admission(last_domain=last_domain)
    held = {lock: f"{r.target}/{r.run}" for r in running for lock in r.locks}
    counts: dict[str, int] = {}
    for r in running:
        counts[r.target.domain] = counts.get(r.target.domain, 0) + 1
    places = limits.max_parallel - len(running)
    ready: dict[tuple[TargetId, str], Waiting] = {}
    for item in sorted(waiting, key=_arrival):
        if item.blocked:
            out.waits[item.target, item.run] = Why(item.blocked, item.blocked_by)
        else:
            ready[item.target, item.run] = item
    queues = _Queues.of(ready.values())
    while True:
        choice = _next(queues, held, counts, limits, out.last_domain) if places > 0 else None
        if choice is None:
            break
        queues.take(choice)
        del ready[choice.target, choice.run]
        out.claims.append(choice)
        out.last_domain = choice.target.domain
        counts[choice.target.domain] = counts.get(choice.target.domain, 0) + 1
        held.update({lock: f"{choice.target}/{choice.run}" for lock in choice.locks})
        places -= 1
    _explain(out, list(ready.values()), held, _Places(limits, counts, places))
    return out


def _arrival(item: Waiting) -> tuple[datetime, TargetId, str]:
    return item.since, item.target, item.run


def _turn(item: Waiting) -> tuple[bool, datetime, TargetId, str]:
    return item.trigger is not Trigger.REQUEST, item.since, item.target, item.run


@dataclass(slots=True)
class _Queues:
    """What may start: the runs with locks in the order of their arrival, all others in each domain by their turn."""

    locking: list[Waiting]
    free: dict[str, deque[Waiting]]

    @classmethod
    def of(cls, ready: Iterable[Waiting]) -> _Queues:
        queues = cls([], {})
        for item in ready:
            if item.locks:
                queues.locking.append(item)
            else:
                queues.free.setdefault(item.target.domain, deque()).append(item)
        for domain, queue in queues.free.items():
            queues.free[domain] = deque(sorted(queue, key=_turn))
        return queues

    def take(self, item: Waiting) -> None:
        if item.locks:
            self.locking.remove(item)
            return
        queue = self.free[item.target.domain]
        queue.popleft()
        if not queue:
            del self.free[item.target.domain]


def _next(
    queues: _Queues,
    held: Mapping[str, str],
    counts: Mapping[str, int],
    limits: Limits,
    last_domain: str,
) -> Waiting | None:
    """The run that starts next: the first eligible one of the next domain in the round."""
    first: dict[str, Waiting] = {}
    reserved: set[str] = set()
    ahead: dict[str, set[str]] = {}
    for domain, queue in queues.free.items():
        if not limits.domain_full(domain, counts.get(domain, 0)):
            first[domain] = queue[0]
    for item in queues.locking:
        domain = item.target.domain
        earlier = ahead.setdefault(domain, set())
        if any(lock in held or lock in reserved or lock in earlier for lock in item.locks):
            # It waits for a lock: nobody who came later takes one of its locks before it.
            reserved.update(item.locks)
            continue
        earlier.update(item.locks)
        if limits.domain_full(domain, counts.get(domain, 0)):
            continue
        best = first.get(domain)
        if best is None or _turn(item) < _turn(best):
            first[domain] = item
    if not first:
        return None
    domains = sorted(first)
    return first[next((d for d in domains if d > last_domain), domains[0])]


@dataclass(frozen=True, slots=True)
class _Places:
    """What is taken, when nothing more could be claimed."""

    limits: Limits
    counts: Mapping[str, int]
    left: int

    def why_none(self, domain: str) -> Why:
        """Say which limit a run of this domain waits for, though its locks are free."""
        if self.left > 0 and self.limits.domain_full(domain, self.counts.get(domain, 0)):
            most = self.limits.max_parallel_per_domain
            return Why(Reason.NO_PLACE, f"{most} runs at once of {domain} (maxParallelPerDomain)")
        return Why(Reason.NO_PLACE, f"{self.limits.max_parallel} runs at once (maxParallel)")


def _explain(out: Admission, ready: Sequence[Waiting], held: Mapping[str, str], places: _Places) -> None:
    reserved: dict[str, str] = {}
    for item in ready:
        key = item.target, item.run
        busy = [lock for lock in item.locks if lock in held]
        behind = [lock for lock in item.locks if lock in reserved]
        if busy:
            text = ", ".join(f"{lock} held by {held[lock]}" for lock in busy)
            out.waits[key] = Why(Reason.LOCKS_BUSY, text)
        elif behind:
            text = ", ".join(f"{lock} is first for {reserved[lock]}" for lock in behind)
            out.waits[key] = Why(Reason.LOCKS_BUSY, text)
        else:
            out.waits[key] = places.why_none(item.target.domain)
            continue
        for lock in item.locks:
            reserved.setdefault(lock, f"{item.target}/{item.run}")

"""The invariants: what must hold whatever happens. The judge reads the facts in the store, and what really ran."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reconciler.core import facts as f
from reconciler.core.facts import Fact, epoch, fact_from_json
from reconciler.core.fold import fold
from reconciler.core.model import Mode, Reason, State, TargetId, Trigger
from reconciler.core.plan import Concurrency, Plan
from reconciler.core.seen import Seen
from reconciler.engine.parts import PROBE_RUN
from reconciler.ports.executor import AttemptId
from reconciler.store.sqlite import SqliteStore
from tests.sim.machine import Attempt, Machine
from tests.sim.ports import Claim, SimulatedExecutor

HEARTBEATS = ("probed_at", "probing", "probe_failures", "probe_message", "fingerprint", "fingerprint_handled")


class Violation(AssertionError):
    """An invariant does not hold."""


def must(holds: bool, *what: object) -> None:
    if not holds:
        raise Violation(" ".join(str(each) for each in what))


@dataclass
class History:
    """What the facts of one target say so far."""

    seen: Seen = field(default_factory=Seen)
    plan: Plan | None = None
    cursor: int = 0
    names: dict[str, f.Queued] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    ended: dict[str, f.Ended] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)


@dataclass
class Judge:
    machine: Machine
    plans: Mapping[str, Plan]
    """Every plan ever wanted, by its schedule digest."""
    claims: dict[AttemptId, Claim] = field(default_factory=dict)
    histories: dict[TargetId, History] = field(default_factory=dict)
    read_until: int = 0
    rows: int = 0

    # What really runs.

    def spawned(self, item: Attempt) -> None:
        """A process starts: it may, and only once."""
        must(item.spawns == 1, item.id.path, "was started", item.spawns, "times")
        if item.id.run == PROBE_RUN or item.forgotten:
            return
        claim = self.claims.get(item.id)
        must(claim is not None, item.id.path, "was started and never claimed")
        assert claim is not None
        living = [x for x in self.machine.living.values() if x.id.run != PROBE_RUN and not x.forgotten]
        for other in living:
            theirs = self.claims[other.id]
            if other.id.folder == item.id.folder:
                allowed = claim.plan.concurrency is Concurrency.ALLOW
                must(allowed, item.id.path, "overlaps", other.id.path)
            both = set(theirs.locks) & set(claim.locks)
            must(not both, item.id.path, "and", other.id.path, "both hold", both)
        must(len(living) < claim.most, item.id.path, "is one more than maxParallel", claim.most)
        domain = item.id.folder.partition("/")[0]
        of_domain = sum(x.id.folder.startswith(f"{domain}/") for x in living)
        if claim.most_of_domain is not None and domain != "_installation":
            must(of_domain < claim.most_of_domain, item.id.path, "is one more than its domain may have")

    # What is recorded.

    def read(self, store: SqliteStore) -> None:
        """Judge the facts that were added since the last reading."""
        rows = store.db.execute(
            "SELECT seq, job, domain, kind, body FROM facts WHERE seq > ? ORDER BY seq", (self.read_until,)
        ).fetchall()
        met: set[tuple[TargetId, str]] = set()
        expected: list[tuple[TargetId, str]] = []
        for seq, job, domain, kind, body in rows:
            self.read_until = seq
            self.rows += 1
            target = TargetId(job, domain)
            fact = fact_from_json(kind, json.loads(body))
            history = self.histories.setdefault(target, History())
            self._judge(target, history, fact)
            fold(history.seen, fact)
            if isinstance(fact, f.Met):
                met.add((target, fact.cause))
            if isinstance(fact, f.Finished) and fact.state.is_good:
                expected.extend((other, f"after {target}/{fact.run}") for other in self._followers(target))
        for other, cause in expected:
            must((other, cause) in met, other, "never heard of", cause)

    def _followers(self, target: TargetId) -> list[TargetId]:
        return [
            other
            for other, history in self.histories.items()
            if history.plan is not None
            and history.plan.mode is Mode.AUTOMATIC
            and history.plan.criteria is not None
            and target.job in history.plan.criteria.after
            and (other.domain == target.domain or not target.domain)
        ]

    def _judge(self, target: TargetId, history: History, fact: Fact) -> None:
        match fact:
            case f.Joined():
                self._closed(target, history, fact.at)
                history.plan = self.plans[fact.schedule_digest]
                history.cursor = epoch(fact.at)
            case f.Left():
                self._closed(target, history, fact.at)
                history.plan = None
            case f.ClockSetBack():
                history.cursor = min(history.cursor, epoch(fact.at))
            case f.Settled():
                self._settled(target, history, fact)
            case f.Queued():
                must(fact.run not in history.names, target, fact.run, "was wished for twice")
                history.names[fact.run] = fact
                if fact.slot is not None:
                    self._follows(target, history, epoch(fact.slot), fact)
                    history.cursor = epoch(fact.slot)
                must(
                    (fact.slot is not None) == (fact.trigger in (Trigger.SCHEDULE, Trigger.CATCH_UP)),
                    target, fact.run, "has no slot",
                )  # fmt: skip
            case f.Claimed():
                self._claimed(target, history, fact)
            case f.Ended():
                self._ended(target, history, fact)
            case f.Finished():
                self._finished(target, history, fact)
            case _:
                pass

    def _follows(self, target: TargetId, history: History, slot: int, fact: Fact) -> None:
        plan = history.plan
        must(plan is not None and plan.schedule is not None, target, "has no schedule:", fact)
        assert plan is not None
        assert plan.schedule is not None
        following = plan.schedule.next_after(history.cursor)
        must(
            following == slot,
            target,
            "slots were lost or settled twice:",
            following,
            "came before",
            slot,
            fact,
        )

    def _settled(self, target: TargetId, history: History, fact: f.Settled) -> None:
        self._follows(target, history, epoch(fact.first), fact)
        assert history.plan is not None
        assert history.plan.schedule is not None
        count, slot = 1, epoch(fact.first)
        while slot < epoch(fact.last):
            following = history.plan.schedule.next_after(slot)
            assert following is not None
            slot, count = following, count + 1
        must(slot == epoch(fact.last), target, "settled a slot that is none", fact)
        must(count == fact.count or bool(fact.message), target, "counted", fact.count, "of", count, fact)
        history.cursor = slot

    def _closed(self, target: TargetId, history: History, at: datetime) -> None:
        """The schedule ends at `at`: no slot until then is left without a word."""
        if history.plan is None or history.plan.schedule is None:
            return
        following = history.plan.schedule.next_after(history.cursor)
        must(
            following is None or following > epoch(at),
            target,
            "lost the slot",
            following,
            "in an edit at",
            at,
        )

    def _claimed(self, target: TargetId, history: History, fact: f.Claimed) -> None:
        wish = history.names.get(fact.run)
        must(wish is not None, target, fact.run, "was claimed and never wished for")
        assert wish is not None
        before = history.attempts.get(fact.run, 0)
        must(fact.attempt == before + 1, target, fact.run, "attempt", fact.attempt, "follows", before)
        claim = self.claims.get(AttemptId.of(target, fact.run, fact.attempt))
        if claim is not None and claim.plan.digest:
            most = claim.plan.retry.attempts if claim.plan.retry else 1
            must(fact.attempt <= most, target, fact.run, "has more attempts than", most)
        must(fact.run not in history.finished, target, fact.run, "was claimed after its end")
        history.attempts[fact.run] = fact.attempt
        if fact.attempt == 1 and wish.deadline is not None:
            must(fact.at <= wish.deadline, target, fact.run, "started after its deadline")
        if wish.slot is not None:
            early = (wish.slot - fact.at).total_seconds()
            must(early <= self.machine.set_back, target, fact.run, "started", early, "s before its slot")

    def _ended(self, target: TargetId, history: History, fact: f.Ended) -> None:
        history.ended[fact.run] = fact
        item = self.machine.attempts.get(AttemptId.of(target, fact.run, fact.attempt))
        if item is None:
            must(fact.reason is Reason.START_FAILED, target, fact.run, "ended and never was", fact)
            return
        truth = item.exit_code, item.signal, item.reason
        must((fact.exit_code, fact.signal, fact.reason) == truth, target, fact, "but really", truth)

    def _finished(self, target: TargetId, history: History, fact: f.Finished) -> None:
        must(fact.run not in history.finished, target, fact.run, "finished twice")
        history.finished.add(fact.run)
        ended = history.ended.get(fact.run)
        if fact.run not in history.attempts:
            must(
                not fact.state.is_good and fact.state is not State.FAILURE, target, fact, "without an attempt"
            )
            return
        must(ended is not None or fact.state is State.CANCELLED, target, fact, "without an end")
        if fact.state.is_good:
            must(ended is not None and ended.exit_code == 0, target, fact, "in spite of", ended)

    # At rest.

    def at_rest(
        self, active: Mapping[TargetId, Seen], desired: Mapping[TargetId, Plan], executor: SimulatedExecutor
    ) -> None:
        """Nothing is running without a process, no process is without its run, no queue is too long."""
        for target, seen in active.items():
            for run in seen.running:
                name = AttemptId.of(target, run.run, run.attempt)
                must(
                    name in executor.watched or run.ended is not None,
                    name.path,
                    "is running without a process",
                )
            plan = desired.get(target)
            if plan is None:
                continue
            unstarted = sum(run.waiting and run.attempt == 0 for run in seen.runs.values())
            if plan.concurrency is Concurrency.QUEUE:
                must(unstarted <= 1, target, "has", unstarted, "waiting runs")
            if plan.concurrency is Concurrency.SKIP:
                must(len(seen.runs) <= 1, target, "has", list(seen.runs), "at once")
        for item in self.machine.living.values():
            if item.forgotten or item.id.run == PROBE_RUN:
                continue
            must(item.id in executor.watched, item.id.path, "runs and nobody knows")

    def complete(self, store: SqliteStore, desired: Mapping[TargetId, Plan], paused: set[TargetId]) -> None:
        """All slots until now are settled, and history gives again what is kept."""
        self.read(store)
        now = self.machine.now().wall
        for target, history in self.histories.items():
            kept = store.seen(target)
            must(kept is not None, target, "has facts and no state")
            assert kept is not None
            mine, theirs = history.seen.to_json(), kept.to_json()
            for name in HEARTBEATS:
                mine.pop(name, None), theirs.pop(name, None)
            must(mine == theirs, target, "history gives", mine, "and kept is", theirs)
            plan = history.plan
            if plan is None or plan.schedule is None or target in paused:
                continue
            if history.seen.runs and plan.schedule.catch_up == "all":
                continue  # one after the other
            following = plan.schedule.next_after(history.cursor)
            due = None if following is None else following + plan.schedule.jitter_seconds(str(target))
            must(due is None or due > now.timestamp() - 1, target, "slept through", following, "at", now)

    def tokens(self, store: SqliteStore, handled: Mapping[str, Any]) -> None:
        """What was asked for was answered, each with a run for each target that it named."""
        for token in handled:
            row = store.token(token)
            must(row is not None, "the request", token, "left no trace")
            assert row is not None
            for each in row["body"]["targets"]:
                known = store.run_exists(TargetId.parse(each["target"]), each["run"])
                must(known, token, "was accepted and there is no run for", each["target"])

    def forget(self) -> None:
        """An older copy of the state was restored: what it holds is all there is."""
        self.histories.clear()
        self.read_until = 0
        for item in self.machine.attempts.values():
            item.forgotten = True


def digest(store: SqliteStore) -> str:
    """Of all facts, in order."""
    hash_ = hashlib.blake2b(digest_size=16)
    for row in store.db.execute("SELECT at, job, domain, kind, run, body FROM facts ORDER BY seq"):
        hash_.update(repr(row).encode())
    return hash_.hexdigest()

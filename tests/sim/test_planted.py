"""Bugs planted on purpose: each must be caught by an invariant, or the simulator proves nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core import facts as f
from reconciler.core.admit import admit
from reconciler.core.decide import decide
from reconciler.core.desired import Limits
from reconciler.core.model import Reason, State
from reconciler.core.seen import Seen
from reconciler.engine.admission import Admitting
from reconciler.engine.engine import Engine
from reconciler.ports.executor import Ended, Started
from tests.sim.jobs import Source
from tests.sim.judge import Violation
from tests.sim.ports import BreakableStore, SimulatedExecutor
from tests.sim.world import RATES, Variant, World

pytestmark = pytest.mark.full


def facts_changed(change: Callable):
    """A decide whose facts are changed: `change` gives another fact, or None to drop it."""

    def changed(target, plan, seen, now):
        decision = decide(target, plan, seen, now)
        decision.facts = [fact for each in decision.facts if (fact := change(each)) is not None]
        return decision

    return changed


def forgets_the_cursor(fact):
    return replace(fact, slot=None) if isinstance(fact, f.Queued) else fact


def is_silent_about_what_was_missed(fact):
    return None if isinstance(fact, f.Settled) and fact.reason is Reason.RECONCILER_DOWN else fact


def calls_every_end_a_success(fact):
    failed = isinstance(fact, f.Finished) and fact.state is State.FAILURE
    return replace(fact, state=State.SUCCESS) if failed else fact


def loses_the_last_slot_of_a_stretch(fact):
    return replace(fact, count=fact.count + 1) if isinstance(fact, f.Settled) else fact


def ignores_pauses(target, plan, seen, now):
    return decide(target, replace(plan, pauses=()) if plan else None, seen, now)


def ignores_what_runs(target, plan, seen, now):
    decision = decide(target, plan, seen, now)
    if plan is not None and any(isinstance(x, f.Settled) for x in decision.facts):
        alone = Seen(**{name: getattr(seen, name) for name in seen.__dataclass_fields__})
        alone.runs = {}
        return decide(target, plan, alone, now)
    return decision


def is_an_hour_early(target, plan, seen, now):
    from datetime import timedelta

    return decide(target, plan, seen, now._replace(wall=now.wall + timedelta(hours=1)))


def retries_for_ever(target, plan, seen, now):
    if plan is not None and plan.retry is not None:
        plan = replace(plan, retry=replace(plan.retry, attempts=99))
    return decide(target, plan, seen, now)


def sleeps_through(target, plan, seen, now):
    decision = decide(target, plan, seen, now)
    if target.job == "poll":
        decision.wake_at = None
    return decision


def ignores_locks(waiting, running, limits, last):
    return admit([replace(x, locks=()) for x in waiting], running, limits, last)


def ignores_places(waiting, running, limits, last):
    return admit(waiting, running, Limits(99), last)


def ignores_overlap(waiting, running, limits, last):
    return admit([replace(x, blocked=Reason.NONE) for x in waiting], running, limits, last)


class StartsWhatWasBegun(SimulatedExecutor):
    """Asked to adopt, it starts again."""

    def adopt(self, attempt, boot_id):
        item = self.machine.attempts.get(attempt)
        if item is not None and item.alive:
            item.alive = False
            self.machine.living.pop(attempt)
            self.machine.spawn(item)
        super().adopt(attempt, boot_id)


class ForgetsAnEnd(SimulatedExecutor):
    def poll(self):
        return [
            x for x in super().poll() if not (isinstance(x, Ended) and x.attempt.folder.endswith("/backup"))
        ]


class LiesAboutExits(SimulatedExecutor):
    def poll(self):
        return [
            replace(x, exit_code=0) if isinstance(x, Ended) and x.exit_code == 1 else x
            for x in super().poll()
        ]


class TellsEndsTwice(SimulatedExecutor):
    def poll(self):
        events = super().poll()
        return [*events, *(x for x in events if not isinstance(x, Started))]


class LosesClaims(BreakableStore):
    """Claims are in what is kept, and not in history."""

    def record(self, target, fact):
        if not isinstance(fact, f.Claimed):
            super().record(target, fact)


class LosesKeptState(BreakableStore):
    """What is kept is now and then an older state than history tells."""

    saves = 0

    def save(self, target, seen, summary):
        self.saves += 1
        if self.saves % 50:
            super().save(target, seen, summary)


class LosesTokens(BreakableStore):
    def put_token(self, token, digest, outcome, requester, body):
        pass


class CommitsBySteps(BreakableStore):
    """A crash in the middle leaves half of a round behind."""

    @contextmanager
    def transaction(self):
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("COMMIT")
            raise
        try:
            self._fuse.burn("before commit")
        finally:
            if self.db.in_transaction:
                self.db.execute("COMMIT")
        if self._is_full():
            raise sqlite3.OperationalError("database or disk is full")


class StartsAtOnce(Admitting):
    def claim_all(self, now):
        orders = super().claim_all(now)
        for order in orders:
            self.parts.executor.start(order)
        return orders


class StartsBeforeItIsWritten(Engine):
    def __init__(self, parts):
        super().__init__(parts)
        self.admitting = StartsAtOnce(self.board, parts)


class ForgetsToAdopt(Engine):
    def open(self, desired):
        super().open(desired)
        self.parts.executor.inner.watched.clear()


class TellsNobodyOfSuccess(Engine):
    def _follow(self, now):
        pass


class HoldsTheLocksOfNow(Admitting):
    """Holds the locks that a job has now, not those that its run was started with."""

    def _stand(self, target, seen, now, waiting, running):
        super()._stand(target, seen, now, waiting, running)
        plan = self.board.plan_of(target)
        locks = plan.locks if plan else ()
        running[:] = [replace(x, locks=locks) if x.target == target else x for x in running]


class FreesLocksOfEditedJobs(Engine):
    def __init__(self, parts):
        super().__init__(parts)
        self.admitting = HoldsTheLocksOfNow(self.board, parts)


class EditsLocks(Source):
    """Nothing is edited but the locks of jobs that have some."""

    def edit(self, now):
        name = self._chance.choice(["backup", "vacuum", "sweep", "spread"])
        locks = tuple(self._chance.sample(["db", "disk", "ldap"], self._chance.randint(0, 2)))
        self.jobs[name] = replace(self.jobs[name], locks=locks)


PLANTED = {
    "a decide that forgets the cursor": Variant(decide=facts_changed(forgets_the_cursor)),
    "a decide that is silent about what was missed": Variant(
        decide=facts_changed(is_silent_about_what_was_missed)
    ),
    "a decide that calls failures a success": Variant(decide=facts_changed(calls_every_end_a_success)),
    "a decide that counts wrongly": Variant(decide=facts_changed(loses_the_last_slot_of_a_stretch)),
    "a decide that ignores pauses": Variant(decide=ignores_pauses),
    "a decide that ignores what runs": Variant(decide=ignores_what_runs),
    "a decide that is an hour early": Variant(decide=is_an_hour_early),
    "a decide that retries for ever": Variant(decide=retries_for_ever),
    "a decide that forgets to wake": Variant(decide=sleeps_through),
    "an admit that ignores locks": Variant(admit=ignores_locks),
    "an admit that ignores places": Variant(admit=ignores_places),
    "an admit that ignores overlap": Variant(admit=ignores_overlap),
    "an executor that starts what it should adopt": Variant(executor=StartsWhatWasBegun),
    "an executor that forgets an end": Variant(executor=ForgetsAnEnd),
    "an executor that lies about exits": Variant(executor=LiesAboutExits),
    "a store that loses claims": Variant(store=LosesClaims),
    "a store that keeps an old state": Variant(store=LosesKeptState),
    "a store that loses tokens": Variant(store=LosesTokens),
    "a store that commits by steps": Variant(store=CommitsBySteps),
    "an engine that starts before it is written": Variant(engine=StartsBeforeItIsWritten),
    "an engine that forgets to adopt": Variant(engine=ForgetsToAdopt),
    "an engine that tells nobody of a success": Variant(engine=TellsNobodyOfSuccess),
    "an engine that frees the locks of edited jobs": Variant(
        engine=FreesLocksOfEditedJobs, source=EditsLocks, rates={"edit": 24.0}
    ),
}
BUSY = {**{what: 4 * rate for what, rate in RATES.items()}, "edit": 2.0, "restore": 0.0, "step": 0.0}


def caught(variant: Variant, seed: int, folder: Path) -> bool:
    folder.mkdir()
    variant = replace(variant, rates=BUSY if variant.rates is RATES else variant.rates)
    try:
        world = World(seed, folder, variant)
        world.run(8)
        world.calm(1)
    except (Violation, sqlite3.IntegrityError, AssertionError):
        return True
    return False


@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_bug_is_caught(name, tmp_path):
    assert any(caught(PLANTED[name], seed, tmp_path / str(seed)) for seed in range(4)), (
        f"nobody noticed {name}"
    )


def test_without_a_planted_bug_the_same_worlds_hold(tmp_path):
    assert not any(caught(Variant(), seed, tmp_path / str(seed)) for seed in range(4))


def test_an_end_that_is_told_twice_changes_nothing(tmp_path):
    assert not caught(Variant(executor=TellsEndsTwice), 0, tmp_path / "0")

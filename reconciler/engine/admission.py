"""Claims: what may start is claimed in the transaction that decides it, and why everything else waits is noted."""

from __future__ import annotations

from reconciler.core import facts as f
from reconciler.core.admit import Admission, Running, Waiting, Why
from reconciler.core.decide import retry_wait_seconds, waits_for_window
from reconciler.core.model import Instant, Reason, TargetId
from reconciler.core.plan import Concurrency
from reconciler.core.seen import Seen
from reconciler.engine.board import Board
from reconciler.engine.parts import Parts, Prepared
from reconciler.ports.executor import AttemptId, Order


class Admitting:
    """Asks `core.admit` for the whole installation and performs its answer."""

    def __init__(self, board: Board, parts: Parts) -> None:
        self.board, self.parts = board, parts
        self.again: list[AttemptId] = []
        """Claimed before, and found not to have begun."""
        self._taken: list[AttemptId] = []
        self._last = Admission()
        self._before = self._last

    def start_again(self, attempt: AttemptId) -> None:
        """Of this claimed attempt nothing was begun."""
        self.again.append(attempt)

    def begin(self) -> None:
        """Remember where a transaction began."""
        self._before = self._last

    def commit(self) -> None:
        """What was claimed since is durable."""
        self._taken = []

    def roll_back(self) -> None:
        """Nothing was claimed since: what was to be started again still is."""
        self._last = self._before
        self.again = [*self._taken, *self.again]
        self._taken = []

    def why(self, target: TargetId, run: str) -> Why | None:
        """Why a run waits, None when it does not."""
        return self._last.waits.get((target, run))

    def claim_all(self, now: Instant) -> list[Order]:
        """Claim what may start, and note why each other run waits. Gives the orders to be carried out."""
        orders = [order for attempt in self.again if (order := self._order_again(attempt, now)) is not None]
        self._taken, self.again = self.again, []
        if not self.board.stirred or not self.parts.starts:
            return orders
        self.board.stirred = False
        waiting: list[Waiting] = []
        running: list[Running] = []
        for target, seen in self.board.active.items():
            self._stand(target, seen, now, waiting, running)
        before = self._last.waits
        admission = self.parts.admit(waiting, running, self.board.desired.limits, self._last.last_domain)
        for claim in admission.claims:
            order = self._claim(claim, now)
            if order is not None:
                orders.append(order)
        for key, why in admission.waits.items():
            if before.get(key) != why:
                self.parts.store.set_waiting(*key, str(why))
                self.board.effects.changed.add(key[0])
                if why.reason is Reason.OUTSIDE_WINDOW:
                    # Only a decision knows when to come back.
                    self.board.look(key[0], now)
        self._last = admission
        return orders

    def _stand(
        self, target: TargetId, seen: Seen, now: Instant, waiting: list[Waiting], running: list[Running]
    ) -> None:
        plan = self.board.plan_of(target)
        locks = plan.locks if plan is not None else ()
        busy = ""
        for run in seen.runs.values():
            if not run.waiting:
                running.append(Running(target, run.run, run.locks))
                busy = busy or run.run
        alone = plan is None or plan.concurrency is not Concurrency.ALLOW
        for run in seen.runs.values():
            if not run.waiting:
                continue
            blocked, why = Reason.NONE, ""
            not_ready = self.board.not_ready(target)
            if run.attempt == 0 and run.deadline is not None and now.wall >= run.deadline:
                # Nobody has looked at it since; its wake is due.
                blocked = Reason.DEADLINE_EXCEEDED
            elif busy and alone:
                blocked, why = Reason.STILL_RUNNING, busy
            elif retry_wait_seconds(run, now) > 0 and run.not_before is not None:
                blocked, why = Reason.RETRY_DELAY, f"until {run.not_before.isoformat(timespec='seconds')}"
            elif plan is not None and waits_for_window(plan, run, now):
                blocked = Reason.OUTSIDE_WINDOW
            elif not_ready:
                blocked, why = Reason.NOT_READY, not_ready
            since = run.not_before or run.slot or run.queued_at
            waiting.append(Waiting(target, run.run, run.trigger, since, locks, blocked, why))
            busy = busy or run.run

    def _claim(self, claim: Waiting, now: Instant) -> Order | None:
        seen = self.board.seen(claim.target)
        run = seen.runs[claim.run]
        attempt = run.attempt + 1
        prepared = self.parts.orders.prepare(claim.target, run, attempt, seen)
        revision = self.board.desired.revision
        first = attempt == 1
        self.board.record(
            claim.target,
            f.Claimed(
                now.wall,
                run.run,
                attempt,
                now.boot_id,
                prepared.digest if first else run.digest,
                revision.commit if first else run.revision,
                revision.dirty if first else run.dirty,
                claim.locks,
            ),
        )
        return self._order(claim.target, run.run, attempt, prepared, now)

    def _order(
        self, target: TargetId, run: str, attempt: int, prepared: Prepared, now: Instant
    ) -> Order | None:
        """The order, or the end of an attempt for which none can be made."""
        if prepared.order is None:
            self.board.record(
                target, f.Ended(now.wall, run, attempt, reason=Reason.START_FAILED, message=prepared.error)
            )
            self.board.look(target, now)
        return prepared.order

    def _order_again(self, attempt: AttemptId, now: Instant) -> Order | None:
        """Claimed, and nothing was begun on this boot: starting is safe."""
        target = attempt.target
        seen = self.board.seen(target)
        run = seen.runs.get(attempt.run)
        if run is None or run.attempt != attempt.attempt or run.waiting:
            return None
        prepared = self.parts.orders.prepare(target, run, attempt.attempt, seen)
        return self._order(target, run.run, attempt.attempt, prepared, now)

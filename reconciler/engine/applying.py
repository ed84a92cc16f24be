"""From what was wanted to what is wanted now: targets join, change and leave; requests are taken, each once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from reconciler.core import facts as f
from reconciler.core.decision import pause_of, run_name
from reconciler.core.desired import Desired, Request, RunNow
from reconciler.core.model import Instant, State, TargetId, Trigger
from reconciler.core.plan import Plan
from reconciler.core.slots import clash, make_way, settle_rest
from reconciler.engine.board import Board
from reconciler.ports.store import Known

FUTURE = timedelta(minutes=5)
"""A request that claims to be made later than this from now is refused."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A run now, for one target, under one token."""

    run: str
    group: str
    requester: str
    note: str
    parameters: dict[str, Any] = field(default_factory=dict)


class Applying:
    """Swaps the desired state inside the transaction that stores it."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._is_compared = False

    def start_over(self) -> None:
        """A swap was rolled back: the next one compares with the store again."""
        self._is_compared = False

    def swap(self, desired: Desired, now: Instant) -> None:
        """Settle, then swap: targets whose schedule changed count from now; all others keep their cursor."""
        board = self._board
        before = board.desired
        revision = desired.revision.commit
        changed, gone, known = self._differences(desired)
        for target in changed:
            plan = desired.targets[target]
            had = known.get(target)
            old = before.targets.get(target)
            if had is not None and not had.gone:
                if plan is old or (had.plan_digest == plan.digest and old == plan):
                    continue
                if had.schedule_digest == plan.schedule_digest:
                    self._change(target, old, plan, now, revision)
                    continue
                self._settle(target, old, now)
            board.store.join(target, plan)
            again = had is not None
            board.record(
                target, f.Joined(now.wall, plan.mode, plan.digest, plan.schedule_digest, revision, again)
            )
        for target in gone:
            self._settle(target, before.targets.get(target), now)
            board.record(target, f.Left(now.wall, revision))
        board.desired = desired
        self._rename(desired, changed, known.keys(), now)
        for target in board.changed():
            board.look(target, now)
        for target in gone:
            board.look(target, now)
            board.flush(now)
            board.store.leave(target)
        self._requests(desired, now)
        self._is_compared = True

    def _differences(
        self, desired: Desired
    ) -> tuple[list[TargetId], list[TargetId], Mapping[TargetId, Known]]:
        """Targets that may be new or have another plan, targets that are gone, and what the store knows of them.

        The first swap looks at all that the store knows; what was applied since is remembered.
        """
        store, before, wanted = self._board.store, self._board.desired.targets, desired.targets
        if not self._is_compared:
            known = store.known()
            return list(wanted), [t for t, had in known.items() if not had.gone and t not in wanted], known
        changed = [target for target, plan in wanted.items() if plan is not before.get(target)]
        former = (_former(target, wanted[target]) for target in changed)
        known = store.known([*changed, *(old for old in former if old is not None)])
        return changed, [target for target in before if target not in wanted], known

    def _settle(self, target: TargetId, old: Plan | None, now: Instant) -> None:
        """Leave no slot of the last applied schedule open."""
        if old is not None:
            self._board.look_under(target, old, now)
            for fact in settle_rest(old, self._board.seen(target), now):
                self._board.record(target, fact)

    def _change(self, target: TargetId, old: Plan | None, plan: Plan, now: Instant, revision: str) -> None:
        """Swap a definition whose schedule is the same; what lies behind is settled under what was in force."""
        board = self._board
        resumed = False
        if old is not None:
            board.look_under(target, old, now)
            seen = board.seen(target)
            resumed = pause_of(old, seen, now.wall)[0] and not pause_of(plan, seen, now.wall)[0]
        board.store.join(target, plan)
        if resumed or board.seen(target).plan_digest != plan.digest:
            board.record(target, f.Changed(now.wall, plan.digest, revision, resumed))
        else:
            board.touch(target)

    def _rename(
        self, desired: Desired, changed: Iterable[TargetId], known: Collection[TargetId], now: Instant
    ) -> None:
        """`reconciler/renamed-from` keeps the history: the facts of the old name are carried over once."""
        for target in changed:
            plan = desired.targets[target]
            old = _former(target, plan)
            if old is None or target in known:
                continue
            if old in known and old not in desired.targets:
                self._board.flush(now)
                self._board.store.rename(old, target)
                self._board.forget(target)
                # What still runs ends under its old name.
                self._board.seen(target).runs.clear()
                self._board.record(
                    target,
                    f.Joined(
                        now.wall, plan.mode, plan.digest, plan.schedule_digest, desired.revision.commit, True
                    ),
                )

    # Run now.

    def _requests(self, desired: Desired, now: Instant) -> None:
        for request in desired.requests:
            self._request(desired, request, now)
        for wish in desired.run_now:
            self._annotation(desired, wish, now)

    def _request(self, desired: Desired, request: Request, now: Instant) -> None:
        store = self._board.store
        known = store.token(request.token)
        if known is not None:
            # "": rebuilt from the runs, which do not tell what the request said.
            if known["digest"] not in ("", request.digest) and "conflict" not in known["body"]:
                conflict = (
                    f"refused: the request was changed after it was handled, in {request.path}; "
                    "use a new name for a new request"
                )
                store.amend_token(request.token, {**known["body"], "conflict": conflict})
            return
        problem = self._untimely(request, now.wall)
        body: dict[str, Any] = {
            "name": request.name,
            "domain": request.domain,
            "requestedAt": f"{request.requested_at:%Y-%m-%dT%H:%M:%SZ}",
            "handled": now.wall.timestamp(),
            "reason": request.reason,
            "revision": desired.revision.commit,
            "path": request.path,
            "targets": [],
        }
        if problem is not None:
            outcome, body["message"] = problem
            store.put_token(request.token, request.digest, outcome, request.requester, body)
            return
        targets, unknown = expand(request, desired)
        if unknown:
            body["message"] = "no such target: " + ", ".join(unknown)
            store.put_token(request.token, request.digest, "refused", request.requester, body)
            return
        wish = Wish(
            run=("d-" if request.domain else "r-") + request.name,
            group=f"request/{request.token}",
            requester=request.requester,
            note=request.reason,
            parameters=dict(request.parameters),
        )
        body["targets"] = [self._wish(target, wish, now) for target in targets]
        store.put_token(request.token, request.digest, "accepted", request.requester, body)

    def _annotation(self, desired: Desired, wish: RunNow, now: Instant) -> None:
        store = self._board.store
        if store.token(wish.token) is not None:
            return
        problem = self._untimely(wish, now.wall)
        body: dict[str, Any] = {
            "name": wish.name,
            "domain": wish.domain,
            "annotation": wish.value,
            "handled": now.wall.timestamp(),
            "revision": desired.revision.commit,
            "targets": [],
        }
        if problem is not None:
            outcome, body["message"] = problem
            store.put_token(wish.token, wish.value, outcome, "", body)
            return
        named = run_name(wish.requested_at)
        nonce = "".join(c for c in wish.value.partition("#")[2] if c.isalnum())[:20]
        run = f"a-{named}" + (f"-{nonce}" if nonce else "")
        item = Wish(run=run, group=f"request/{wish.name}-{run}", requester="", note="annotation")
        targets = [
            t for t in desired.targets if t.job == wish.name and (not wish.domain or t.domain == wish.domain)
        ]
        body["targets"] = [self._wish(target, item, now) for target in sorted(targets)]
        store.put_token(wish.token, wish.value, "accepted", "", body)

    def _untimely(self, request: Request | RunNow, now: datetime) -> tuple[str, str] | None:
        """Why a request is not carried out at this time: an outcome and words, or None."""
        if request.is_expired(now):
            return "expired", f"it expired at {request.expires_at.isoformat(timespec='seconds')}"
        requested_at = request.requested_at
        if requested_at > now + FUTURE:
            return "refused", f"requestedAt {requested_at.isoformat(timespec='seconds')} lies in the future"
        created = self._board.store.meta("created")
        if created and requested_at < datetime.fromisoformat(created):
            # A lost ledger, or an old repository on a new machine: nobody here can tell whether it ran.
            return (
                "expired",
                f"it is older than this state ({created}), so it may have been carried out before",
            )
        return None

    def _wish(self, target: TargetId, wish: Wish, now: Instant) -> dict[str, str]:
        """Queue one run now; the target's concurrency rule holds for it too, and is said."""
        board = self._board
        plan = board.plan_of(target)
        assert plan is not None
        if board.store.run_exists(target, wish.run):
            return {"target": str(target), "run": wish.run, "outcome": "AlreadyHandled"}
        refused = clash(plan, board.seen(target))
        if refused is None:
            for fact in make_way(plan, board.seen(target), now):
                board.record(target, fact)
        board.record(target, _queued(target, plan, wish, now))
        if refused is not None:
            board.record(target, f.Finished(now.wall, wish.run, State.SKIPPED, refused))
        board.look(target, now)
        return {"target": str(target), "run": wish.run, "outcome": str(refused or "Queued")}


def _former(target: TargetId, plan: Plan) -> TargetId | None:
    """The target whose history this one takes over."""
    return TargetId(plan.renamed_from, target.domain) if plan.renamed_from else None


def _queued(target: TargetId, plan: Plan, wish: Wish, now: Instant) -> f.Queued:
    return f.Queued(
        now.wall,
        run=wish.run,
        trigger=Trigger.REQUEST,
        group=wish.group,
        requester=wish.requester,
        parameters=wish.parameters or None,
        note=wish.note,
    )


def expand(request: Request, desired: Desired) -> tuple[list[TargetId], list[str]]:
    """The targets that a request names (`job`, `job@domain`, `job@*`), and the words that name none."""
    found: dict[TargetId, None] = {}
    unknown: list[str] = []
    for word in request.targets:
        job, at, domain = word.partition("@")
        if request.domain:
            wanted = [TargetId(job, request.domain)] if domain in ("", "*", request.domain) else []
        elif at and domain == "*":
            wanted = sorted(t for t in desired.targets if t.job == job and t.domain)
        else:
            wanted = [TargetId(job, domain)]
        matches = [t for t in wanted if t in desired.targets]
        if not matches:
            unknown.append(word)
        found.update(dict.fromkeys(matches))
    return list(found), unknown

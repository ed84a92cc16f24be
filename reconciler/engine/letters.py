"""Letters: what the facts of a transaction mean for recipients, and which letters leave now.

`hook` works in the transaction that records the facts, so that no reportable outcome is ever lost; closing letters
and the outbox have transactions of their own, in the same thread. Sending itself happens elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from reconciler.core import facts as f
from reconciler.core.desired import Desired
from reconciler.core.facts import Fact, from_epoch
from reconciler.core.model import Instant, TargetId
from reconciler.core.plan import Plan
from reconciler.core.report import (
    FOLLOW_UP_SECONDS,
    MAIL,
    Envelope,
    Fanout,
    Occasion,
    Route,
    Standing,
    envelope,
    fanout_of,
    message_id,
    next_digest,
    occasions,
    routes,
    tell,
)
from reconciler.core.seen import Seen
from reconciler.engine.outbox import Outbox
from reconciler.ports.letters import COLLECTING, Letter, Letters, Mention
from reconciler.ports.notifier import Parcel
from reconciler.ports.store import Store

CLOSED_AT_ONCE: Final = 100
MOST_HURRIED: Final = 10_000
SHOWN_BYTES: Final = 32 << 10
"""Of a log's end, where no attachment is asked for."""
ATTACHED_BYTES: Final = 256 << 10
KEEP_SECONDS: Final = 30 * 86400.0
"""How long it is known which letters were sent."""
TIDY_SECONDS: Final = 3600.0

_REPORTABLE: Final = (f.Finished, f.Settled, f.OverdueBegan, f.OverdueEnded)
_WITH_LOG: Final = ("failure", "interrupted", "warning", "success", "recovered", "cancelled")

Tail = Callable[[TargetId, str, int, int], bytes]
"""(target, run, attempt, bytes at most) -> the end of its log."""


@dataclass(slots=True)
class _Subscription:
    """What one digest of one recipient is about."""

    origin: str
    targets: set[TargetId] = field(default_factory=set)
    always: bool = False
    """Sent with nothing to say too."""


class Postmaster:
    """Decides about letters with the pure rules, and keeps them in the state."""

    def __init__(
        self, store: Store, letters: Letters, tail: Tail, state: Callable[[TargetId], Seen], uid: str
    ) -> None:
        self.desired = Desired()
        """What is in force; the owner keeps it up to date."""
        self.outbox = Outbox(store, letters)
        self._store, self._letters, self._tail, self._state, self._uid = store, letters, tail, state, uid
        self._indexed: Desired | None = None
        self._subscribed: Desired | None = None
        self._digests: dict[tuple[str, str], _Subscription] = {}
        """By recipient and digest."""
        self._siblings: dict[str, list[TargetId]] = {}
        self._complete: dict[str, datetime] = {}
        self._tidied_at = 0.0

    # In the transaction that records facts.

    def hook(self, facts: Sequence[tuple[TargetId, Fact]], now: Instant) -> None:
        """Put what somebody wants to hear of into letters."""
        by_target: dict[TargetId, list[Fact]] = {}
        for target, fact in facts:
            if isinstance(fact, _REPORTABLE):
                by_target.setdefault(target, []).append(fact)
        waits = bool(by_target) and self._letters.waits_for_group()
        for target, found in by_target.items():
            plan = self.desired.targets.get(target)
            wanted = routes(plan.report) if plan is not None else ()
            if plan is not None and wanted:
                for occasion in occasions(found, self._state(target)):
                    self._occurred(target, plan, occasion, wanted, now)
            if waits:
                for fact in found:
                    if isinstance(fact, f.Finished):
                        self._one_less(target, fact.run, now)

    def _occurred(
        self, target: TargetId, plan: Plan, occasion: Occasion, wanted: Sequence[Route], now: Instant
    ) -> None:
        item: dict[str, Any] | None = None
        for route in wanted:
            name = f"{route.medium}:{route.recipient}"
            before = self._letters.standing(target, name)
            standing = Standing.from_json(before)
            kind = tell(route, occasion, standing, now.wall)
            if standing.to_json() != before:
                self._letters.put_standing(target, name, standing.to_json())
            if not kind:
                continue
            item = item if item is not None else self._item(target, occasion)
            fanout = self._fanout(target, plan, item)
            goes = envelope(route, occasion, kind, target, fanout, now.wall, self.desired.default_zone)
            letter = self._letter(route, goes, now)
            body = {**item, "level": route.level, "attachLog": route.attach_log, "because": route.origin}
            mention = Mention(target, occasion.run, kind, occasion.count, body)
            self._letters.mention(letter, mention, together=bool(route.digest))
            if occasion.run and not route.digest and kind in _WITH_LOG:
                self._keep_tail(target, item, route)

    def _item(self, target: TargetId, occasion: Occasion) -> dict[str, Any]:
        item = self._letters.run(target, occasion.run)
        item |= {
            "at": occasion.at.timestamp(),
            "state": occasion.state,
            "reason": occasion.reason,
            "message": occasion.message,
            "failures": occasion.failures,
        }
        if occasion.first is not None and occasion.last is not None:
            item |= {
                "first": occasion.first.timestamp(),
                "last": occasion.last.timestamp(),
                "count": occasion.count,
            }
        if item.get("started"):
            item["usual"] = self._letters.usual_seconds(target)
        return item

    def _fanout(self, target: TargetId, plan: Plan, item: dict[str, Any]) -> Fanout | None:
        group = str(item.get("group") or "")
        if not group:
            return None
        self._index()
        members = sum(self._letters.members(group).values())
        if not fanout_of(target, group, members, len(self._siblings[target.job])):
            return None
        return Fanout(group, self._complete_at(group, target, plan, item.get("slot")))

    def _complete_at(self, group: str, target: TargetId, plan: Plan, slot: float | None) -> datetime | None:
        """When the last run of a slot's group is queued: jitter spreads them."""
        if slot is None or plan.schedule is None or not target.domain:
            return None
        if group not in self._complete:
            if len(self._complete) > 64:
                self._complete.clear()
            most = max(plan.schedule.jitter_seconds(str(other)) for other in self._siblings[target.job])
            self._complete[group] = from_epoch(slot) + timedelta(seconds=most)
        return self._complete[group]

    def _letter(self, route: Route, goes: Envelope, now: Instant) -> int:
        """The letter that this goes into, begun if need be."""
        known = self._letters.collecting(route.medium, route.recipient, goes.key)
        if known is not None:
            return known.id
        at, ordinal, latest = now.wall.timestamp(), 0, goes.latest
        if goes.group:
            ordinal = self._letters.count_of(route.medium, route.recipient, goes.key)
            if ordinal:
                latest = at + FOLLOW_UP_SECONDS
        elif not goes.key.startswith("run "):
            ordinal = int(at)
        return self._begin(
            route.medium, route.recipient, goes.key, (goes.due, latest), goes.group, ordinal, at
        )

    def _begin(
        self,
        medium: str,
        recipient: str,
        key: str,
        times: tuple[float, float],
        group: str,
        ordinal: int,
        at: float,
    ) -> int:
        name = message_id(self._uid, f"{medium}:{recipient}", key, ordinal)
        letter = Letter(
            0,
            COLLECTING,
            medium,
            recipient,
            key,
            group,
            *times,
            at,
            name,
            0,
            {"since": at, "followUp": ordinal > 0},
        )
        return self._letters.begin(letter)

    def _keep_tail(self, target: TargetId, item: dict[str, Any], route: Route) -> None:
        if self._letters.has_tail(target, item["run"]) or not item.get("lines"):
            return
        most = ATTACHED_BYTES if route.attach_log else SHOWN_BYTES
        tail = self._tail(target, item["run"], int(item.get("attempts") or 0), most)
        if tail:
            self._letters.put_tail(target, item["run"], tail)

    def _one_less(self, target: TargetId, run: str, now: Instant) -> None:
        group = self._letters.run(target, run).get("group")
        if group and not self._letters.open_runs(group):
            self._letters.wake_group(group, now.wall.timestamp())

    # Leaving.

    def leave(self, now: Instant) -> list[Parcel]:
        """Close the letters whose time has come, and give those to be sent now; `settle` is owed for each."""
        at = now.wall.timestamp()
        self._subscribe(now)
        self._tidy(at)
        if self._letters.ready(at, 1):
            with self._store.transaction():
                for letter in self._letters.ready(at, CLOSED_AT_ONCE):
                    self._close(letter, now)
        return self.outbox.leave(now, self.desired.default_zone)

    def hurry(self, now: Instant) -> int:
        """Let nothing wait for company any more: close all letters but the digests; return how many."""
        waiting = [each for each in self._letters.ready(math.inf, MOST_HURRIED) if not _is_digest(each)]
        if waiting:
            with self._store.transaction():
                for letter in waiting:
                    self._letters.close(letter.id, now.wall.timestamp(), self._closed(letter))
        return len(waiting)

    def wait_seconds(self, now: Instant) -> float | None:
        """Until when `leave` has nothing to do, unless something is settled."""
        dues = [self._letters.next_collecting(), self.outbox.next_due(now)]
        waits = [max(0.0, due - now.wall.timestamp()) for due in dues if due is not None]
        return min(waits) if waits else None

    def _close(self, letter: Letter, now: Instant) -> None:
        at = now.wall.timestamp()
        if _is_digest(letter):
            self._close_digest(letter, now)
        elif letter.group and letter.latest > at and self._letters.open_runs(letter.group):
            self._letters.postpone(letter.id, letter.latest, letter.body)
        else:
            self._letters.close(letter.id, at, self._closed(letter))

    def _closed(self, letter: Letter) -> dict[str, Any]:
        members = self._letters.members(letter.group) if letter.group else {}
        return {**letter.body, "members": members, "style": "group" if letter.group else "run"}

    def _close_digest(self, letter: Letter, now: Instant) -> None:
        at, spec = now.wall.timestamp(), letter.key.removeprefix("digest ")
        about = self._digests.get((letter.recipient, spec)) or _Subscription("")
        values = self._letters.digest(about.targets, float(letter.body["since"]))
        says = values["failing"] or values["overdue"] or values["slower"] or self._letters.mentions(letter.id)
        if says or (about.always and about.targets):
            body = {"style": "digest", "period": spec, "until": at, "digest": values, "because": about.origin}
            self._letters.close(letter.id, at, {**letter.body, **body})
        else:
            self._letters.drop(letter.id)
        if about.targets:
            self._begin_digest(letter.recipient, spec, now)

    def _begin_digest(self, recipient: str, spec: str, now: Instant) -> None:
        at = now.wall.timestamp()
        due = next_digest(spec, self.desired.default_zone, now.wall).timestamp()
        self._begin(MAIL, recipient, f"digest {spec}", (due, due), "", int(at), at)

    def _subscribe(self, now: Instant) -> None:
        """See to it that every digest has its letter, which leaves even if nothing new happens."""
        self._index()
        if self._subscribed is self.desired:
            return
        if self._subscribed is not None and self._subscribed.mail != self.desired.mail:
            self.outbox.try_again(now)
        with self._store.transaction():
            for recipient, spec in self._digests:
                if self._letters.collecting(MAIL, recipient, f"digest {spec}") is None:
                    self._begin_digest(recipient, spec, now)
        self._subscribed = self.desired

    def _tidy(self, at: float) -> None:
        """Now and then, let go of what was sent long ago."""
        if at - self._tidied_at >= TIDY_SECONDS or at < self._tidied_at:
            with self._store.transaction():
                self._letters.forget(at - KEEP_SECONDS)
            self._tidied_at = at

    def _index(self) -> None:
        """Find the subscriptions in what is in force."""
        if self._indexed is self.desired:
            return
        self._indexed = self.desired
        found: dict[tuple[str, str], _Subscription] = {}
        ways: dict[int, tuple[Route, ...]] = {}
        self._siblings = {}
        for target, plan in self.desired.targets.items():
            self._siblings.setdefault(target.job, []).append(target)
            # Targets share their plans: an installation of many thousands is indexed in a moment.
            known = ways.get(id(plan))
            if known is None:
                known = ways[id(plan)] = tuple(route for route in routes(plan.report) if route.digest)
            for route in known:
                one = found.setdefault((route.recipient, route.digest), _Subscription(route.origin))
                one.targets.add(target)
                one.always = one.always or "always" in route.when
        self._digests = found


def _is_digest(letter: Letter) -> bool:
    return letter.key.startswith("digest ")

"""The outbox: which of the closed letters leave now, how that went, and when what did not leave is tried again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from reconciler.core.model import Instant
from reconciler.core.report import GIVE_UP_SECONDS, MAIL, WEBHOOK, retry_seconds
from reconciler.ports.failpoint import failpoint
from reconciler.ports.letters import GIVEN_UP, PENDING, SENT, Letter, Letters
from reconciler.ports.notifier import Outcome, Parcel, Receipt
from reconciler.ports.store import Store

BATCH: Final = 50
MOST_ITEMS: Final = 200
"""Of a group's letter; the rest is counted."""
MOST_TAILS: Final = 10


@dataclass(slots=True)
class Trouble:
    """A medium through which nothing leaves at the moment."""

    since: datetime
    message: str
    tries: int
    next_try: datetime


class Outbox:
    """What is to be sent, in the state; each public method is at most one transaction."""

    def __init__(self, store: Store, letters: Letters) -> None:
        self.troubles: dict[str, Trouble] = {}
        """By medium."""
        self._store, self._letters = store, letters
        self._on_the_way: dict[int, Letter] = {}

    def leave(self, now: Instant, zone: str) -> list[Parcel]:
        """Give what is to be sent now, a batch of each medium at a time; `settle` is owed for each."""
        leaving: list[Letter] = []
        for medium in (MAIL, WEBHOOK):
            if self._may_leave(medium, now):
                leaving += self._letters.pending(now.wall.timestamp(), medium, BATCH, self._on_the_way)
        self._on_the_way.update({letter.id: letter for letter in leaving})
        return [self._parcel(letter, zone) for letter in leaving]

    @property
    def on_the_way(self) -> int:
        """How many letters are being sent at the moment."""
        return len(self._on_the_way)

    def _may_leave(self, medium: str, now: Instant) -> bool:
        """One batch at a time, and none while nothing gets through."""
        trouble = self.troubles.get(medium)
        busy = any(letter.medium == medium for letter in self._on_the_way.values())
        return not busy and (trouble is None or trouble.next_try <= now.wall)

    def try_again(self, now: Instant) -> None:
        """Wait no longer for what did not get through: somebody has changed how reports are sent."""
        for trouble in self.troubles.values():
            trouble.next_try = now.wall

    def next_due(self, now: Instant) -> float | None:
        """When there is something to be sent again, in epoch seconds."""
        dues: list[float | None] = []
        for medium in (MAIL, WEBHOOK):
            trouble = self.troubles.get(medium)
            if trouble is not None and trouble.next_try > now.wall:
                dues.append(trouble.next_try.timestamp())
            else:
                # What is due already is on the way, or leaves when the batch before it is settled.
                dues.append(self._letters.next_pending(medium, now.wall.timestamp()))
        return min((due for due in dues if due is not None), default=None)

    def _parcel(self, letter: Letter, zone: str) -> Parcel:
        mentions = self._letters.mentions(letter.id)
        items = []
        for number, mention in enumerate(mentions[:MOST_ITEMS]):
            item = {**mention.body, "kind": mention.kind, "count": mention.count}
            if letter.body.get("style") != "digest" and number < MOST_TAILS and mention.run:
                item["tail"] = self._letters.tail(mention.target, mention.run).decode("utf-8", "replace")
                item["nextRun"] = self._letters.next_run(mention.target)
            items.append(item)
        body = {
            **letter.body,
            "items": items,
            "kinds": Counter(mention.kind for mention in mentions),
            "zone": zone,
        }
        return Parcel(letter.id, letter.medium, letter.recipient, letter.message_id, letter.created, body)

    # What became of them.

    def settle(self, receipts: Collection[Receipt], now: Instant) -> list[str]:
        """Note how sending went; return what an operator should know of, in sentences."""
        at = now.wall.timestamp()
        said: list[str] = []
        failpoint("letters:after-sending")
        before = dict(self.troubles)
        with self._store.transaction():
            record = json.loads(self._store.meta("delivery") or "{}")
            counts = {SENT: 0, GIVEN_UP: 0, "failed": 0, **record.get("counts", {})}
            for receipt in receipts:
                letter = self._on_the_way.get(receipt.parcel)
                if letter is not None:
                    counts[self._settle(letter, receipt, now, said)] += 1
            for medium, trouble in self.troubles.items():
                given_up = self._letters.give_up(medium, at - GIVE_UP_SECONDS, at, trouble.message)
                counts[GIVEN_UP] += given_up
                if given_up:
                    said.append(
                        f"gave up {given_up} reports that could not be sent for 3 days: {trouble.message}"
                    )
            problems = {medium: _told(trouble) for medium, trouble in self.troubles.items()}
            self._store.set_meta("delivery", json.dumps({"counts": counts, "problems": problems}))
        failpoint("letters:after-settling")
        for receipt in receipts:
            self._on_the_way.pop(receipt.parcel, None)
        for medium in sorted(before.keys() | self.troubles.keys()):
            if medium not in self.troubles:
                said.append(f"reports leave again ({medium})")
            elif before.get(medium) is not self.troubles[medium]:
                trouble = self.troubles[medium]
                said.append(
                    f"cannot send reports: {trouble.message}; next try at {trouble.next_try:%H:%M:%S} UTC"
                )
        return said

    def _settle(self, letter: Letter, receipt: Receipt, now: Instant, said: list[str]) -> str:
        """Note how one letter fared; give what it counts as."""
        at = now.wall.timestamp()
        again = at - letter.created <= GIVE_UP_SECONDS
        match receipt.outcome:
            case Outcome.SENT:
                self.troubles.pop(letter.medium, None)
                self._letters.settle(letter.id, SENT, at, at, "")
                return SENT
            case Outcome.UNREACHABLE:
                self._note_trouble(letter.medium, receipt.message, now)
            case Outcome.REFUSED:
                again = False
            case Outcome.LATER:
                pass
        if not again:
            said.append(f"gave up the report {letter.key!r} to {letter.recipient}: {receipt.message}")
            self._letters.settle(letter.id, GIVEN_UP, at, at, receipt.message)
            return GIVEN_UP
        # What was not even tried, because nothing leaves at all, goes first when something does.
        wait = 0.0 if receipt.outcome is Outcome.UNREACHABLE else retry_seconds(letter.tries + 1)
        if wait:
            said.append(
                f"could not send the report {letter.key!r} to {letter.recipient}: {receipt.message}; "
                f"next try at {now.wall + timedelta(seconds=wait):%H:%M:%S} UTC"
            )
        self._letters.settle(letter.id, PENDING, at, at + wait, receipt.message)
        return "failed"

    def _note_trouble(self, medium: str, message: str, now: Instant) -> None:
        known = self.troubles.get(medium)
        if known is not None and known.next_try > now.wall:
            # The rest of the batch that met it.
            return
        tries = known.tries + 1 if known is not None else 1
        next_try = now.wall + timedelta(seconds=retry_seconds(tries))
        self.troubles[medium] = Trouble(known.since if known else now.wall, message, tries, next_try)


def _told(trouble: Trouble) -> dict[str, str]:
    return {
        "since": trouble.since.isoformat(timespec="seconds"),
        "message": trouble.message,
        "nextTry": trouble.next_try.isoformat(timespec="seconds"),
    }

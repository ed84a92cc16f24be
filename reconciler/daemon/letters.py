"""The daemon's part in reports: in the thread that decides, hand out what is due and note how it went."""

from __future__ import annotations

import socket
import sqlite3

from reconciler.clock import monotonic
from reconciler.daemon.delivery import Delivery, author_in
from reconciler.daemon.inbox import Inbox
from reconciler.daemon.journal import Journal
from reconciler.daemon.reconciler import Reconciler
from reconciler.ports.notifier import Receipt, Setting

RETRY_STATE_SECONDS = 1.0
REST_SECONDS = 60.0
"""How long `serve --once` waits for its last reports; what is left then is sent by the next start."""


class Letters:
    """Call `step` whenever the loop goes round; it never waits."""

    def __init__(self, reconciler: Reconciler, inbox: Inbox, journal: Journal) -> None:
        self._reconciler, self._inbox, self._journal = reconciler, inbox, journal
        self._receipts: list[Receipt] = []
        self._delivery = Delivery(self._sent)
        self._author_of = author_in(reconciler.options.directory)
        self._rest_until: float | None = None

    def step(self) -> float | None:
        """Settle what was sent, send what is due; return in how many seconds more will be."""
        post, now = self._reconciler.post, self._reconciler.clock.now()
        post.desired = self._reconciler.engine.board.desired
        try:
            if self._receipts:
                for sentence in post.outbox.settle(self._receipts, now):
                    self._journal.say(sentence, 4)
                self._receipts = []
            parcels = post.leave(now)
        except sqlite3.OperationalError:
            # The disk is full or busy: the engine says so. What was sent is remembered and noted later.
            return RETRY_STATE_SECONDS
        if parcels:
            self._delivery.send(parcels, self._setting())
        return post.wait_seconds(now)

    def send_rest(self) -> bool:
        """For a daemon that is about to leave: close what waits for company; True when all that can be sent is."""
        self._rest_until = self._rest_until or monotonic() + REST_SECONDS
        if self._reconciler.post.hurry(self._reconciler.clock.now()):
            self.step()
        return not (self._reconciler.post.outbox.on_the_way or self._receipts) or monotonic() > self._rest_until

    def close(self) -> None:
        self._delivery.close()

    def _setting(self) -> Setting:
        options = self._reconciler.options
        return Setting(
            self._reconciler.engine.board.desired.mail,
            options.secrets,
            options.host or socket.gethostname(),
            self._reconciler.uid,
            self._author_of,
        )

    def _sent(self, receipts: list[Receipt]) -> None:
        """Called by the threads that send."""
        self._inbox.put(lambda: self._receipts.extend(receipts))

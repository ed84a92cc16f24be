"""Looks at the source in a thread of its own, so that decisions are not held up; only the deciding thread applies."""

from __future__ import annotations

import threading
from collections.abc import Callable

from reconciler.daemon.inbox import Inbox
from reconciler.daemon.memory import give_back
from reconciler.daemon.reconciler import Look, Reconciler

MIN_WAIT_SECONDS = 0.01
WATCH_STARTS_SECONDS = 1.0
"""After the first look there is another one so soon: the watch begins to see only after it."""


class Loading:
    """A thread that looks when hinted, when asked and every interval, and hands what it found to the inbox."""

    def __init__(
        self,
        reconciler: Reconciler,
        inbox: Inbox,
        interval_seconds: float,
        expects_edits: bool = True,
        looked: Callable[[Look, str], None] = lambda look, trigger: None,
    ) -> None:
        """`expects_edits`: there will be more looks than the first.

        `looked` is told of each look and what caused it: `start`, `event`, `interval`, `command` or `sync`.
        """
        self._reconciler, self._inbox, self._looked = reconciler, inbox, looked
        self._trigger = "start"
        self._expects_edits = expects_edits
        self._interval = interval_seconds
        self._hinted = threading.Event()
        self._stopped = False
        self._first = threading.Event()
        self._may_go_on = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loading", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def go_on(self) -> None:
        """What the first look gave is decided: begin to watch."""
        self._may_go_on.set()

    def hint(self, trigger: str = "event") -> None:
        """Look soon. Any thread may call it."""
        self._trigger = trigger
        self._hinted.set()

    @property
    def has_looked(self) -> bool:
        """Whether the source was looked at once and what it said is applied (or refused)."""
        return self._first.is_set()

    def stop_soon(self) -> None:
        """Look no more; `join` waits for it."""
        self._stopped = True
        self._may_go_on.set()
        self._hinted.set()

    def join(self, seconds: float) -> bool:
        """Wait a moment for the end of the thread; it may wait for the inbox meanwhile."""
        if self._thread.ident is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        watch = None
        try:
            wait = 0.0
            while not (self._stopped or self.has_looked):
                wait = min(self._once(), WATCH_STARTS_SECONDS)
            # What it imports would be in the way of the first decisions.
            self._may_go_on.wait()
            watch = self._reconciler.source.watch(self.hint)
            while not self._stopped:
                if self._expects_edits and self.has_looked and not self._hinted.is_set():
                    self._expects_edits = False
                    self._reconciler.expect_edits()
                give_back()
                self._hinted.wait(max(wait, MIN_WAIT_SECONDS))
                wait = 0.0 if self._stopped else self._once()
        except BaseException as error:
            # Ours to answer for: the daemon ends and is started again; runs go on.
            self.failure = error
            self._inbox.wake()
        finally:
            if watch is not None:
                watch.close()

    def _once(self) -> float:
        """Look, have it applied, and give the seconds until the next look."""
        self._hinted.clear()
        trigger, self._trigger = self._trigger, "interval"
        if trigger == "sync":
            self._reconciler.source.sync()
        look = self._reconciler.look()
        if self._stopped:
            return 0.0
        self._looked(look, trigger)
        if not self._inbox.put(lambda: self._reconciler.take(look)).result():
            return 0.0
        self._first.set()
        self._inbox.wake()
        if look.held is not None:
            return min(look.held.retry_seconds, self._interval)
        return self._interval

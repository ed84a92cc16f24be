"""Sends letters in threads of their own, one for each medium; how that went comes back through the inbox."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from reconciler.notifiers import send_all
from reconciler.ports.notifier import Outcome, Parcel, Receipt, Setting

SETTLED_TOGETHER = 20
"""Receipts that are noted in one transaction."""
GIT_SECONDS = 10.0

Settle = Callable[[list[Receipt]], None]


class Delivery:
    """Takes parcels and calls `settle` with the receipts, in the order of sending, never twice for one."""

    def __init__(self, settle: Settle) -> None:
        self._settle = settle
        self._lanes: dict[str, _Lane] = {}

    def send(self, parcels: Sequence[Parcel], setting: Setting) -> None:
        """Have parcels sent; returns at once."""
        by_medium: dict[str, list[Parcel]] = {}
        for parcel in parcels:
            by_medium.setdefault(parcel.medium, []).append(parcel)
        for medium, some in by_medium.items():
            lane = self._lanes.get(medium)
            if lane is None:
                lane = self._lanes[medium] = _Lane(medium, self._settle)
            lane.put(some, setting)

    def close(self) -> None:
        """Send nothing more. What is being sent is not waited for: it is sent again, under the same name."""
        for lane in self._lanes.values():
            lane.close()


class _Lane:
    """One thread; a slow mail server does not hold up webhooks."""

    def __init__(self, medium: str, settle: Settle) -> None:
        self._settle = settle
        self._closed = False
        self._work: queue.SimpleQueue[tuple[list[Parcel], Setting] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=f"letters ({medium})", daemon=True).start()

    def put(self, parcels: list[Parcel], setting: Setting) -> None:
        self._work.put((parcels, setting))

    def close(self) -> None:
        self._closed = True
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None and not self._closed:
            self._send(*work)

    def _send(self, parcels: list[Parcel], setting: Setting) -> None:
        owed = {parcel.id for parcel in parcels}
        done: list[Receipt] = []
        try:
            for receipt in send_all(parcels, setting):
                owed.discard(receipt.parcel)
                done.append(receipt)
                if len(done) >= SETTLED_TOGETHER:
                    self._settle(done)
                    done = []
                if self._closed:
                    break
        except Exception as error:
            # A letter that cannot even be written must not keep the others from being sent, nor end the thread.
            done += [Receipt(number, Outcome.LATER, f"{type(error).__name__}: {error}") for number in owed]
        if done:
            self._settle(done)


def author_in(directory: Path) -> Callable[[str, str], str]:
    """Make what asks git who wrote what stands in a file of this repository at a commit."""

    @lru_cache(maxsize=1024)
    def author_of(commit: str, place: str) -> str:
        from reconciler.sources.git import GitError, run

        if not commit or not all(letter in "0123456789abcdef" for letter in commit):
            return ""
        path = place.rpartition(":")[0] or place
        with contextlib.suppress(GitError):
            said = run(
                str(directory),
                "log",
                "-1",
                "--format=%an <%ae>, %as",
                commit,
                "--",
                path,
                timeout_seconds=GIT_SECONDS,
            )
            return said.decode("utf-8", "replace").strip()
        return ""

    return author_of

"""Retention: a thread that looks behind the decisions for what may go, and deletes it, the directories first.

The row of a run goes last and by the deciding thread, so a crash in between leaves a row whose directory is gone:
the next look finishes it. A directory that the state does not know is left alone (`reconcile doctor` names it).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from typing import Any, Final, Protocol

from reconciler.clock import monotonic, wall
from reconciler.core import facts as f
from reconciler.core.desired import Desired
from reconciler.core.model import State, TargetId
from reconciler.core.plan import Retention
from reconciler.core.retention import GRACE_SECONDS, Entry, Going, pinned, what_goes
from reconciler.daemon import folders
from reconciler.daemon.options import Options
from reconciler.engine.engine import Engine
from reconciler.ports.database import opened

SWEEP_SECONDS: Final = 3600.0
"""Between two looks at all targets; one that had an end is looked at soon after it."""
PACE_SECONDS: Final = 0.005
"""Rest after each target: others need the disk too."""
WAY_SECONDS: Final = 0.3
"""Rest while runs start and end one after the other..."""
PATIENCE_SECONDS: Final = 10.0
"""...and at most so long in one look: an installation that never rests is tidied too."""
AGAIN_SECONDS: Final = 60.0
"""Rest after nothing more could be found to remove, or a disk would not have it."""
BATCH: Final = 200
"""Runs that one transaction removes at most."""
_WITH_HISTORY: Final = (
    "SELECT DISTINCT job, domain FROM runs UNION SELECT DISTINCT job, domain FROM facts WHERE run = '' AND at < ?"
)


class _Reconciler(Protocol):
    """What this needs of `daemon.reconciler.Reconciler`."""

    @property
    def options(self) -> Options: ...
    @property
    def engine(self) -> Engine: ...


class Tidying:
    """Keeps the history within its bounds. `ask` has a call done by the deciding thread."""

    def __init__(self, reconciler: _Reconciler, ask: Callable[[Callable[[], Any]], Future[Any]]) -> None:
        self._reconciler, self._ask = reconciler, ask
        self._state = reconciler.options.state
        self._touched: dict[TargetId, None] = {}
        self._sizes: dict[TargetId, int] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._shrink_at = self._way_until = 0.0
        self.has_swept = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidying", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def touch(self, targets: Iterable[TargetId]) -> None:
        """Something ended there. Any thread may call it."""
        with self._lock:
            self._touched.update(dict.fromkeys(targets))
        self._wake.set()

    def wake(self) -> None:
        """There is something to delete."""
        self._wake.set()

    def give_way(self) -> None:
        """Something is being decided: whatever can wait does."""
        self._way_until = monotonic() + WAY_SECONDS

    def stop_soon(self) -> None:
        self._stopped.set()
        self._wake.set()

    def join(self, seconds: float) -> bool:
        """Wait a moment for the end of the thread; it may wait for the deciding thread meanwhile."""
        if self._thread.ident is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # The thread.

    def _run(self) -> None:
        sweep_at = 0.0
        while not self._stopped.is_set():
            try:
                folders.empty_trash(self._state)
                if monotonic() >= sweep_at:
                    self.sweep()
                    sweep_at = monotonic() + SWEEP_SECONDS
                    self.has_swept.set()
                else:
                    self._look_at(self._take())
            except (sqlite3.Error, OSError):
                # The disk is full or busy: decisions say so themselves; here it is tried again.
                self._stopped.wait(AGAIN_SECONDS)
            self._wake.wait(max(0.0, sweep_at - monotonic()))
            self._wake.clear()
            self._stopped.wait(GRACE_SECONDS + 0.5)

    def _take(self) -> list[TargetId]:
        with self._lock:
            taken, self._touched = list(self._touched), {}
        return taken

    def sweep(self) -> None:
        """Look once at every target that has a history, then at what belongs to none."""
        before = wall().timestamp() - self._desired.retention.age_seconds
        with self._open() as database:
            targets = [TargetId(*row) for row in database.execute(_WITH_HISTORY, (before,))]
        self._look_at(targets)
        self._forget()

    def _look_at(self, targets: Sequence[TargetId]) -> None:
        patient_until = monotonic() + PATIENCE_SECONDS
        with self._open() as database:
            for target in targets:
                while (rest := min(self._way_until, patient_until) - monotonic()) > 0:
                    if self._stopped.wait(rest):
                        return
                if self._stopped.is_set():
                    return
                self._tidy(database, target)
                self._stopped.wait(PACE_SECONDS)
        total = self._desired.retention.total_bytes
        too_much = sum(self._sizes.values()) > total
        if too_much and monotonic() >= self._shrink_at and self._shrink(total) > 0:
            self._shrink_at = monotonic() + AGAIN_SECONDS

    @property
    def _desired(self) -> Desired:
        return self._reconciler.engine.board.desired

    def _open(self) -> closing[sqlite3.Connection]:
        return opened(self._state / "state.db")

    def _rules(self, target: TargetId) -> Retention:
        plan = self._desired.targets.get(target)
        return plan.retention if plan is not None else self._desired.retention

    def _tidy(self, database: sqlite3.Connection, target: TargetId) -> None:
        """Bring one target within its own bounds."""
        now, rules = wall().timestamp(), self._rules(target)
        found = _entries(database, target, self._size)
        oldest = min((e.over_at for e in found if e.over_at is not None), default=None)
        # Only where runs have to go, what was noted before the oldest of them goes too; else it may grow old.
        full = oldest is not None and len(found) >= rules.runs
        before = max(now - rules.age_seconds, min(oldest, now) if full and oldest is not None else 0.0)
        notes = database.execute(
            "SELECT count(*) FROM facts WHERE job=? AND domain=? AND run='' AND at < ?", (*target, before)
        ).fetchone()[0]
        going = what_goes(found, rules, now)
        for rule in dict.fromkeys(each.rule for each in going):
            self._remove(target, [each for each in going if each.rule == rule])
        gone = {each.entry.run for each in going}
        if len(what_goes(found, rules, now + GRACE_SECONDS)) > len(going):
            # What ended just now will go too.
            self.touch([target])
        self._sizes[target] = sum(e.size_bytes for e in found if e.run not in gone)
        if notes:
            store = self._reconciler.engine.store
            self._done(lambda: _in_transaction(store, lambda: store.remove_facts(target, before)))

    def _size(self, target: TargetId, run: str, attempts: int) -> int:
        return folders.size_of(folders.run_folder(self._state, target, run), attempts)

    def _remove(self, target: TargetId, going: Sequence[Going]) -> None:
        """Delete directories, then rows; `going` oldest first, all by one rule."""
        for begin in range(0, len(going), BATCH):
            part = [each.entry for each in going[begin : begin + BATCH]]
            for entry in part:
                folders.delete(folders.run_folder(self._state, target, entry.run))
            names = [entry.run for entry in part]
            size = sum(entry.size_bytes for entry in part)
            self._done(lambda n=names, s=size: self._record(target, n, s, going[0].rule))  # type: ignore[misc]

    def _record(self, target: TargetId, names: Sequence[str], size: int, rule: str) -> None:
        why = f.HistoryRemoved(wall(), len(names), size, rule, names[0], names[-1])
        self._reconciler.engine.remove_runs(target, names, why)

    def _done(self, call: Callable[[], Any]) -> None:
        self._ask(call).result()

    def _shrink(self, total: int) -> int:
        """Remove the oldest runs of the whole installation until all keep within `total`; return what is too much."""
        excess, last = sum(self._sizes.values()) - total, -(1 << 62)
        while excess > 0 and not self._stopped.is_set():
            with self._open() as database:
                rows = database.execute(_OLDEST, (last, BATCH)).fetchall()
                stay = {t: pinned(_entries(database, t)) for t in {TargetId(row[1], row[2]) for row in rows}}
            if not rows:
                break
            last = rows[-1][0]
            for _, job, domain, run, state, attempts, finished in rows:
                target = TargetId(job, domain)
                if excess <= 0 or self._stopped.is_set():
                    break
                if run in stay[target] or wall().timestamp() - finished < GRACE_SECONDS:
                    continue
                entry = Entry(run, State(state), True, finished, self._size(target, run, attempts))
                self._remove(target, [Going(entry, "total")])
                self._sizes[target] = self._sizes.get(target, 0) - entry.size_bytes
                excess -= entry.size_bytes
        return excess

    def _forget(self) -> None:
        """Remove definitions that no run refers to any more."""
        with self._open() as database:
            newest = database.execute("SELECT coalesce(max(id), 0) FROM runs").fetchone()[0]
            unused = [
                row[0]
                for row in database.execute(
                    "SELECT digest FROM definitions EXCEPT SELECT digest FROM runs LIMIT 1000"
                )
            ]
        reconciler = self._reconciler
        store = reconciler.engine.store

        def remove() -> None:
            _in_transaction(store, lambda: store.forget_definitions(unused, newest, wall().timestamp()))
            reconciler.engine.parts.orders.forget()

        self._done(remove)


_OLDEST: Final = (
    "SELECT id, job, domain, run, state, attempts, finished FROM runs WHERE id > ? AND attempts > 0 "
    "AND state NOT IN ('queued', 'running') AND finished IS NOT NULL ORDER BY id LIMIT ?"
)


def _entries(
    database: sqlite3.Connection,
    target: TargetId,
    size: Callable[[TargetId, str, int], int] = lambda target, run, attempts: 0,
) -> list[Entry]:
    """The history of a target, newest first."""
    rows = database.execute(
        "SELECT run, state, attempts, finished, queued FROM runs WHERE job=? AND domain=? ORDER BY id DESC",
        target,
    )
    return [
        Entry(
            run,
            State(state),
            attempts > 0,
            None if state in ("queued", "running") else (finished or queued or 0.0),
            size(target, run, attempts) if attempts else 0,
        )
        for run, state, attempts, finished, queued in rows
    ]


def _in_transaction(store: Any, change: Callable[[], Any]) -> None:
    with store.transaction():
        change()

"""The parts of one installation put together: for `serve`, and for verbs that work without a daemon alike."""

from __future__ import annotations

import gc
import importlib
import json
import shutil
import socket
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reconciler.clock import SystemClock, monotonic, sleep
from reconciler.core.desired import Administrator, Desired
from reconciler.core.facts import Fact
from reconciler.core.model import Instant, TargetId
from reconciler.daemon.folders import empty_trash
from reconciler.daemon.options import Options
from reconciler.daemon.outputs import Outputs
from reconciler.daemon.renames import carry_over
from reconciler.daemon.viewers import Viewers
from reconciler.engine.engine import Engine
from reconciler.engine.letters import Postmaster
from reconciler.engine.orders import OrderBook, Places
from reconciler.engine.parts import Parts
from reconciler.executors.local import LocalExecutor
from reconciler.outputs.logindex import LogFollower
from reconciler.ports.executor import AttemptId
from reconciler.ports.failpoint import failpoint
from reconciler.ports.source import Held, Snapshot, Source
from reconciler.sources import open_source
from reconciler.spec.lastgood import resolve_all
from reconciler.spec.loading import loader_of
from reconciler.spec.resolve import ResolveCache
from reconciler.spec.stored import (
    Stored,
    applied_revision,
    file_rows,
    object_rows,
    stored_from_rows,
)
from reconciler.store.letters import LetterBox
from reconciler.store.sqlite import SqliteStore
from reconciler.store.tokens import handled_in
from reconciler.views.report import tail_of

if TYPE_CHECKING:
    from reconciler.spec.proposal import Proposal

PATIENCE = 20
"""Looks at a source that is just being changed, before it is said to be held."""


_DOCUMENT = b"""\
apiVersion: reconciler/v1
kind: Job
metadata: {name: example}
spec: {command: ["true"], planning: {mode: scheduled, schedule: {cron: "0 0 * * *"}}}
"""


class HostMismatch(Exception):
    """The installation belongs to other machines; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the source gave: why it is held, or what to apply, or (both None) that nothing changed."""

    at: datetime
    held: Held | None = None
    snapshot: Snapshot | None = None
    proposal: Proposal | None = None
    notices: tuple[str, ...] = ()
    seconds: float = 0.0
    """How long reading and deciding took."""
    base: Stored | None = None
    """What was in force when it began."""


@dataclass(slots=True)
class SourceState:
    """What the `source` value of the state says (store/schema.py)."""

    values: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        return json.dumps(self.values, ensure_ascii=False)


class Reconciler:
    """One installation on one machine. The caller holds the state's lock."""

    def __init__(
        self,
        options: Options,
        *,
        starts: bool,
        changed: Callable[[set[TargetId]], None] | None = None,
        recorded: Callable[[list[tuple[TargetId, Fact]]], None] = lambda facts: None,
    ) -> None:
        """Open the state. `starts` False: decide and record, but start nothing. Raises StoreError."""
        gc.disable()  # What is read back here stays; see `look`.
        self.options = options
        self._changed: set[TargetId] = set()
        self.put_aside: Callable[[], None] = lambda: empty_trash(options.state)
        """Called when directories of runs were put aside, to have them deleted."""
        self.clock = SystemClock()
        self.store = SqliteStore(options.state / "state.db")
        known = self.store.meta("uid")
        self.uid = known or uuid.uuid4().hex
        if known is None:
            self.store.set_meta("created", self.clock.now().wall.replace(microsecond=0).isoformat())
            self.store.set_meta("uid", self.uid)
        self._looking = threading.Lock()
        self.viewers = Viewers(options.state, lambda: self.stored.administrators)
        self.source: Source = open_source(options, self._administrators_in_force)
        self.cache = ResolveCache()
        self.loader = loader_of(
            self.cache,
            transactional=options.transactional,
            clock=lambda: self.clock.now().wall,
            is_handled=handled_in(options.state / "state.db"),
        )
        self.source_state = SourceState(json.loads(self.store.meta("source") or "{}"))
        self.stored: Stored = stored_from_rows(
            self.store.objects(), self.store.files(), applied_revision(self.source_state.values)
        )
        self.executor = LocalExecutor(options.state, self._seconds)
        self.logs = LogFollower(options.state / "runs", self._seconds)
        self._secrets_looked_at = (-1, -1)
        self.orders = OrderBook(self.store, Places(options.state.resolve(), options.secrets))
        self.engine = Engine(
            Parts(
                self.store,
                self.clock,
                self.executor,
                self.logs,
                self.orders,
                monotonic,
                self._discard,
                changed=changed or self._changed.update,
                recorded=recorded,
                starts=starts,
                hooks=[self._write_letters],
            )
        )
        self.post = Postmaster(
            self.store, LetterBox(self.store.db), self._tail, self.engine.board.seen, self.uid
        )
        self.engine.open(resolve_all(self.stored, self.loader))
        carry_over(options.state, self.store, self.engine.board.desired)
        self.store.shrink()
        gc.enable()
        gc.freeze()

    def close(self) -> None:
        """Let go of everything; runs go on."""
        self.logs.close()
        self.executor.close()
        self.store.close()

    def _seconds(self) -> tuple[float, float]:
        now = self.clock.now()
        return now.wall.timestamp(), now.boot

    def _discard(self, attempt: AttemptId) -> None:
        shutil.rmtree(self.options.state / "runs" / attempt.path, ignore_errors=True)

    # Reports.

    def _write_letters(self, facts: Sequence[tuple[TargetId, Fact]], now: Instant) -> None:
        self.post.desired = self.engine.board.desired
        self.post.hook(facts, now)

    def _tail(self, target: TargetId, run: str, attempt: int, most_bytes: int) -> bytes:
        return tail_of(f"{self.options.state}/runs/{target.folder}/{run}", attempt, most_bytes)

    def recheck(self) -> None:
        """Have those looked at who can run now and could not before, or the other way round (a secret came)."""
        self._secrets_looked_at = self._secrets_stamp()
        self.orders.recheck()
        told, board = self.store.not_ready(), self.engine.board
        differ = [each for each in board.desired.targets if board.not_ready(each) != told.get(each, "")]
        if differ:
            self.engine.touch(differ)
            self.engine.admit_again()

    def wants_recheck(self) -> bool:
        """Whether something waits for the machine to become ready, or the secrets have changed."""
        return self._secrets_looked_at != self._secrets_stamp() or bool(self.store.not_ready())

    def _secrets_stamp(self) -> tuple[int, int]:
        try:
            found = self.options.secrets.stat()
        except OSError:
            return 0, 0
        return found.st_mtime_ns, found.st_ino

    # The source.

    def look(self, approve: str = "") -> Look:
        """Read the source and decide what of it may be applied. Writes nothing; any thread may do it."""
        with self._looking:
            return self._look(approve)

    def _look(self, approve: str) -> Look:
        begun = monotonic()
        now = self.clock.now().wall
        if approve:
            self.source.approve(approve)
        found = self.source.snapshot(self.stored.known(), now.timestamp())
        if isinstance(found, Held):
            return Look(now, held=found)
        stored, applied = self.stored, self.engine.board.desired
        if (
            not found.changed
            and found.revision == applied.revision
            and not approve
            and not self._is_waiting()
            and not _is_restamped(stored, found)
        ):
            return Look(now, notices=found.notices)
        from reconciler.spec.proposal import propose

        approved = (approve,) if approve else ()
        # What is made here stays: looking for garbage among it over and over costs a fifth of the time.
        gc.disable()
        try:
            proposal = propose(stored, applied, found, self.loader, now, approved=approved)
        finally:
            gc.enable()
        return Look(now, None, found, proposal, found.notices, monotonic() - begun, stored)

    def expect_edits(self) -> None:
        """Import now what documents and commands need, a third of a second's work, rather than when somebody waits."""
        for name in ("reconciler.daemon.commands", "reconciler.spec.proposal"):
            importlib.import_module(name)
        self.loader.load("", _DOCUMENT, None, lambda path: None)

    def _is_waiting(self) -> bool:
        """Whether something was not applied the last time, so that the same files may now say something else."""
        return bool(self.source_state.values.get("prune") or self.source_state.values.get("refused"))

    def take(self, look: Look) -> bool:
        """Apply what a look gave; False when something else was applied since it began, so that it must be repeated.

        Only the deciding thread may do it. Raises HostMismatch.
        """
        if look.proposal is None:
            self._note_source(look)
            return True
        if look.base is not self.stored:
            return False
        accepted = look.proposal.accepted
        self.check_host(accepted.desired)
        before = self.stored

        def persist() -> None:
            failpoint("apply:before-commit")
            objects, files = object_rows(before, accepted.stored), file_rows(before, accepted.stored)
            self.store.put_objects(objects.put, objects.gone)
            self.store.put_files(files.put, files.gone)
            self._note_source(look)

        self.engine.apply(accepted.desired, persist)
        failpoint("apply:after-commit")
        self.stored = accepted.stored
        carry_over(self.options.state, self.store, accepted.desired)
        gc.freeze()
        return True

    def look_patiently(self, approve: str = "") -> Look:
        """Look, and again for a moment while the source is just being changed."""
        look = self.look(approve)
        for _ in range(PATIENCE):
            if look.held is None or not look.held.is_passing:
                break
            sleep(look.held.retry_seconds)
            look = self.look(approve)
        return look

    def write_outputs(self) -> None:
        """Bring what is written out up to date, for verbs that work without a daemon."""
        outputs = Outputs(self.options.state, self.clock)
        outputs.changed(self._changed)
        outputs.close()

    def check_host(self, desired: Desired) -> None:
        """Refuse to run what belongs to other machines. Raises HostMismatch."""
        host = self.options.host or socket.gethostname()
        if desired.hosts is not None and host not in desired.hosts:
            raise HostMismatch(
                f"this installation runs on {', '.join(desired.hosts)}, and this machine is {host}; "
                f"if it shall run here all the same, add the name to `hosts` or say --host {desired.hosts[0]}"
            )

    def _note_source(self, look: Look) -> None:
        """Keep what there is to say about the source, when it changed."""
        values = dict(self.source_state.values)
        values["mode"] = self.source.mode
        values["notices"] = list(look.notices)
        if look.held is not None:
            held = look.held
            values["held"] = {"reason": str(held.reason), "message": held.message, "approval": held.approval}
        else:
            values.pop("held", None)
        if look.proposal is not None:
            values.update(_applied(look.proposal, look.at))
            values["observedRevision"] = look.proposal.observed
            for key in ("refused", "prune"):
                if not values[key]:
                    del values[key]
        if values != self.source_state.values:
            self.source_state = replace(self.source_state, values=values)
            self.store.set_meta("source", self.source_state.text())

    def _administrators_in_force(self) -> list[Administrator]:
        return list(self.engine.board.desired.administrators.values())

    # For those who run it.

    def note_daemon(self, values: dict[str, Any] | None) -> None:
        """Say which daemon has the state, or that none has."""
        self.store.set_meta("daemon", json.dumps(values or {}))

    def is_idle(self, wait_seconds: float | None) -> bool:
        """Whether nothing runs, waits or is due now."""
        return not self.engine.board.active and (wait_seconds is None or wait_seconds > 0)


def _is_restamped(stored: Stored, found: Snapshot) -> bool:
    """Whether a file that was read again is what it was, with a stamp by which it need not be read the next time."""
    return any(
        file.content is not None
        and file.stamp.mtime_ns >= 0
        and (known := stored.files.get(path)) is not None
        and known.stamp != file.stamp
        for path, file in found.files.items()
    )


def _applied(proposal: Proposal, at: datetime) -> dict[str, Any]:
    accepted, guard = proposal.accepted, proposal.guard
    revision = accepted.desired.revision
    refused: dict[str, Any] = {}
    if accepted.refused:
        refused = {"reason": accepted.refused, "message": accepted.refused_message}
    prune: dict[str, Any] = {}
    if guard.pending:
        targets = sorted({str(item.target) for item in guard.pending})
        prune = {"digest": guard.digest, "targets": targets, "reason": "; ".join(guard.reasons)}
    return {
        "revision": revision.commit,
        "dirty": revision.dirty,
        "signer": revision.signer,
        "appliedAt": at.astimezone(UTC).isoformat(timespec="seconds"),
        "rejectedFiles": sorted(accepted.rejected),
        "warnings": [each.message for each in accepted.diagnostics if each.severity != "error"],
        "refused": refused,
        "prune": prune,
    }

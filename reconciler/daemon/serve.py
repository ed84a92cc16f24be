"""The daemon: one thread decides, others read the source and answer; woken by time, ends, edits and commands."""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from reconciler import __version__
from reconciler.clock import monotonic
from reconciler.core import facts as f
from reconciler.core.access import Viewer
from reconciler.core.facts import Fact
from reconciler.core.model import State, TargetId
from reconciler.daemon.fingerprints import Fingerprints
from reconciler.daemon.http import CommandError, Doors, serve_control, serve_tcp
from reconciler.daemon.inbox import Inbox
from reconciler.daemon.journal import Journal
from reconciler.daemon.letters import Letters
from reconciler.daemon.loading import Loading
from reconciler.daemon.lock import PRIVATE_UMASK, StateHeld, StateLock, StateUnusable, prepare
from reconciler.daemon.memory import be_thrifty, give_back
from reconciler.daemon.notify import notify
from reconciler.daemon.options import ServeOptions
from reconciler.daemon.outputs import Outputs
from reconciler.daemon.reconciler import HostMismatch, Look, Reconciler
from reconciler.daemon.sync import SyncDoor
from reconciler.daemon.tidying import Tidying
from reconciler.store.opening import StoreError

QUIET_SECONDS = 0.1
"""Outputs are written when nothing has happened for so long..."""
FLUSH_AT_LEAST_SECONDS = 1.0
"""...and, from when something happened, at least so often, however much there is to decide."""
HEARTBEAT_SECONDS = 5.0
"""The loop never sleeps longer, so that a step of the clock is noticed."""
PREPARE_SECONDS = HEARTBEAT_SECONDS + 1.0
"""A runner is started ahead of what may be due so soon."""
RECHECK_SECONDS = 5.0
"""Between two looks at the folder of secrets, and at what was not ready."""
RECHECK_ALL_SECONDS = 60.0
COMMAND_SECONDS = 60.0
TIDY_UP_SECONDS = 10.0
"""How long `serve --once` stays to remove what retention bounds."""

EXIT_OK, EXIT_FAILED, EXIT_HELD, EXIT_BLOCKED = 0, 1, 4, 5
_OUTCOMES = {
    State.FAILURE: 10,
    State.WARNING: 11,
    State.INTERRUPTED: 12,
    State.CANCELLED: 12,
    State.SKIPPED: 13,
    State.MISSED: 13,
}


def main(options: ServeOptions) -> int:
    """Serve until SIGTERM or SIGINT, or with `once` until what is due has run. Returns the exit code."""
    journal = Journal()
    be_thrifty()
    os.umask(PRIVATE_UMASK)
    try:
        prepare(options.state)
        lock = StateLock(options.state, "serve --once" if options.once else "serve")
    except (StateHeld, StateUnusable) as error:
        journal.say(str(error), 3)
        return EXIT_FAILED
    with lock:
        try:
            daemon = Daemon(options, journal)
        except (StoreError, HostMismatch) as error:
            journal.say(str(error), 3)
            return EXIT_BLOCKED if isinstance(error, HostMismatch) else EXIT_FAILED
        try:
            return daemon.run()
        finally:
            daemon.close()


class Daemon:
    """The running daemon."""

    def __init__(self, options: ServeOptions, journal: Journal) -> None:
        self.options, self.journal = options, journal
        self.inbox = Inbox()
        self.outcomes: dict[tuple[TargetId, str], State] = {}
        self.reconciler = Reconciler(options, starts=True, changed=self._changed, recorded=self._recorded)
        self.outputs = Outputs(options.state, self.reconciler.clock, options.metrics_max_targets)
        self.loading = Loading(self.reconciler, self.inbox, options.interval_seconds, not options.once, self._looked)
        self.tidying = Tidying(self.reconciler, self.inbox.put)
        self.reconciler.put_aside = self.tidying.wake
        self.fingerprints = Fingerprints(
            lambda: self.reconciler.engine.board.desired,
            self.reconciler.engine.fingerprint,
            self.inbox.put,
            lambda text: journal.say(text, 4),
        )
        self.letters = Letters(self.reconciler, self.inbox, journal)
        self._selector = selectors.DefaultSelector()
        self._stopping = 0
        self._recheck_at = (0.0, 0.0)
        self._untold: list[tuple[TargetId, Fact]] = []
        self._servers: list[Any] = []
        self._doors = Doors(
            database=options.state / "state.db",
            command=self._command,
            viewer=self.reconciler.viewers.of_user,
            impersonate=self.reconciler.viewers.impersonate,
            metrics=self.outputs.metrics_page,
            sync=SyncDoor(options.secrets, lambda: self.loading.hint("sync")),
            ready=self._ready,
        )

    def run(self) -> int:
        """Open the doors, look at the source, and go round."""
        self._catch_signals()
        self._selector.register(self.inbox.fileno(), selectors.EVENT_READ)
        self._selector.register(self.reconciler.executor.fileno(), selectors.EVENT_READ)
        self._selector.register(self.reconciler.logs.fileno(), selectors.EVENT_READ)
        self._servers.append(serve_control(self.options.state, self._doors))
        address = ""
        if not self.options.once and self.options.listen:
            try:
                server, address = serve_tcp(self.options.listen, self._doors)
            except OSError as error:
                self.journal.say(
                    f"cannot listen on {self.options.listen}: {error.strerror}; choose another with --listen",
                    3,
                )
                return EXIT_FAILED
            self._servers.append(server)
        self.reconciler.note_daemon({"pid": os.getpid(), "version": __version__, "listen": address})
        where = f", http://{address}/metrics" if address else ""
        self.journal.say(
            f"reconcile {__version__}: {self.options.directory / 'jobs.d'}, state {self.options.state}{where}"
        )
        self.loading.start()
        code = self._loop()
        if self.options.once and self.loading.has_looked:
            self._tidy_up()
        return code

    def _tidy_up(self) -> None:
        """Where no daemon stays, retention has only this moment."""
        end = monotonic() + TIDY_UP_SECONDS
        while not self._stopping and not self.tidying.has_swept.wait(0.01) and monotonic() < end:
            self.inbox.run_all()

    def close(self) -> None:
        """Stop answering and looking; what runs goes on."""
        notify("STOPPING=1")
        self._stopping = self._stopping or signal.SIGTERM
        self.letters.close()
        for thread in (self.loading, self.fingerprints, self.tidying):
            thread.stop_soon()
            while not thread.join(0.02):
                self.inbox.run_all()
        for server in self._servers:
            server.close()
        self._tell()
        self.outputs.close()
        self._say_of_outputs()
        self.reconciler.note_daemon(None)
        (self.options.state / "control.sock").unlink(missing_ok=True)
        self.reconciler.close()
        self._selector.close()
        self.inbox.close()

    # The loop.

    def _loop(self) -> int:
        announced = False
        problem = ""
        flushed = 0.0
        while not self._stopping:
            self.inbox.run_all()
            failure = self.loading.failure or self.fingerprints.failure
            if failure is not None:
                return self._failed(failure)
            # Nothing is decided before the source was looked at: what it says now counts, not what it said.
            wait = self._round() if self.loading.has_looked else None
            if self.loading.has_looked and not announced:
                announced = True
                self._announce()
                self.loading.go_on()
                self.fingerprints.start()
                self.tidying.start()
            if announced and monotonic() >= self._recheck_at[0]:
                self._recheck()
            if self._problem() != problem:
                problem = self._problem()
                self.journal.say(problem or "what kept runs from starting is over", 3 if problem else 6)
            if wait is not None and wait < PREPARE_SECONDS:
                self.reconciler.executor.prepare()
            until_letter = self.letters.step() if announced else None
            if announced and self._is_done(wait):
                break
            end = monotonic() + min(each for each in (HEARTBEAT_SECONDS, wait, until_letter) if each is not None)
            # What is written out comes behind what is to be decided, but it comes.
            busy = wait == 0.0 or bool(self._selector.select(max(0.0, min(QUIET_SECONDS, end - monotonic()))))
            is_quiet = not busy and monotonic() < end - QUIET_SECONDS
            if announced and (is_quiet or monotonic() > flushed + FLUSH_AT_LEAST_SECONDS):
                self._tell()
                until_flush = self.outputs.flush()
                self._say_of_outputs()
                flushed = monotonic()
                end = min(end, flushed + (HEARTBEAT_SECONDS if until_flush is None else until_flush))
            if not busy:
                self._selector.select(max(0.0, end - monotonic()))
                flushed = monotonic() if is_quiet else flushed
        return self._exit_code()

    def _is_done(self, wait: float | None) -> bool:
        """Whether `--once` has nothing left to do."""
        if not self.options.once or not self.fingerprints.has_looked.is_set():
            return False
        return self.reconciler.is_idle(wait) and self.letters.send_rest()

    def _recheck(self) -> None:
        """Ask the machine again, at least every minute, what keeps targets from running."""
        now = monotonic()
        if now >= self._recheck_at[1] or self.reconciler.wants_recheck():
            self.reconciler.recheck()
            self._recheck_at = (now, now + RECHECK_ALL_SECONDS)
        self._recheck_at = (now + RECHECK_SECONDS, self._recheck_at[1])

    def _round(self) -> float | None:
        begun = monotonic()
        done = self.reconciler.engine.round()
        if done.worked:
            self.tidying.give_way()
            self.outputs.metrics.phase("round", monotonic() - begun)
        return done.wait_seconds

    def _announce(self) -> None:
        self._tell()
        count = len(self.reconciler.engine.board.desired.targets)
        rejected = len(self.reconciler.stored.rejected)
        words = f"{count} target{'s' if count != 1 else ''}"
        if rejected:
            words += f", {rejected} rejected file{'s' if rejected != 1 else ''} (see `reconcile validate`)"
        self.journal.say(f"ready: {words}")
        give_back()
        notify("READY=1", f"STATUS={words}")

    def _failed(self, error: BaseException) -> int:
        if isinstance(error, HostMismatch):
            self.journal.say(str(error), 3)
            return EXIT_BLOCKED
        raise error

    def _exit_code(self) -> int:
        if not self.options.once:
            return EXIT_OK
        if self._stopping == signal.SIGINT:
            return 130
        states = set(self.outcomes.values())
        for state, code in _OUTCOMES.items():
            if state in states:
                return code
        return EXIT_HELD if self.reconciler.stored.rejected else EXIT_OK

    def _catch_signals(self) -> None:
        def stop(number: int, _: object) -> None:
            self._stopping = number
            self.inbox.wake()

        def hint(*_: object) -> None:
            self.loading.hint("command")

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        signal.signal(signal.SIGHUP, hint)

    def _problem(self) -> str:
        """What keeps every run from starting at the moment."""
        return self.reconciler.engine.problem or self.reconciler.executor.problem

    def _tell(self) -> None:
        """Tell the journal and the outputs what was recorded: behind what is to be decided."""
        facts, self._untold = self._untold, []
        if facts:
            self.journal.tell(facts)
            self.outputs.count(facts)

    def _say_of_outputs(self) -> None:
        for text, level in self.outputs.news():
            self.journal.say(text, level)

    # What the doors answer.

    def _ready(self) -> str:
        if not self.loading.has_looked:
            return "the source was not read yet"
        return self._problem()

    def _looked(self, look: Look, trigger: str) -> None:
        self.outputs.metrics.resync(trigger)
        if look.held is not None:
            self.outputs.metrics.watch_error(str(look.held.reason))
        elif look.proposal is not None:
            self.outputs.metrics.phase("load", look.seconds)

    def _command(self, name: str, payload: Mapping[str, Any], who: Viewer) -> Mapping[str, Any]:
        if name == "apply":
            self.outputs.metrics.resync("command")
        from reconciler.daemon.commands import carry_out

        return carry_out(self.reconciler, name, payload, who, self._decide)

    def _decide(self, call: Callable[[], Any]) -> Any:
        try:
            return self.inbox.put(call).result(COMMAND_SECONDS)
        except FutureTimeout as error:
            raise CommandError(503, "the daemon is busy", "try again") from error
        except HostMismatch as error:
            raise CommandError(423, str(error)) from error

    # What the engine tells.

    def _changed(self, targets: set[TargetId]) -> None:
        self.outputs.changed(targets)

    def _recorded(self, facts: list[tuple[TargetId, Fact]]) -> None:
        self._untold.extend(facts)
        ended = [target for target, fact in facts if isinstance(fact, f.Finished | f.Settled)]
        if ended:
            self.tidying.touch(ended)
        if self.options.once:
            for target, fact in facts:
                if isinstance(fact, f.Finished):
                    self.outcomes[target, fact.run] = fact.state

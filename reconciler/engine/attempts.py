"""What executors tell of attempts: each thing taken once, as a fact, in the transaction that decides on it."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.core import facts as f
from reconciler.core.model import Instant, Reason, TargetId
from reconciler.core.seen import RunSeen
from reconciler.engine.board import Board
from reconciler.engine.parts import PROBE_RUN, Parts
from reconciler.ports.executor import AttemptId, Ended, ExecutorEvent, NotStarted, Started
from reconciler.ports.logs import LogCounts


class Attempts:
    """Listens to the executor and to what reads the logs. `not_begun` is told of attempts that may start again."""

    def __init__(self, board: Board, parts: Parts, not_begun: Callable[[AttemptId], None]) -> None:
        self.board, self.parts, self._not_begun = board, parts, not_begun
        self._events: list[ExecutorEvent] = []
        self._taken = 0
        self._counts: list[tuple[AttemptId, LogCounts]] = []
        self._closing: dict[AttemptId, Ended] = {}
        """Attempts that are over, and whose logs are still being read."""

    def listen(self) -> None:
        """Hear what has happened, and hand over what was asked for."""
        self._events.extend(self.parts.executor.poll())

    def listen_to_logs(self) -> None:
        """Hear how far the logs were read, and keep what is known of running attempts."""
        final, running = self.parts.logs.poll()
        self._counts.extend(final)
        if running:
            with self.parts.store.transaction():
                for attempt, counts in running:
                    known = {"lines": counts.lines, "progress": counts.progress}
                    self.parts.store.set_progress(attempt.target, attempt.run, known)
            self.parts.changed({attempt.target for attempt, _ in running})

    @property
    def has_news(self) -> bool:
        """Whether there is something to take."""
        return bool(self._events or self._counts)

    @property
    def wait_seconds(self) -> float | None:
        """When to look again although nothing wakes us."""
        if self._events:
            return 0.0
        return 0.01 if self._closing else None

    def take(self, now: Instant) -> dict[TargetId, None]:
        """Record all that was heard; give the targets that it concerns. What is rolled back is taken again."""
        self._taken = len(self._events)
        touched = dict.fromkeys(t for event in self._events[: self._taken] for t in self._take(event, now))
        for attempt, counts in self._counts:
            touched.update(dict.fromkeys(self._close(attempt, counts)))
        return touched

    def commit(self) -> None:
        """What was taken is durable."""
        del self._events[: self._taken]
        for attempt, _ in self._counts:
            self._closing.pop(attempt, None)
        self._counts.clear()

    def _take(self, event: ExecutorEvent, now: Instant) -> list[TargetId]:
        target = event.attempt.target
        if event.attempt.run == PROBE_RUN:
            return self._probed(target, event, now)
        run = self.board.seen(target).runs.get(event.attempt.run)
        if run is None or run.attempt != event.attempt.attempt or run.waiting:
            return []
        match event:
            case Started():
                if run.attempt_started_at is None:
                    self.board.record(target, f.Started(event.at, run.run, run.attempt, event.pid or 0))
                    self.parts.logs.follow(event.attempt)
            case NotStarted():
                self._not_begun(event.attempt)
            case Ended():
                counts = self.parts.logs.finish(event.attempt)
                if counts is None:
                    self._closing[event.attempt] = event
                    return []
                self._end(target, run, event, counts)
        return [target]

    def _close(self, attempt: AttemptId, counts: LogCounts) -> list[TargetId]:
        event = self._closing.get(attempt)
        target = attempt.target
        run = self.board.seen(target).runs.get(attempt.run)
        if event is None or run is None:
            return []
        self._end(target, run, event, counts)
        return [target]

    def _end(self, target: TargetId, run: RunSeen, event: Ended, counts: LogCounts) -> None:
        if run.ended is not None:
            return
        if event.stopped_by and not run.stop_reason and event.reason is not Reason.TIMED_OUT:
            self.board.record(target, f.StopAsked(event.at, run.run, event.reason, event.stopped_by))
        started = run.attempt_started_at or run.claimed_at or event.at
        self.board.record(
            target,
            f.Ended(
                event.at,
                run.run,
                run.attempt,
                exit_code=event.exit_code,
                signal=event.signal,
                reason=event.reason,
                message=event.message,
                lines=counts.lines,
                infos=counts.infos,
                warnings=counts.warnings,
                errors=counts.errors,
                progress=counts.progress,
                duration_seconds=(event.at - started).total_seconds(),
            ),
        )

    # Probes.

    def adopt_probe(self, target: TargetId, now: Instant) -> None:
        """Take over a probe that was asked before a restart."""
        seen = self.board.seen(target)
        if seen.probing and seen.probed_at is not None:
            attempt = AttemptId.of(target, PROBE_RUN, int(seen.probed_at.timestamp()))
            self.parts.executor.adopt(attempt, now.boot_id)

    def start_probe(self, target: TargetId, now: Instant) -> None:
        """Ask whether there is something to do for the target."""
        number = int(now.wall.timestamp())
        prepared = self.parts.orders.probe(target, number)
        if prepared.order is not None:
            self.parts.executor.start(prepared.order)
            return
        attempt = AttemptId.of(target, PROBE_RUN, number)
        self._events.append(Ended(attempt, now.wall, None, None, Reason.START_FAILED, prepared.error))

    def _probed(self, target: TargetId, event: ExecutorEvent, now: Instant) -> list[TargetId]:
        if isinstance(event, Started):
            return []
        if isinstance(event, NotStarted) or event.reason in (Reason.EXIT_UNKNOWN, Reason.MACHINE_RESTARTED):
            # Nobody knows what it would have said: it is asked again when its time comes.
            fact = f.Probed(now.wall, "lost")
        elif event.exit_code == 0:
            fact = f.Probed(event.at, "met")
        elif event.exit_code == 1 and event.reason in (Reason.NONE, Reason.EXIT_CODE):
            fact = f.Probed(event.at, "nothing")
        else:
            said = event.message or (
                f"exit code {event.exit_code}" if event.exit_code is not None else f"signal {event.signal}"
            )
            fact = f.Probed(event.at, "failed", said)
        self.board.record(target, fact)
        self.board.effects.discards.append(event.attempt)
        return [target]

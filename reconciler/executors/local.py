"""Attempts as processes of this machine: the daemon's side of the runner.

The runner starts the processes and sees them end; this side orders, listens, and stands in for a runner that died:
it is a subreaper and holds a pidfd of every leader, so it reads the exit code itself, and starts a new runner that
takes over the living.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler.core.model import Reason
from reconciler.executors.runner_link import RunnerLink, living_runners, start_runner
from reconciler.ports import attempt as files
from reconciler.ports import process
from reconciler.ports.executor import AttemptId, Ended, ExecutorEvent, NotStarted, Order, Started
from reconciler.ports.failpoint import failpoint

_PR_SET_CHILD_SUBREAPER = 36
_RESTART_SECONDS = 0.5
_UNSENT_SECONDS = 0.01
"""An order may be larger than what a socket takes at once."""


@dataclass(slots=True)
class _Watched:
    """An attempt that was asked for and has not ended. Without `pid` it is not known to have started."""

    order: dict[str, Any] | None = None
    """What to start, until a runner has said that it did."""
    link: RunnerLink | None = None
    pid: int | None = None
    ticks: int = 0
    pidfd: int | None = None
    stop: tuple[str, str] | None = None
    said_started: bool = False


class LocalExecutor:
    """Implements `reconciler.ports.executor.Executor`. `clock` returns (epoch seconds, seconds of CLOCK_BOOTTIME)."""

    def __init__(self, state: Path, clock: Callable[[], tuple[float, float]]) -> None:
        self._state, self._clock = state.resolve(), clock
        self._boot_id = process.boot_id()
        self._watched: dict[str, _Watched] = {}
        self._events: list[ExecutorEvent] = []
        self._epoll = select.epoll()
        self._actions: dict[int, Callable[[], None]] = {}
        self._links: list[RunnerLink] = []
        self._waiting: list[str] = []
        """Attempts to be adopted once every living runner has said what it holds."""
        self._offered: dict[str, tuple[RunnerLink, str, float, int, int]] = {}
        """What runners hold of an earlier daemon, until somebody adopts it."""
        self._inherited: set[int] = set()
        """Sessions of runs whose runner died: their orphans are our children now."""
        self._dead_runners: set[int] = set()
        self._next_start = 0.0
        self.problem = ""
        """Why no run can be started at the moment."""
        (self._state / "runner").mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._state / "runs").mkdir(mode=0o700, parents=True, exist_ok=True)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for link in living_runners(self._state / "runner"):
            self._add(link)

    # -- the protocol

    def start(self, order: Order) -> None:
        key = order.attempt.path
        if key in self._watched:
            return
        self._watched[key] = _Watched({"format": files.FORMAT, "bootId": self._boot_id, **order.document()})
        self._send(key)
        failpoint("executor:after-send")

    def prepare(self) -> None:
        """Have a runner at hand: something may have to start soon."""
        self._runner()

    def stop(self, attempt: AttemptId, reason: Reason, by: str = "") -> None:
        watched = self._watched.get(attempt.path)
        if watched is None:
            return
        watched.stop = (reason.value, by)
        if attempt.path not in self._waiting:
            self._send_stop(attempt.path, watched)

    def adopt(self, attempt: AttemptId, boot_id: str) -> None:
        key = attempt.path
        if key in self._watched:
            return
        directory = self._directory(key)
        record = files.read_journal(directory).end
        if record is None and boot_id != self._boot_id:
            record = files.unknown_end(boot_id, self._now())
            with contextlib.suppress(OSError):
                record = files.write_end(directory, record, alone=False)
        self._watched[key] = _Watched()
        if record is not None:
            self._end(key, record)
        else:
            self._waiting.append(key)
            self._adopt_waiting()
            self._hold(key)

    def poll(self) -> list[ExecutorEvent]:
        for fd, _ in self._epoll.poll(0):
            action = self._actions.get(fd)
            if action is not None:
                action()
        if self._inherited or self._dead_runners:
            self._reap_orphans()
        self._send_again()
        for link in self._links:
            link.flush()
        events, self._events = self._events, []
        if events:
            failpoint("executor:before-events")
        return events

    def fileno(self) -> int:
        return self._epoll.fileno()

    def wake_in(self) -> float | None:
        if self._events:
            return 0.0
        if any(watched.link is None for key, watched in self._watched.items() if key not in self._waiting):
            return max(0.0, self._next_start - self._clock()[1])
        if any(link.has_unsent for link in self._links):
            return _UNSENT_SECONDS
        return 1.0 if self._inherited or self._dead_runners else None

    def close(self) -> None:
        for link in self._links:
            link.close()
        for watched in self._watched.values():
            if watched.pidfd is not None:
                os.close(watched.pidfd)
        self._epoll.close()

    # -- ordering

    def _send(self, key: str) -> None:
        watched = self._watched[key]
        watched.link = self._runner()
        if watched.link is not None:
            watched.link.send(["adopt", key] if watched.order is None else ["start", key, watched.order])
            self._send_stop(key, watched)
            watched.link.flush()

    def _send_stop(self, key: str, watched: _Watched) -> None:
        if watched.link is not None and watched.stop is not None:
            watched.link.send(["stop", key, *watched.stop])
            watched.link.flush()

    def _runner(self) -> RunnerLink | None:
        """Return the runner that takes new runs, starting one when there is none; None when that must wait."""
        for link in self._links:
            if not link.draining:
                return link
        now = self._clock()[1]
        if now < self._next_start:
            return None
        self._next_start = now + _RESTART_SECONDS
        # Another daemon's runner, or our own of a moment ago, may hold the lock: then it is there to be met.
        found = living_runners(self._state / "runner", "runner.sock")
        try:
            fresh = found[0] if found else start_runner(self._state)
        except OSError as error:
            self.problem = f"could not start the runner: {error}; no run starts, and it is tried again"
            return None
        self.problem = ""
        self._add(fresh)
        return fresh

    def _send_again(self) -> None:
        for key, watched in list(self._watched.items()):
            if watched.link is None and key not in self._waiting:
                self._send(key)

    def _adopt_waiting(self) -> None:
        """Take over what the living runners hold; once all have spoken, ask one of them for the rest.

        Runners speak after they have done all that an earlier daemon asked of them: what they do not hold then, and
        what nobody has written down, was never begun.
        """
        everyone_spoke = all(link.synced for link in self._links)
        for key in list(self._waiting):
            if key in self._offered:
                self._waiting.remove(key)
                self._started(*self._offered.pop(key))
            elif everyone_spoke:
                self._waiting.remove(key)
                if files.is_ordered(self._directory(key)):
                    self._send(key)
                else:
                    del self._watched[key]
                    self._events.append(NotStarted(AttemptId.parse(key)))

    # -- listening

    def _add(self, link: RunnerLink) -> None:
        self._links.append(link)
        self._actions[link.fileno()] = lambda: self._hear(link)
        self._epoll.register(link.fileno(), select.EPOLLIN)
        link.send(["hello", files.FORMAT])

    def _hear(self, link: RunnerLink) -> None:
        messages = link.receive()
        if messages is None:
            return self._lost(link)
        fresh = set()
        for message in messages:
            match message:
                case ["started", key, at, pid, ticks]:
                    fresh.add(key)
                    self._started(link, key, at, pid, ticks)
                case ["ended", key, record]:
                    fresh.discard(key)
                    self._offered.pop(key, None)
                    self._end(key, record)
                case ["hello", version, _] if version != files.FORMAT:
                    self._drains(link)
                case ["refused", _]:
                    self._drains(link)
                case ["synced"]:
                    fresh.update(self._waiting)
                    self._adopt_waiting()
        for key in fresh:
            self._hold(key)
        return None

    def _drains(self, link: RunnerLink) -> None:
        """Another runner is to start what this one was asked to: it ends, or understands another format."""
        link.draining = True
        for watched in self._watched.values():
            if watched.link is link and watched.order is not None:
                watched.link = None

    def _started(self, link: RunnerLink, key: str, at: float, pid: int, ticks: int) -> None:
        watched = self._watched.get(key)
        if watched is None or key in self._waiting:
            self._offered[key] = (link, key, at, pid, ticks)
            return
        watched.pid, watched.ticks, watched.order = pid, ticks, None
        if watched.link is not link:
            watched.link = link
            self._send_stop(key, watched)
        if not watched.said_started:
            watched.said_started = True
            self._events.append(Started(AttemptId.parse(key), datetime.fromtimestamp(at, UTC), pid))

    def _hold(self, key: str) -> None:
        """Open the leader, so that its exit code is ours to read should the runner die."""
        watched = self._watched.get(key)
        if watched is not None and watched.pid is not None and watched.pidfd is None:
            with contextlib.suppress(OSError):  # without descriptors left it is only less safe
                watched.pidfd = process.open_pidfd(watched.pid, watched.ticks)

    def _end(self, key: str, record: dict[str, Any]) -> None:
        watched = self._watched.pop(key, None)
        if watched is None:
            return
        if key in self._waiting:
            self._waiting.remove(key)
        if watched.pidfd is not None:
            self._forget(watched.pidfd)
            os.close(watched.pidfd)
        self._events.append(
            Ended(
                AttemptId.parse(key),
                datetime.fromtimestamp(record["at"], UTC),
                record["exitCode"],
                record["signal"],
                Reason(record["reason"]),
                record["message"],
                record.get("by", ""),
                record.get("maxRss"),
                record.get("cpuSeconds"),
            )
        )

    # -- when a runner is gone

    def _lost(self, link: RunnerLink) -> None:
        """Settle what a dead runner had in hand; a new one takes over what lives."""
        self._forget(link.fileno())
        self._links.remove(link)
        self._offered = {key: offer for key, offer in self._offered.items() if offer[0] is not link}
        link.close()
        if link.child is not None:
            self._dead_runners.add(link.child)
        if link.greeted:
            self._next_start = 0.0
        for key, watched in list(self._watched.items()):
            if watched.link is not link:
                continue
            watched.link = None
            journal = files.read_journal(self._directory(key))
            if watched.pid is None and files.is_claimed(self._directory(key)):
                self._meet(key, watched, journal)
            if journal.end is not None:
                self._end(key, journal.end)
            elif watched.pid is not None and watched.pidfd is not None:
                self._inherited.add(watched.pid)
                self._watch_leader(key, watched, watched.pidfd)
            elif watched.pid is not None:
                self._inherited.add(watched.pid)
        self._adopt_waiting()

    def _meet(self, key: str, watched: _Watched, journal: files.Journal) -> None:
        """Find a leader of which the dead runner told nothing, before a short run has ended unseen."""
        if journal.start is not None:
            watched.pid, watched.ticks = journal.start["pid"], journal.start["ticks"]
        elif journal.end is None and journal.order is not None:
            found = process.leader_with(files.marks_of(journal.order["environment"]))
            if found is not None:
                watched.pid, watched.ticks = found.pid, found.ticks
        self._hold(key)

    def _watch_leader(self, key: str, watched: _Watched, pidfd: int) -> None:
        self._leader_ended(key, watched)
        if self._watched.get(key) is watched and pidfd not in self._actions:
            self._actions[pidfd] = lambda: self._leader_ended(key, watched)
            self._epoll.register(pidfd, select.EPOLLIN | select.EPOLLET)

    def _leader_ended(self, key: str, watched: _Watched) -> None:
        """Read the exit code of an orphaned leader: as its parent, or by its pidfd."""
        if watched.pid is None or watched.pidfd is None:
            return
        if not select.select([watched.pidfd], [], [], 0)[0]:
            return
        status: int | None
        try:
            # Looked at, not yet taken: it must be on disk first.
            found = os.waitid(os.P_PIDFD, watched.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            ours = found is not None
        except ChildProcessError:
            ours = False
        status = process.status_of_ended(watched.pid, watched.ticks, watched.pidfd)
        if status is None:
            return
        self._inherited.add(watched.pid)
        journal = files.read_journal(self._directory(key))
        stop = (journal.stop["stop"], journal.stop["by"]) if journal.stop else None
        timeout = journal.order["timeout"] if journal.order else None
        record = files.end_of(process.exit_of(status), stop, timeout, self._now())
        with contextlib.suppress(OSError):
            record = files.write_end(self._directory(key), record, alone=False)
        if ours:
            os.waitpid(watched.pid, os.WNOHANG)
        self._end(key, record)

    def _reap_orphans(self) -> None:
        """Reap what the runs of a dead runner leave to us; nothing else of this process's children is touched."""
        self._dead_runners = {pid for pid in self._dead_runners if not _reap(pid)}
        leaders = {watched.pid for watched in self._watched.values()}
        found = [process.look(pid) for pid in process.children(os.getpid())]
        orphans = [one for one in found if one is not None and one.session in self._inherited]
        for one in orphans:
            if one.state == "Z" and one.pid not in leaders:
                _reap(one.pid)
        self._inherited &= {one.session for one in orphans} | leaders

    # -- small things

    def _forget(self, fd: int) -> None:
        if self._actions.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _directory(self, key: str) -> str:
        return f"{self._state}/runs/{key}"

    def _now(self) -> tuple[float, float, str]:
        return (*self._clock(), self._boot_id)


def _reap(pid: int) -> bool:
    """Take the status of an ended child; False while it lives."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True

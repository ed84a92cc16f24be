"""The runs that this runner has in hand: start, stop, adopt, see them end."""

from __future__ import annotations

import contextlib
import heapq
import os
import signal

from reconciler.ports import attempt, process
from reconciler.ports.attempt import TYPE_CHECKING
from reconciler.ports.failpoint import failpoint
from reconciler.runner import cgroup, linux, spawn
from reconciler.runner.leftovers import Leftovers
from reconciler.runner.logs import LogBounds
from reconciler.runner.note import note
from reconciler.runner.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_RETRY_SECONDS = 1.0
_BIRTH_LOOKS = 200


class Runs:
    """All runs of one runner. `say` takes each message for the daemon, `watch` a descriptor and what to do for it."""

    def __init__(
        self, root: str, say: Callable[[list[Any]], None], watch: Callable[[int, Callable[[], None]], None],
        unwatch: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._root, self._say, self._watch, self._unwatch = root, say, watch, unwatch
        self._boot_id = process.boot_id()
        self._live: dict[str, Run] = {}
        self._by_pid: dict[int, Run] = {}
        self._unwritten: dict[str, dict[str, Any]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.leftovers = Leftovers(root, self._by_pid, self._at, self._finish)
        self._logs = LogBounds(self._at, lambda: (*self._live.values(), *self.leftovers.runs))

    # -- what the daemon may ask

    def start(self, key: str, order: dict[str, Any]) -> None:
        """Write the order down and start it; an attempt that was ever claimed before is taken over as it stands."""
        directory = f"{self._root}/{key}"
        if key in self._live or key in self._unwritten:
            return self.adopt(key)
        try:
            is_claimed = not attempt.make(directory) and attempt.is_claimed(directory)
            failpoint("runner:after-mkdir")
            if not is_claimed:
                attempt.write_order(directory, order)
                failpoint("runner:after-order")
        except OSError as error:
            text = f"could not write the order of {key}: {error}"
            return self._say(["ended", key, attempt.end_record(None, None, "StartFailed", text, self._now())])
        return self.adopt(key) if is_claimed else self._carry_out(key, directory, order)

    def _carry_out(self, key: str, directory: str, order: dict[str, Any] | None) -> None:
        """Start what was written down and is not claimed."""
        failpoint("runner:before-go")
        wall, boot = linux.now()
        try:
            run = self._spawn(key, directory, order, wall)
        except FileExistsError:
            return self.adopt(key)
        except spawn.Refused as refusal:
            with contextlib.suppress(OSError):
                attempt.claim(directory)
            record = attempt.end_record(None, None, refusal.reason, str(refusal), self._now())
            return self._publish(Run(key, directory, {}, 0, 0, wall), record)
        failpoint("runner:after-spawn")
        self._write_start(run, boot)
        failpoint("runner:after-pid")
        self._track(run, boot, None)
        return None

    def adopt(self, key: str, tries: int = 0) -> None:
        """Take over an attempt that was perhaps started by a runner before us; say how it stands."""
        if key in self._live:
            return self._say(self._started(self._live[key]))
        directory = f"{self._root}/{key}"
        journal = attempt.read_journal(directory)
        ended = self._unwritten.get(key) or journal.end
        if ended is not None:
            return self._say(["ended", key, ended])
        if not attempt.is_claimed(directory):
            return self._carry_out(key, directory, journal.order)
        order, start = journal.order or {}, journal.start
        perhaps_unborn = start is None and tries < _BIRTH_LOOKS and self._sees_a_child_before_exec()
        leader = self._leader(order, start)
        if leader is None and perhaps_unborn:
            return self._at(linux.now()[1] + 0.05, lambda: self.adopt(key, tries + 1))
        pidfd = process.open_pidfd(leader.pid, leader.ticks) if leader else None
        if leader is None or pidfd is None:
            return self._conclude(key, directory, order, start)
        wall, boot = (start["at"], start["boot"]) if start else linux.now()
        run = Run(key, directory, order, leader.pid, leader.ticks, wall)
        if start is None:
            self._write_start(run, boot)
        run.adopted, run.pidfd = True, pidfd
        if (order.get("limits") or {}).get("memory"):
            run.group = cgroup.find(directory)
        self._track(run, boot, journal.stop)
        return self._watch(pidfd, lambda: self._adopted_ended(run, 0))

    def _leader(self, order: dict[str, Any], start: dict[str, Any] | None) -> process.Process | None:
        """Find the leader by its pid, or by its environment when the runner died before it could note the pid."""
        if order.get("bootId") != self._boot_id:
            return None
        if start is not None:
            found = process.look(start["pid"])
            return found if found and found.ticks == start["ticks"] else None
        return process.leader_with(attempt.marks_of(order["environment"]))

    def _sees_a_child_before_exec(self) -> bool:
        """Say whether a process looks like a runner of this directory: the child of a dead one does, until it execs."""
        mine = process.command_line(os.getpid())
        others = (one.pid for one in process.everything() if one.pid != os.getpid())
        return any(process.command_line(pid) == mine for pid in others)

    def _conclude(
        self, key: str, directory: str, order: dict[str, Any], start: dict[str, Any] | None
    ) -> None:
        """Record that it ended while nobody watched, and end what it left behind."""
        gone = Run(key, directory, order, start["pid"] if start else 0, start["ticks"] if start else 0, 0.0)
        gone.adopted = gone.over = True
        self._publish(gone, attempt.unknown_end(order.get("bootId", self._boot_id), self._now()))
        self.leftovers.sweep([gone])

    def stop(self, key: str, reason: str, by: str) -> None:
        """End an attempt's whole tree for this reason; one that has not started never will."""
        if key not in self._live and not self._stop_before_start(key, reason, by):
            self.adopt(key)
        run = self._live.get(key)
        if run is None or run.stop is not None:
            return
        run.stop = (reason, by)
        with contextlib.suppress(OSError):
            attempt.write_stop(run.directory, reason, by, linux.now()[1])
        since = linux.now()[1]
        self.insist(lambda: self._end_tree(run, since))

    def sync(self) -> list[list[Any]]:
        """Return the messages that tell a daemon that just came all it does not know."""
        started = [self._started(run) for run in self._live.values()]
        return started + [["ended", key, record] for key, record in self._unwritten.items()]

    @property
    def nothing_left(self) -> bool:
        return not (self._live or self.leftovers.runs or self._unwritten)

    # -- what happens by itself

    def reap(self) -> None:
        """Record the end of every child that ended. A leader's end is on disk before the leader is reaped.

        So whoever kills us in between leaves a zombie, whose exit code its next parent can still read.
        """
        ended: list[Run] = []
        childless = False
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                childless = True
                break
            if found is None:
                break
            run = self._by_pid.get(found.si_pid)
            if run is not None and not run.adopted:
                status = found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status & 0x7F
                failpoint("runner:before-exit")
                self._record_end(run, status)
                failpoint("runner:after-exit")
                ended.append(run)
            os.waitpid(found.si_pid, os.WNOHANG)
            failpoint("runner:after-reap")
        if ended:
            self.insist(lambda: self.leftovers.sweep(ended, childless))

    def fire(self) -> float | None:
        """Do what is due by time; return the seconds until the next of it."""
        while self._timers:
            pause = self._timers[0][0] - linux.now()[1]
            if pause > 0:
                return pause
            self.insist(heapq.heappop(self._timers)[2])
        return None

    def insist(self, action: Callable[[], None]) -> None:
        """Do this; where the machine lacks descriptors, memory or disk, say so and do it again in a second."""
        try:
            action()
        except OSError as error:
            note(f"could not go on: {error}; trying again in a second")
            self._at(linux.now()[1] + _RETRY_SECONDS, action)

    # -- starting and adopting

    def _spawn(self, key: str, directory: str, order: dict[str, Any] | None, wall: float) -> Run:
        """Claim and start; nothing slow or fallible lies between, for who dies there leaves it unknown if it began."""
        if order is None or order.get("format") != attempt.FORMAT:
            raise spawn.Refused(f"could not read the order {directory}/{attempt.ORDER}")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            log = os.open(f"{directory}/{attempt.LOG}", flags, 0o600)
        except OSError as error:
            raise spawn.Refused(f"could not open the log: {error}") from error
        try:
            self._claim(directory)
            failpoint("runner:after-go")
            begun = process.ticks_now()
            pid, group = spawn.start(order, log, directory)
            ticks = begun if process.ticks_now() == begun else None
        finally:
            os.close(log)
        if ticks is None:
            seen = process.look(pid)
            ticks = seen.ticks if seen else 0
        run = Run(key, directory, order, pid, ticks, wall)
        run.group = group
        return run

    def _claim(self, directory: str) -> None:
        try:
            attempt.claim(directory)
        except FileExistsError:
            raise
        except OSError as error:
            raise spawn.Refused(f"could not claim the attempt: {error}") from error

    def _write_start(self, run: Run, boot: float) -> None:
        start = {"pid": run.pid, "ticks": run.ticks, "bootId": self._boot_id, "at": run.wall, "boot": boot}
        try:
            attempt.write_start(run.directory, start)
        except OSError as error:
            # The run goes on: should we die, it is found by its environment.
            note(f"could not write the pid of {run.key}: {error}")

    def _track(self, run: Run, boot: float, stop: dict[str, Any] | None) -> None:
        self._live[run.key] = self._by_pid[run.pid] = run
        self._say(self._started(run))
        if stop is not None:
            run.stop = (stop["stop"], stop["by"])
            self.insist(lambda: self._end_tree(run, stop["boot"]))
        elif run.timeout is not None:
            self._at(boot + run.timeout, lambda: self._time_out(run))
        self._logs.begin(run)

    def _started(self, run: Run) -> list[Any]:
        return ["started", run.key, run.wall, run.pid, run.ticks]

    # -- ending

    def _time_out(self, run: Run) -> None:
        if not run.over:
            self.stop(run.key, "TimedOut", "")

    def _stop_before_start(self, key: str, reason: str, by: str) -> bool:
        directory = f"{self._root}/{key}"
        try:
            attempt.claim(directory)
        except FileExistsError:
            return False
        except OSError as error:
            note(f"could not claim {key}, to stop it before its start: {error}")
        record = attempt.end_record(None, None, reason, "stopped before it started", self._now())
        self._publish(Run(key, directory, {}, 0, 0, 0.0), {**record, "by": by})
        return True

    def _end_tree(self, run: Run, since: float) -> None:
        for one in run.members(process.everything()):
            process.signal_exactly(one, getattr(signal, f"SIG{run.stop_signal}"))
            process.signal_exactly(one, signal.SIGCONT)
        failpoint("runner:after-signal")
        self._at(since + run.grace, lambda: self._kill(run))

    def _kill(self, run: Run, pause: float = 0.1) -> None:
        if run.over:
            return
        for one in run.members(process.everything()):
            process.signal_exactly(one, signal.SIGKILL)
        # A process that was just being forked, or that cannot die yet (a hanging disk), is met again.
        self._at(linux.now()[1] + pause, lambda: self._kill(run, min(2 * pause, 5.0)))

    def _adopted_ended(self, run: Run, tries: int) -> None:
        if run.over:
            return
        status = process.status_of_ended(run.pid, run.ticks, run.pidfd)
        if status is None and tries < 40:
            # The daemon, if it inherited this run, reads its status now and writes it down.
            self._at(linux.now()[1] + 0.05, lambda: self._adopted_ended(run, tries + 1))
            return
        self._record_end(run, status)
        self._unwatch(run.pidfd)
        os.close(run.pidfd)
        self.leftovers.sweep([run])

    def _record_end(self, run: Run, status: int | None) -> None:
        run.over = True
        del self._live[run.key], self._by_pid[run.pid]
        if status is None:
            return self._publish(run, attempt.unknown_end(self._boot_id, self._now()))
        record = attempt.end_of(process.exit_of(status), run.stop, run.timeout, self._now())
        if record["reason"] in ("ExitCode", "Signal") and run.group is not None and run.group.was_hit():
            record["reason"], record["message"] = "OutOfMemory", "its memory limit was used up"
        used = None if run.adopted else linux.resources_of(run.pid)
        if used is not None:
            record["maxRss"], record["cpuSeconds"] = used
        return self._publish(run, record)

    def _publish(self, run: Run, record: dict[str, Any]) -> None:
        """Write down the end of an attempt and say it; what cannot be written is kept, said, and tried again."""
        standing = self._write_end(run, record)
        if standing is None:
            self._unwritten[run.key] = record
            self._at(linux.now()[1] + _RETRY_SECONDS, lambda: self._write_again(run, record))
        self._say(["ended", run.key, standing or record])

    def _write_end(self, run: Run, record: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return attempt.write_end(run.directory, record, alone=not run.adopted)
        except FileNotFoundError:
            return record  # somebody removed the attempt's directory: there is nowhere to write to
        except OSError as error:
            if run.key not in self._unwritten:
                note(f"could not write the end of {run.key}: {error}; trying again every second")
            return None

    def _write_again(self, run: Run, record: dict[str, Any]) -> None:
        if self._write_end(run, record) is None:
            self._at(linux.now()[1] + _RETRY_SECONDS, lambda: self._write_again(run, record))
        else:
            del self._unwritten[run.key]

    def _finish(self, run: Run) -> None:
        if run.group is not None:
            run.group.remove()
        self._logs.end(run)

    # -- time

    def _at(self, boot: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._timers, (boot, self._count, action))

    def _now(self) -> tuple[float, float, str]:
        return (*linux.now(), self._boot_id)

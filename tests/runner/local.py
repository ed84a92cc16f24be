"""A real executor with a real runner in a folder of its own, and what tests ask about them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reconciler.executors.local import LocalExecutor
from reconciler.ports import attempt as files
from reconciler.ports import process
from reconciler.ports.executor import AttemptId, Ended, ExecutorEvent, Order, Started

PATIENCE_SECONDS = 20.0


def clock() -> tuple[float, float]:
    return time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)


def eventually(question: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Ask until the answer is true, and return it; fail after `seconds`."""
    until = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < until, f"still not: {question}"
        select.select([], [], [], 0.01)
    return answer


def make_order(run: str, *argv: str, job: str = "job", **more: Any) -> Order:
    """Order an attempt of an installation job whose environment is what a real one holds."""
    attempt = AttemptId(f"_installation/{job}", run, 1)
    # Tests run side by side: without a state directory of its own, a runner would take another test's run for its own.
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8",
        "RECONCILE_JOB": job, "RECONCILE_RUN": run, "RECONCILE_ATTEMPT": "1",
        "RECONCILE_STATE_DIR": f"/{os.getpid()}/{test}", **more.pop("environment", {}),
    }  # fmt: skip
    return Order(attempt, argv, environment, **more)


class Machine:
    """One state directory with the daemon's side in this process."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.executor = LocalExecutor(state, clock)
        self.events: list[ExecutorEvent] = []

    def listen(self, enough: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
        """Poll the executor as a daemon does until there is an answer, and return it."""
        until = time.monotonic() + seconds
        while True:
            self.events += self.executor.poll()
            if answer := enough():
                return answer
            assert time.monotonic() < until, f"nothing came of it: {self.events}, {self.runner_log()}"
            wake = self.executor.wake_in()
            select.select([self.executor], [], [], min(0.05, 0.05 if wake is None else wake))

    def end_of(self, run: str, seconds: float = PATIENCE_SECONDS) -> Ended:
        """Wait for the end of a run and return it."""
        found: Ended = self.listen(lambda: self._first(Ended, run), seconds)
        return found

    def start_of(self, run: str) -> Started:
        found: Started = self.listen(lambda: self._first(Started, run))
        return found

    def _first(self, kind: type, run: str) -> Any:
        return next((one for one in self.events if isinstance(one, kind) and one.attempt.run == run), None)

    def run(self, order: Order) -> Ended:
        self.executor.start(order)
        return self.end_of(order.attempt.run)

    def directory(self, order: Order) -> Path:
        return self.state / "runs" / order.attempt.path

    def log(self, order: Order) -> str:
        return (self.directory(order) / files.LOG).read_text(errors="replace")

    def runner_log(self) -> str:
        path = self.state / "runner" / "log"
        return path.read_text() if path.exists() else ""

    def runners(self) -> list[int]:
        """Return the pids of the living runners of this state directory."""
        found = [one for one in process.everything() if one.state != "Z" and self._serves(one.pid)]
        # A child that has not yet begun its own program looks like the runner that it comes from.
        return [one.pid for one in found if one.parent not in {other.pid for other in found}]

    def _serves(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(self.state) in words and any(
            word.endswith(b"/reconciler/runner") for word in words
        )

    def kill_runner(self) -> None:
        """Kill -9 the runner and wait until it is gone."""
        for pid in self.runners():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not self.runners())

    def again(self, meanwhile: Callable[[], Any] = bool) -> None:
        """Let go as a daemon that ends, and come back as a new one."""
        self.executor.close()
        meanwhile()
        self.executor = LocalExecutor(self.state, clock)
        self.events = []

    def close(self) -> None:
        """End all that was started here."""
        self.executor.close()
        root = str(self.state)
        for one in process.everything():
            if self._serves(one.pid) or process.output_of(one.pid).startswith(root):
                process.signal_exactly(one, signal.SIGKILL)
        eventually(lambda: not self.runners())
        for pid in process.children(os.getpid()):
            # Orphans of this machine's runs are ours by the subreaper; pytest has no children of its own.
            found = process.look(pid)
            if found is not None and found.state == "Z":
                os.waitpid(pid, os.WNOHANG)


class DaemonElsewhere:
    """The daemon's side as a process of its own, to be killed: `orders` are started by it, or adopted."""

    def __init__(self, state: Path, verb: str, *orders: Order, failpoint: str = "") -> None:
        self._program = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("daemon_side.py")), str(state), verb],
            stdin=subprocess.PIPE, text=True,
            env={**os.environ, "RECONCILE_FAILPOINT": failpoint, "RECONCILE_FAILPOINT_ONCE": f"{state}/once"},
        )  # fmt: skip
        assert self._program.stdin is not None
        for order in orders:
            self._program.stdin.write(f"{order.attempt.path}\0{chr(1).join(order.argv)}\n")
        self._program.stdin.close()

    def kill(self) -> None:
        self._program.kill()
        self._program.wait()

    def ended(self) -> bool:
        return self._program.poll() is not None

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Return its exit code, once it has seen all ends (0) or was killed at its failpoint (-9)."""
        return self._program.wait(timeout=seconds)

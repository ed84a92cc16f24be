"""A real daemon on a folder of its own, to be killed; and the judge: what the jobs themselves wrote in their ledger."""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from reconciler.core.facts import fact_from_json
from reconciler.core.fold import fold
from reconciler.core.seen import Seen
from reconciler.ports import process

PATIENCE_SECONDS = 60.0

SCRIPT = """\
    write() {{ printf '%s %s %s %s %s\\n' "$RECONCILE_JOB" "$RECONCILE_RUN" "$RECONCILE_ATTEMPT" "$1" \
"$(cut -d' ' -f1 /proc/uptime)" >> {ledger}; }}
    write start
    {work}
    write "end-{code}"
    exit {code}
"""
HEARTBEATS = ("probed_at", "probing", "probe_failures", "probe_message", "fingerprint", "fingerprint_handled")


@dataclass(frozen=True)
class Job:
    """What it does, and the seconds between two of its slots."""

    name: str
    period: int = 1
    work: str = "sleep 0.2"
    code: int = 0
    more: str = ""


JOBS = (
    Job("tick"),
    Job("fails", 2, code=3, more="retry: {attempts: 2, delay: 1s}"),
    Job("left", work="sleep 0.3", more="locks: [one]\n  concurrency: queue"),
    Job("right", work="sleep 0.3", more="locks: [one]\n  concurrency: queue"),
    Job("slow", 3, work="sleep 2.5", more="concurrency: replace"),
    Job("late", 5, work="sleep 30", more="timeout: 1s\n  stopGrace: 1s"),
    Job("flood", 5, work="head -c 600000 /dev/zero | tr '\\0' 'x' | fold -w 100"),
)


def eventually(question: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Ask until the answer is true, and return it; fail after `seconds`."""
    until = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < until, "it did not come about"
        select.select([], [], [], 0.02)
    return answer


@dataclass
class Installation:
    folder: Path
    jobs: tuple[Job, ...] = JOBS
    state: Path = field(init=False)
    daemon: subprocess.Popen[bytes] | None = None
    edits: int = 0
    kills: int = 0

    def __post_init__(self) -> None:
        self.state = self.folder / "state"
        self.ledger = self.folder / "ledger"
        self.log = self.folder / "daemon.log"
        self.write()

    # What is wanted.

    def write(self, mode: str = "") -> None:
        """Write the documents, each time with something new in them; `mode` `disabled` ends all schedules."""
        self.edits += 1
        folder = self.folder / "jobs.d"
        folder.mkdir(exist_ok=True)
        documents = [
            "apiVersion: reconciler/v1\nkind: Installation\nmetadata: {name: installation}\n"
            "spec: {maxParallel: 6, retention: {runs: 100000, log: 64KiB}}\n"
        ]
        for job in self.jobs:
            cron = "* * * * * *" if job.period == 1 else f"*/{job.period} * * * * *"
            planning = f"{{mode: scheduled, schedule: {{cron: '{cron}'}}}}"
            documents.append(
                f"apiVersion: reconciler/v1\nkind: Job\nmetadata: {{name: {job.name}}}\nspec:\n"
                f"  description: edit {self.edits}\n  script: |\n"
                + SCRIPT.format(ledger=self.ledger, work=job.work, code=job.code)
                + f"  planning: {'{mode: disabled}' if mode else planning}\n"
                + (f"  {job.more}\n" if job.more else "")
            )
        temporary = folder / ".all.tmp"
        temporary.write_text("---\n".join(documents))
        temporary.rename(folder / "all.yaml")

    # The processes.

    def start(self, failpoint: str = "", *options: str) -> None:
        """Start the daemon; with a failpoint, the first process of ours that comes by is killed there."""
        environment = {
            "PATH": os.environ["PATH"], "RECONCILE_FAILPOINT": failpoint,
            "RECONCILE_FAILPOINT_ONCE": str(self.folder / "once"),
        }  # fmt: skip
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(
                [*self.command(), "serve", "--listen", "", *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip

    def command(self) -> list[str]:
        return [sys.executable, "-m", "reconciler", "-C", str(self.folder), "--state", str(self.state)]

    def kill_daemon(self) -> None:
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.kill()
            self.kills += 1
        if self.daemon is not None:
            self.daemon.wait()
        self.daemon = None

    def kill_runner(self) -> None:
        for pid in self.runners():
            os.kill(pid, signal.SIGKILL)
            self.kills += 1

    def runners(self) -> list[int]:
        return [one.pid for one in process.everything() if one.state not in "ZX" and self._is_runner(one.pid)]

    def _is_runner(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(self.state) in words and any(
            word.endswith(b"/reconciler/runner") for word in words
        )

    def processes_of_runs(self) -> list[process.Process]:
        below = f"{self.state}/runs"
        return [one for one in process.everything() if process.output_of(one.pid).startswith(below)]

    def stop(self) -> None:
        """Let the daemon end as a service manager does."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGTERM)
        assert self.daemon.wait(PATIENCE_SECONDS) == 0, self.said()
        self.daemon = None

    def close(self) -> None:
        """End all that was started here."""
        self.kill_daemon()
        for one in process.everything():
            if self._is_runner(one.pid) or process.output_of(one.pid).startswith(str(self.folder)):
                process.signal_exactly(one, signal.SIGKILL)

    # What one sees of it.

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def lines(self) -> int:
        return self.ledger.read_bytes().count(b"\n") if self.ledger.exists() else 0

    def wait_for_lines(self, more: int) -> None:
        """Wait until the jobs have written that much more, or the daemon has ended."""
        wanted = self.lines() + more
        eventually(lambda: self.lines() >= wanted or self.daemon is None or self.daemon.poll() is not None)

    def ask(self, query: str) -> list[Any]:
        with _reading(self.state / "state.db") as db:
            return db.execute(query).fetchall()

    def rest(self) -> None:
        """Disable everything, and wait until all that runs has ended."""
        self.write("disabled")
        if self.daemon is None or self.daemon.poll() is not None:
            self.start()
        eventually(self._is_at_rest)
        self.stop()
        eventually(lambda: not self.processes_of_runs())

    def _is_at_rest(self) -> bool:
        assert self.daemon is not None
        assert self.daemon.poll() is None, self.said()
        [(left,)] = self.ask(
            "SELECT count(*) FROM targets WHERE mode != 'disabled' OR running > 0 OR queued > 0"
        )
        return left == 0

    # The judge.

    def judge(self) -> int:
        """Say whether ledger and state agree; give the number of runs whose end nobody saw."""
        starts: dict[tuple[str, str, str], float] = {}
        ends: dict[tuple[str, str, str], tuple[int, float]] = {}
        for line in self.ledger.read_text().splitlines():
            job, run, attempt, what, at = line.split()
            if what == "start":
                assert (job, run, attempt) not in starts, f"{job}/{run}/{attempt} ran twice"
                starts[job, run, attempt] = float(at)
            else:
                ends[job, run, attempt] = int(what.partition("-")[2]), float(at)
        self._locks(starts, ends)
        unknown = self._facts(starts, ends)
        rows = self.ask("SELECT job, run, state, reason, exit_code FROM runs")
        assert not [row for row in rows if row[2] in ("running", "queued")], "something is still running"
        known = {(row[0], row[1]) for row in rows}
        assert {key[:2] for key in starts} <= known, "something ran that nobody knows"
        return unknown

    def _locks(self, starts: dict[Any, float], ends: dict[Any, tuple[int, float]]) -> None:
        held = sorted((at, *key) for key, at in starts.items() if key[0] in ("left", "right"))
        for first, second in pairwise(held):
            end = ends.get(first[1:])
            assert end is None or end[1] <= second[0], f"{first} and {second} held a lock at once"

    def _facts(self, starts: dict[Any, float], ends: dict[Any, tuple[int, float]]) -> int:
        seen: dict[str, Seen] = defaultdict(Seen)
        cursors: dict[str, int | None] = defaultdict(lambda: None)
        periods = {job.name: job.period for job in self.jobs}
        unknown = 0
        for job, kind, body in self.ask("SELECT job, kind, body FROM facts ORDER BY seq"):
            values = json.loads(body)
            fact: Any = fact_from_json(kind, values)
            fold(seen[job], fact)
            if kind == "Joined":
                cursors[job] = int(fact.at.timestamp()) if fact.mode == "scheduled" else None
            slots = (fact.first, fact.last) if kind == "Settled" else (getattr(fact, "slot", None),) * 2
            if kind in ("Settled", "Queued") and slots[0] is not None:
                cursor = cursors[job]
                assert cursor is not None, f"{job} has no schedule: {fact}"
                following = (cursor // periods[job] + 1) * periods[job]
                assert slots[0].timestamp() == following, f"{job} lost the slot {following}: {fact}"
                cursors[job] = int(slots[1].timestamp())
            if kind == "Ended":
                key = job, fact.run, str(fact.attempt)
                if fact.reason in ("ExitUnknown", "MachineRestarted"):
                    unknown += 1
                elif fact.exit_code is not None:
                    said = ends[key][0] if key in ends else None
                    assert said == fact.exit_code, f"{key}: {fact}, and its ledger {said}"
                if key in ends and fact.exit_code is None:
                    assert fact.reason in ("ExitUnknown", "Replaced", "TimedOut"), (
                        f"{key} ended by itself: {fact}"
                    )
            if kind == "Finished" and fact.state.is_good:
                assert any(k[:2] == (job, fact.run) and end[0] == 0 for k, end in ends.items()), (
                    f"{job}: {fact}"
                )
        for job, body in self.ask("SELECT job, seen FROM targets"):
            mine, kept = seen[job].to_json(), json.loads(body)
            for name in HEARTBEATS:
                mine.pop(name, None), kept.pop(name, None)
            assert json.loads(json.dumps(mine)) == kept, f"history of {job} gives another state than is kept"
        return unknown


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        yield db
    finally:
        db.close()

"""500 runs of `true` through executor and runner, against a bare posix_spawn loop of the same 500, in one run.

`python tests/bench/runner_bench.py` prints both and their ratio (target: 1.6; with the engine 2.5).
"""

from __future__ import annotations

import os
import select
import sys
import tempfile
import time
from pathlib import Path

from reconciler.executors.local import LocalExecutor
from reconciler.ports.executor import AttemptId, Ended, Order

RUNS = 500
ROUNDS = 5


def bare(folder: Path) -> float:
    """Start and reap RUNS processes by posix_spawn, sequentially; return the seconds."""
    begin = time.perf_counter()
    for _ in range(RUNS):
        pid = os.posix_spawn("/usr/bin/true", ["true"], {"PATH": "/usr/bin:/bin"})
        os.waitpid(pid, 0)
    return time.perf_counter() - begin


def bare_together(folder: Path) -> float:
    """Start all RUNS processes by posix_spawn, then reap them; return the seconds."""
    begin = time.perf_counter()
    pids = [os.posix_spawn("/usr/bin/true", ["true"], {"PATH": "/usr/bin:/bin"}) for _ in range(RUNS)]
    for pid in pids:
        os.waitpid(pid, 0)
    return time.perf_counter() - begin


def through_the_runner(
    executor: LocalExecutor, tag: str, argv: tuple[str, ...] = ("/usr/bin/true",)
) -> float:
    """Order RUNS attempts and wait for their ends, all on disk; return the seconds."""
    begin = time.perf_counter()
    for number in range(RUNS):
        run = f"{tag}-{number}"
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": "/root", "USER": "root", "LANG": "C.UTF-8", "RECONCILE_JOB": "true",
            "RECONCILE_RUN": run, "RECONCILE_ATTEMPT": "1", "RECONCILE_TRIGGER": "schedule",
        }  # fmt: skip
        attempt = AttemptId("_installation/true", run, 1)
        executor.start(Order(attempt, argv, environment, timeout_seconds=600.0, log_bytes=64 << 20))
    left = RUNS
    while left:
        left -= sum(isinstance(event, Ended) for event in executor.poll())
        if left:
            select.select([executor], [], [], 1.0)
    return time.perf_counter() - begin


def main() -> int:
    """Measure, print, and fail above the target."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        state = Path(folder)
        executor = LocalExecutor(state, lambda: (time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)))
        through_the_runner(executor, "warm")
        one, together, ours = [], [], []
        for number in range(ROUNDS):
            one.append(bare(state))
            together.append(bare_together(state))
            ours.append(through_the_runner(executor, str(number)))
        executor.close()
    ratio = min(ours) / min(one)
    print(f"bare, one by one      {min(one) * 1000:7.0f} ms")
    print(f"bare, all then reaped {min(together) * 1000:7.0f} ms")
    print(f"through the runner    {min(ours) * 1000:7.0f} ms  ({RUNS / min(ours):.0f} runs/s)")
    print(f"ratio {ratio:.2f} to one by one, {min(ours) / min(together):.2f} to all then reaped")
    return 0 if ratio <= 1.6 else 1


if __name__ == "__main__":
    sys.exit(main())

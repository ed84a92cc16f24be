"""500 runs of `true` due in the same second, by the real daemon, against a bare posix_spawn loop of as many.

Run: `python tests/bench/burst_bench.py [RUNS]`. Target: at most 2.5 times the wall time of the loop.
Both are measured in turn in one run, and the ratio of the medians counts.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROUNDS = 5
BETWEEN_SECONDS = 6


def bare(runs: int) -> float:
    """Seconds that starting and reaping takes without anything around it."""
    begun = time.perf_counter()
    pids = {os.posix_spawn("/bin/true", ["true"], {}) for _ in range(runs)}
    while pids:
        pid, _ = os.wait()
        pids.discard(pid)
    return time.perf_counter() - begun


def repository(folder: Path, runs: int, seconds: str) -> None:
    """As many jobs, all due at the same seconds of the minute."""
    text = "\n---\n".join(
        f"apiVersion: reconciler/v1\nkind: Job\nmetadata: {{name: job-{i}}}\nspec:\n  command: ['true']\n"
        f'  planning: {{mode: scheduled, schedule: {{cron: "{seconds} * * * * *"}}}}'
        for i in range(runs)
    )
    head = "apiVersion: reconciler/v1\nkind: Installation\nmetadata: {name: installation}\n"
    (folder / "jobs.d").mkdir(parents=True)
    (folder / "jobs.d" / "all.yaml").write_text(f"{head}spec: {{maxParallel: {runs}}}\n---\n{text}\n")


def burst(database: Path, slot: float, runs: int) -> float:
    """Wait until all runs of the slot are recorded; seconds from the slot to the last record.

    What is asked while it goes on looks at one index and no more, for whoever measures must not be what is measured.
    """
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    last = db.execute("SELECT coalesce(max(id), 0) FROM runs").fetchone()[0]
    while db.execute("SELECT count(*) FROM runs WHERE state = 'success' AND id > ?", (last,)).fetchone()[0] < runs:
        if time.time() > slot + 60:
            raise TimeoutError(f"not all of {runs} runs of {datetime.fromtimestamp(slot, UTC)} were recorded")
        time.sleep(0.01)
    took = time.time() - slot
    done = db.execute("SELECT count(*) FROM runs WHERE slot = ? AND exit_code = 0", (slot,)).fetchone()[0]
    assert done == runs, f"{done} of {runs} runs are recorded with exit code 0"
    return took


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = (int(time.time()) + 8) % 60
        seconds = ",".join(str(s) for s in sorted({(first + i * BETWEEN_SECONDS) % 60 for i in range(ROUNDS)}))
        repository(folder, runs, seconds)
        state = folder / "state"
        command = [sys.executable, "-m", "reconciler", "-C", str(folder), "--state", str(state), "serve"]
        daemon = subprocess.Popen([*command, "--listen", ""], stderr=subprocess.DEVNULL)
        try:
            ours, loops = [], []
            wanted = {int(s) for s in seconds.split(",")}
            while len(ours) < ROUNDS:
                slot = int(time.time()) + 1
                while slot % 60 not in wanted or not (state / "state.db").exists():
                    time.sleep(0.05)
                    slot = int(time.time()) + 1
                time.sleep(max(0.0, slot - 0.01 - time.time()))
                ours.append(burst(state / "state.db", slot, runs))
                time.sleep(1)
                loops.append(bare(runs))
        finally:
            daemon.terminate()
            daemon.wait()
    ratio = statistics.median(ours) / statistics.median(loops)
    result = {"runs": runs, "daemon_seconds": ours, "loop_seconds": loops, "ratio": round(ratio, 2), "target": 2.5}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""How late a due run starts on an idle machine: `reconcile serve` beside a bare loop that sleeps until the second.

Run: `python tests/bench/lateness_bench.py [SECONDS]`. Targets: 20 ms at the median, 100 ms at p99.
The job itself writes the time at which it started, so the start of a process is part of the lateness; the
reference does the same with posix_spawn.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STAMP = "date +%s.%N >>"


def quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def lateness(path: Path) -> list[float]:
    """Milliseconds after the full second, of each line."""
    return [1000 * (float(line) % 1) for line in path.read_text().split()]


def reference(path: Path, seconds: int) -> None:
    for _ in range(seconds):
        due = int(time.time()) + 1
        time.sleep(max(0.0, due - time.time()))
        os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", f"{STAMP} {path}"], dict(os.environ)), 0)


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, bare = folder / "ours", folder / "bare"
        (folder / "jobs.d").mkdir()
        (folder / "jobs.d" / "tick.yaml").write_text(
            "apiVersion: reconciler/v1\nkind: Job\nmetadata: {name: tick}\nspec:\n"
            f"  script: {STAMP} {ours}\n"
            '  planning: {mode: scheduled, schedule: {cron: "* * * * * *"}}\n'
        )
        command = [sys.executable, "-m", "reconciler", "-C", name, "--state", str(folder / "state"), "serve"]
        daemon = subprocess.Popen([*command, "--listen", ""], stderr=subprocess.DEVNULL)
        try:
            time.sleep(seconds)
        finally:
            daemon.terminate()
            daemon.wait()
        reference(bare, min(seconds, 20))
        result = {}
        for who, path in (("ours", ours), ("bare", bare)):
            found = lateness(path)
            result[who] = {"runs": len(found), "p50_ms": quantile(found, 0.5), "p99_ms": quantile(found, 0.99)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

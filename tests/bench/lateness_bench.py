"""How late a due run starts on an idle machine: `reconcile serve` beside Debian cron and a bare loop.

Run: `python tests/bench/lateness_bench.py [SECONDS]`. Targets: 20 ms at the median, 100 ms at p99.
The job itself writes the time at which it started, so the start of a process is part of the lateness. The bare loop
sleeps until the second and does the same with posix_spawn. Where cron is installed and we are root, it runs the job
too, every minute of the same time (so 300 SECONDS are five starts), from a file in /etc/cron.d that goes afterwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STAMP = "date +%s.%N >>"
CRON, CRONTAB = Path("/usr/sbin/cron"), Path("/etc/cron.d/reconcile-lateness")


def quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def lateness(path: Path, period: int = 1) -> list[float]:
    """Milliseconds after the full second (or minute: 60), of each line."""
    return [1000 * (float(line) % period) for line in path.read_text().split()]


@contextmanager
def cron(script: Path) -> Iterator[bool]:
    """Have Debian cron run this every minute; False where it cannot be asked."""
    if os.geteuid() != 0 or not CRON.exists():
        yield False
        return
    CRONTAB.write_text(f"* * * * * root /bin/sh {script}\n")
    # Where one runs already, this one leaves at once and the other reads the file.
    daemon = subprocess.Popen([CRON, "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield True
    finally:
        CRONTAB.unlink()
        daemon.terminate()
        daemon.wait()


def reference(path: Path, seconds: int) -> None:
    for _ in range(seconds):
        due = int(time.time()) + 1
        time.sleep(max(0.0, due - time.time()))
        os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", f"{STAMP} {path}"], dict(os.environ)), 0)


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, bare, by_cron = folder / "ours", folder / "bare", folder / "by-cron"
        (folder / "stamp.sh").write_text(f"{STAMP} {by_cron}\n")
        (folder / "jobs.d").mkdir()
        (folder / "jobs.d" / "tick.yaml").write_text(
            "apiVersion: reconciler/v1\nkind: Job\nmetadata: {name: tick}\nspec:\n"
            f"  script: {STAMP} {ours}\n"
            '  planning: {mode: scheduled, schedule: {cron: "* * * * * *"}}\n'
        )
        command = [sys.executable, "-m", "reconciler", "-C", name, "--state", str(folder / "state"), "serve"]
        daemon = subprocess.Popen([*command, "--listen", ""], stderr=subprocess.DEVNULL)
        try:
            with cron(folder / "stamp.sh") as has_cron:
                time.sleep(seconds)
        finally:
            daemon.terminate()
            daemon.wait()
        reference(bare, min(seconds, 20))
        result = {}
        sources = [("ours", ours, 1), ("bare", bare, 1), *([("cron", by_cron, 60)] if has_cron else [])]
        for who, path, period in sources:
            found = lateness(path, period) if path.exists() else []
            if not found:
                continue
            result[who] = {"runs": len(found), "p50_ms": quantile(found, 0.5), "p99_ms": quantile(found, 0.99)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""10,000 one-job files: cold plan, restart, one edit, idle CPU and memory, by the real daemon.

Run: `python tests/bench/scale_bench.py [FILES]`. Machines are noisy, so each time also stands beside a reference of
the same run: reading and parsing the same files by ruamel's C parser alone (its events thrown away).
Targets: cold load, validate and plan 4 s; restart 1 s; an edit live in 300 ms; idle CPU 0.5 %; 60 MB + 3 KB a target.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IDLE_SECONDS = 15


def make(folder: Path, files: int) -> None:
    """One job a file, in folders of a hundred, all with schedules of their own."""
    for i in range(files):
        place = folder / "jobs.d" / f"d{i % 100:02d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"job-{i}.yaml").write_text(
            f"apiVersion: reconciler/v1\nkind: Job\nmetadata: {{name: job-{i}, labels: {{team: t{i % 17}}}}}\nspec:\n"
            f"  description: Back up volume {i}\n  command: [/usr/bin/restic, backup, /srv/{i}]\n  timeout: 30m\n"
            f'  planning: {{mode: scheduled, schedule: {{cron: "{i % 60} {i % 24} * * *", timeZone: Europe/Paris}}}}\n'
        )


def reference(folder: Path) -> float:
    """Seconds to read and parse all files and do nothing with them."""
    from _ruamel_yaml import CParser

    begun = time.perf_counter()
    for path in sorted((folder / "jobs.d").rglob("*.yaml")):
        parser = CParser(path.read_text())
        while parser.check_event():
            parser.get_event()
    return time.perf_counter() - begun


def timed(*command: str) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def cpu_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, files)
        state = folder / "state"
        us = [sys.executable, "-m", "reconciler", "-C", str(folder), "--state", str(state)]
        result: dict[str, float] = {"files": files, "parse_seconds": reference(folder)}
        result["cold_plan_seconds"] = timed(*us, "plan")
        subprocess.run([*us, "apply"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begun = time.perf_counter()
        daemon = subprocess.Popen([*us, "serve", "--listen", ""], stderr=subprocess.PIPE, text=True)
        assert daemon.stderr is not None
        for line in daemon.stderr:
            if " ready: " in line:
                break
        result["restart_seconds"] = time.perf_counter() - begun
        time.sleep(10)
        edited = folder / "jobs.d" / "d00" / "job-0.yaml"
        text = edited.read_text().replace("timeout: 30m", "timeout: 31m")
        temporary = edited.with_name(".edit.tmp")
        temporary.write_text(text)
        db = sqlite3.connect(f"file:{state / 'state.db'}?mode=ro", uri=True)
        query = "SELECT body FROM objects WHERE name = 'job-0'"
        begun = time.perf_counter()
        os.replace(temporary, edited)
        while "31m" not in db.execute(query).fetchone()[0]:
            time.sleep(0.005)
        result["edit_seconds"] = time.perf_counter() - begun
        # What is written behind and tidied after a start is over by then.
        time.sleep(45)
        used = cpu_seconds(daemon.pid)
        time.sleep(IDLE_SECONDS)
        result["idle_cpu_percent"] = 100 * (cpu_seconds(daemon.pid) - used) / IDLE_SECONDS
        pids = [daemon.pid, *children(daemon.pid)]
        result["resident_mb"] = sum(map(resident_kib, pids)) / 1000
        result["allowed_mb"] = 60 + 0.003 * files
        daemon.terminate()
        daemon.wait()
        result["cold_plan_ratio"] = result["cold_plan_seconds"] / result["parse_seconds"]
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))


if __name__ == "__main__":
    main()

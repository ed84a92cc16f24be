"""What a run writes, however much and whatever it is: bounded on disk, shown safely, and nobody else feels it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support.installation import Daemon, Installation, document, job, until

pytestmark = pytest.mark.full

MIB = 1 << 20


def resident_bytes(daemon: Daemon) -> int:
    return int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def log_of(place: Installation, name: str) -> Path:
    (run,) = place.runs(name)
    return place.state / "runs" / "_installation" / name / run["run"] / "1" / "log"


def flood(mebibytes: int) -> str:
    return f"echo head; yes '{'x' * 99}' | head -c {mebibytes}M; echo ::error::tail"


def judge_flood(place: Installation, mebibytes: int) -> None:
    """One job floods while another runs every second."""
    place.write("all.yaml", document("Installation", "installation", retention={"log": "8MiB"}))
    every_second = {"mode": "scheduled", "schedule": {"cron": "* * * * * *"}}
    place.write("tick.yaml", job("tick", "true", planning=every_second))
    place.write("flood.yaml", job("flood", flood(mebibytes)))
    daemon = place.serve()
    place.wait_runs("tick", "success")
    before, begun = resident_bytes(daemon), time.time()
    assert place.run("run", "flood", "--wait", seconds=600).returncode == 11, (
        "its error line makes it a warning"
    )
    took = time.time() - begun
    (run,) = place.runs("flood")
    assert run["errors"] == 1
    log = log_of(place, "flood")
    assert log.stat().st_blocks * 512 < 17 * MIB, "the bound, and what may come within one look"
    assert resident_bytes(daemon) - before < 48 * MIB
    lines = place.run("logs", "flood").stdout.splitlines()
    assert lines[0].endswith("head")
    assert lines[-1].endswith("tail")
    assert any("not kept" in line or "MiB" in line or "bytes" in line for line in lines if "xxx" not in line)
    late = [
        row[0]
        for row in place.rows("SELECT started - slot FROM runs WHERE job='tick' AND started IS NOT NULL")
    ]
    assert len(late) >= min(took, 3) / 2, "the others went on meanwhile"
    assert sorted(late)[len(late) // 2] < 2.0


def test_a_flood_leaves_head_and_tail_and_the_others_run_on_time(place: Installation):
    judge_flood(place, 300)


@pytest.mark.full
def test_a_flood_of_five_gigabytes_does_no_more(place: Installation):
    judge_flood(place, 5000)


def test_long_lines_binary_escape_codes_and_progress_bars_are_shown_safely(place: Installation):
    commands = (
        "head -c 10000000 /dev/zero | tr '\\0' a; echo",
        "printf '\\377\\376bad\\n'",
        "head -c 3000 /dev/urandom; echo",
        "printf '\\033[31mred\\033[0m \\033]0;title\\007 \\342\\200\\256evil\\n'",
        "printf '10%%\\r50%%\\r100%%\\n'",
        "echo ::progress 40",
        "echo ::warning::careful",
    )
    place.write("odd.yaml", job("odd", "; ".join(commands), warnings={"level": "warning"}))
    place.serve()
    assert place.run("run", "odd", "--wait").returncode == 11
    said = place.run("logs", "odd").stdout
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "\u202e" not in said
    assert "␛[31mred" in said
    assert "\\xff\\xfebad" in said
    assert "100%" in said
    assert "10%" not in said.replace("100%", ""), "what a carriage return overwrote is gone"
    assert max(map(len, said.splitlines())) > MIB / 2
    (item,) = place.json("get", "runs")["items"]
    assert item["progress"] == 40
    assert item["log"]["warnings"] == 1


def test_severities_and_progress_written_while_nobody_looked_are_counted(place: Installation):
    wait = f"while [ ! -e {place.root}/go ]; do sleep 0.05; done"
    place.write(
        "a.yaml",
        job("a", f"echo first; {wait}; echo ::error::late; echo ::progress 70; touch {place.root}/said"),
    )
    daemon = place.serve()
    place.run("run", "a")
    place.wait_runs("a", "running")
    daemon.kill()
    (place.root / "go").touch()
    until((place.root / "said").exists)
    place.serve()
    (run,) = place.wait_runs("a", "warning")
    assert (run["errors"], run["lines"]) == (1, 3)
    assert place.json("get", "runs")["items"][0]["progress"] == 70

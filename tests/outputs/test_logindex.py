"""Logs are read behind their writers: counts, the index, and nothing lost over a restart."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.model import TargetId
from reconciler.outputs import logindex
from reconciler.outputs.logindex import LogFollower
from reconciler.ports.executor import AttemptId
from reconciler.ports.logs import LogCounts
from reconciler.views.attempts import entries

ATTEMPT = AttemptId.of(TargetId("backup"), "20261122T120000Z", 1)


class Time:
    """Wall and boot time as a test sets them."""

    def __init__(self) -> None:
        self.wall, self.boot = 1_795_348_800.0, 1000.0

    def __call__(self) -> tuple[float, float]:
        return self.wall, self.boot

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / ATTEMPT.path
    made.mkdir(parents=True)
    return made


@pytest.fixture
def follower(tmp_path: Path, folder: Path, clock: Time) -> Iterator[LogFollower]:
    made = LogFollower(tmp_path, clock)
    yield made
    made.close()


def until_counts(follower: LogFollower, lines: int) -> LogCounts:
    """Poll until the running attempt has so many lines."""
    while True:
        ready, _, _ = select.select([follower], [], [], 10)
        assert ready, f"{lines} lines were not read in 10 s"
        for _, counts in follower.poll()[1]:
            if counts.lines >= lines:
                return counts


def final_counts(follower: LogFollower, attempt: AttemptId = ATTEMPT) -> LogCounts:
    now = follower.finish(attempt)
    if now is not None:
        return now
    while True:
        ready, _, _ = select.select([follower], [], [], 10)
        assert ready, "the end of the log was not read in 10 s"
        for found, counts in follower.poll()[0]:
            if found == attempt:
                return counts


def test_a_short_log_is_counted_at_its_end_and_leaves_no_index(follower: LogFollower, folder: Path) -> None:
    follower.follow(ATTEMPT)
    (folder / "log").write_bytes(b"one\n::error::two\nthree")
    assert follower.finish(ATTEMPT) == LogCounts(lines=3, infos=2, errors=1)
    assert not (folder / "log.idx").exists()


def test_no_log_at_all_is_no_lines(follower: LogFollower) -> None:
    follower.follow(ATTEMPT)
    assert follower.finish(ATTEMPT) == LogCounts()


def test_counts_and_progress_are_told_while_it_runs(follower: LogFollower, folder: Path) -> None:
    follower.follow(ATTEMPT)
    with open(folder / "log", "ab", buffering=0) as log:
        log.write(b"::progress 10\n")
        assert until_counts(follower, 1).progress == 10
        log.write(b"::warning::hm\n::progress 60\n")
        assert until_counts(follower, 3) == LogCounts(lines=3, warnings=1, progress=60)
    assert final_counts(follower) == LogCounts(lines=3, warnings=1, progress=60)
    assert follower.poll() == ([], [])


def test_the_index_says_when_what_was_first_seen(follower: LogFollower, folder: Path, clock: Time) -> None:
    begin = clock.wall
    follower.follow(ATTEMPT)
    with open(folder / "log", "ab", buffering=0) as log:
        log.write(b"one\n")
        until_counts(follower, 1)
        clock.pass_(1.5)
        log.write(b"two\n")
        until_counts(follower, 2)
    final_counts(follower)
    assert [(entry.end, entry.at, entry.late) for entry in entries(str(folder))] == [
        (4, begin, False),
        (8, begin + 1.5, False),
    ]


def test_what_was_written_while_nobody_looked_is_late_and_counted_once(
    tmp_path: Path, folder: Path, clock: Time
) -> None:
    first = LogFollower(tmp_path, clock)
    first.follow(ATTEMPT)
    (folder / "log").write_bytes(b"one\n::error::two\nhalf ")
    until_counts(first, 2)
    first.close()
    with open(folder / "log", "ab") as log:
        log.write(b"a line\n::warning::later\n")
    written = clock.wall + 60
    os.utime(folder / "log", (written, written))
    clock.pass_(3600)
    second = LogFollower(tmp_path, clock)
    second.follow(ATTEMPT)
    assert final_counts(second) == LogCounts(lines=4, infos=2, warnings=1, errors=1)
    second.close()
    last = entries(str(folder))[-1]
    assert (last.at, last.late, last.lines) == (written, True, 4)


def test_what_the_disk_got_back_is_passed_over(follower: LogFollower, folder: Path) -> None:
    gap = 64 << 20
    with open(folder / "log", "wb") as log:
        log.write(b"head\nhe")
        log.seek(gap, os.SEEK_CUR)
        log.write(b"il\n::error::tail\n")
    (folder / "log.gap").write_text(json.dumps({"offset": 7, "length": gap}))
    follower.follow(ATTEMPT)
    assert final_counts(follower) == LogCounts(lines=3, infos=2, errors=1)


def test_a_long_log_is_read_by_the_thread_and_its_counts_come_by_poll(
    follower: LogFollower, folder: Path
) -> None:
    lines = 3 * logindex.LOOK_BYTES // 64
    (folder / "log").write_bytes((b"x" * 63 + b"\n") * lines + b"::error::end\n")
    assert follower.finish(ATTEMPT) is None
    assert final_counts(follower).errors == 1


def test_the_index_of_a_long_run_stays_bounded(tmp_path: Path, folder: Path, clock: Time) -> None:
    tail = logindex._Tail(ATTEMPT, str(folder), clock())
    with open(folder / "log", "ab", buffering=0) as log:
        for _ in range(logindex.MAX_ENTRIES * 3):
            log.write(b"x\n")
            clock.pass_(1.0)
            tail.look(clock(), logindex.LOOK_BYTES)
    found = entries(str(folder))
    assert logindex.MAX_ENTRIES / 2 <= len(found) <= logindex.MAX_ENTRIES
    assert [entry.end for entry in found] == sorted({entry.end for entry in found})
    assert LogFollower(tmp_path, clock).finish(ATTEMPT) == LogCounts(
        3 * logindex.MAX_ENTRIES, 3 * logindex.MAX_ENTRIES
    )


def test_two_thousand_short_attempts_cost_little(tmp_path: Path, clock: Time) -> None:
    follower = LogFollower(tmp_path, clock)
    for number in range(2000):
        attempt = AttemptId("_installation/backup", f"r{number}", 1)
        follower.follow(attempt)
        assert follower.finish(attempt) == LogCounts()
    follower.close()

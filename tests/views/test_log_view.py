"""Logs as they are read from the directory of an attempt."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.access import SYSTEM, Viewer
from reconciler.core.logs import gap_text
from reconciler.views import BadQuery, UnknownName, attempts, look
from reconciler.views.attempts import AttemptLog, Entry
from reconciler.views.report import tail_of
from tests.support import database

ROOT = Viewer("root", SYSTEM)
RUN = "20261122T120000Z"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def connection(state: Path) -> Iterator[sqlite3.Connection]:
    made = database.make(state)
    database.target(made, "backup")
    yield made
    made.close()


def ended(connection: sqlite3.Connection, state: Path, log: bytes, **values: Any) -> Path:
    database.ran(connection, "backup", "", RUN, "success", **values)
    folder = database.attempt(state, "backup", "", RUN, log=log)
    (folder / "exit").write_text("{}")
    return folder


def texts(connection: sqlite3.Connection, **query: Any) -> list[str]:
    answer = look("log", connection, ROOT, {"name": "backup", **{k: str(v) for k, v in query.items()}})
    return [item["text"] for item in answer["items"]]


def test_a_job_means_its_newest_run_that_started(connection: sqlite3.Connection, state: Path) -> None:
    ended(connection, state, b"hello\nworld\n")
    database.ran(connection, "backup", "", "20261122T130000Z", "skipped", attempts=0)
    assert texts(connection) == ["hello", "world"]


def test_the_last_line_is_shown_without_its_end_once_the_run_is_over(
    connection: sqlite3.Connection, state: Path
) -> None:
    folder = ended(connection, state, b"one\ntw")
    assert texts(connection) == ["one", "tw"]
    (folder / "exit").unlink()
    connection.execute("UPDATE runs SET state = 'running'")
    answer = look("log", connection, ROOT, {"name": "backup"})
    assert [item["text"] for item in answer["items"]] == ["one"]
    assert (answer["next"], answer["over"]) == (4, False)


def test_lines_are_filtered_by_severity_and_pattern(connection: sqlite3.Connection, state: Path) -> None:
    ended(connection, state, b"a\n::warning::disk\n::error::net\n<4>disk too\n::progress 4\n")
    assert texts(connection, level="warning") == ["disk", "net", "disk too"]
    assert texts(connection, grep="dis[k]") == ["disk", "disk too"]
    assert texts(connection, grep="disk", tail=1) == ["disk too"]
    with pytest.raises(BadQuery, match="severity"):
        texts(connection, level="loud")
    with pytest.raises(BadQuery, match="regular expression"):
        texts(connection, grep="(")


@given(
    lines=st.lists(st.sampled_from([b"", b"x", b"long " * 30]), max_size=30),
    count=st.integers(0, 12),
    closed=st.booleans(),
)
def test_the_tail_is_the_end_of_the_whole(
    lines: list[bytes], count: int, closed: bool, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("attempt")
    data = b"\n".join(lines) + (b"\n" if closed and lines else b"")
    (folder / "log").write_bytes(data)
    log = AttemptLog(str(folder))
    whole = [line for piece, _ in log.pieces(0, True) for line in piece]
    assert [line.text.encode() for line in whole] == data.splitlines()
    if count:
        assert log.last(count, True) == (whole[-count:], len(data))


def test_what_is_longer_than_a_piece_comes_in_several(connection: sqlite3.Connection, state: Path) -> None:
    size = attempts.PIECE_BYTES
    ended(connection, state, b"x" * (2 * size + 7) + b"\nlast\n")
    seen, offset = "", 0
    while True:
        answer = look("log", connection, ROOT, {"name": "backup", "offset": str(offset)})
        seen += "".join(item["text"] for item in answer["items"])
        offset = answer["next"]
        if answer["over"]:
            break
    assert seen == "x" * (2 * size + 7) + "last"


def test_what_was_not_kept_is_one_line_that_says_so(connection: sqlite3.Connection, state: Path) -> None:
    folder = ended(connection, state, b"head\nhe" + b"\0" * 4096 + b"il\ntail\n")
    (folder / "log.gap").write_text(json.dumps({"offset": 7, "length": 4096}))
    log = AttemptLog(str(folder))
    assert [line.text for piece, _ in log.pieces(0, True) for line in piece] == [
        *("head", "he", "[gap: 4.0 KiB not kept]", "il", "tail")
    ]
    assert texts(connection, tail=2) == ["il", "tail"]


def test_secrets_of_the_attempt_are_masked(connection: sqlite3.Connection, state: Path) -> None:
    folder = ended(connection, state, b"token is s3cr3t-value\n")
    (state / "secrets").mkdir()
    (state / "secrets" / "api").write_text("s3cr3t-value\n")
    order = {"secrets": {"TOKEN": "api", "GONE": "nope"}, "secretsFolder": str(state / "secrets")}
    (folder / "order.json").write_text(json.dumps(order) + "\n")
    assert texts(connection) == ["token is ***"]


def test_times_come_from_the_index_and_say_when_they_are_late(
    connection: sqlite3.Connection, state: Path
) -> None:
    folder = ended(connection, state, b"one\ntwo\nthree\n")
    first = Entry(4, 100.0, False, 1, 1, 0, 0, None)
    second = Entry(8, 200.5, True, 2, 2, 0, 0, 40)
    (folder / "log.idx").write_text(f"{first}{second}12 =3")
    items = look("log", connection, ROOT, {"name": "backup"})["items"]
    written = (folder / "log").stat().st_mtime
    assert [(item["at"], item["late"]) for item in items] == [(100.0, False), (200.5, True), (written, False)]
    assert texts(connection, since=150) == ["two", "three"]
    assert texts(connection, since=300) == ["three"]
    assert attempts.entries(str(folder)) == [first, second]


def test_runs_and_attempts_are_found_by_their_names(connection: sqlite3.Connection, state: Path) -> None:
    ended(connection, state, b"first try\n", attempts=2)
    database.attempt(state, "backup", "", RUN, 2, b"second try\n")
    assert texts(connection) == ["second try"]
    assert texts(connection, attempt=1) == ["first try"]
    for name in (f"backup/{RUN}/1", f"{RUN}/1"):
        assert texts(connection, name=name) == ["first try"]
    with pytest.raises(UnknownName, match="no attempt 3"):
        texts(connection, attempt=3)
    with pytest.raises(UnknownName) as error:
        texts(connection, name="bakup")
    assert error.value.hint == "did you mean `backup`?"


@pytest.mark.parametrize("gap", [70, 4 << 20])
def test_the_end_of_a_log_is_told_wherever_its_gap_lies(
    connection: sqlite3.Connection, state: Path, gap: int
) -> None:
    folder = ended(connection, state, b"head\ns3cr")
    with open(folder / "log", "r+b") as log:
        log.seek(gap, os.SEEK_END)
        log.write(b"alue\nit broke\nhere\n")
    (folder / "log.gap").write_text(json.dumps({"offset": 9, "length": gap}))
    lines = tail_of(str(folder.parent), 1).decode().split("\n")
    assert lines[-2:] == ["it broke", "here"]
    hole = gap_text({"offset": 9, "length": gap})
    assert lines[:-2] == ([hole] if gap > 100 else ["head", hole])

"""What stands in the state directory for people and other programs."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.facts import Finished, Started
from reconciler.core.model import Instant, State, TargetId
from reconciler.daemon.outputs import Outputs as Written
from reconciler.outputs import Outputs, files, history, status_files
from tests.support import database
from tests.support.database import NOON

BACKUP = TargetId("backup")
RUN = "20261122T120000Z"


def parse(path: Path) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(path.read_text())


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def connection(state: Path) -> Iterator[sqlite3.Connection]:
    made = database.make(state)
    yield made
    made.close()


@pytest.fixture
def outputs(state: Path, connection: sqlite3.Connection) -> Iterator[Outputs]:
    made = Outputs(state)
    yield made
    made.close(NOON + 3600)


def ran(connection: sqlite3.Connection, **values: Any) -> None:
    last = {"run": RUN, "started": NOON, "finished": NOON + 10, "duration": 10.0, "success_at": NOON + 10}
    database.target(connection, "backup", **{"state": "success", **last, **values})


def fact(connection: sqlite3.Connection, kind: str, run: str = RUN, **body: Any) -> int:
    return database.insert(
        connection, "facts", at=NOON, job="backup", domain="", kind=kind, run=run, body={"run": run, **body}
    )


def test_a_status_file_has_the_conditions_of_its_target(
    state: Path, connection: sqlite3.Connection, outputs: Outputs
) -> None:
    database.document(connection, "Job", "backup")
    connection.execute("UPDATE objects SET revision = 'abc123'")
    database.insert(connection, "meta", key="source", value={"mode": "folder", "revision": "abc123"})
    ran(connection, overdue="no success for 27h", next_run=NOON + 3600)
    outputs.changed({BACKUP})
    outputs.flush(NOON)
    document = parse(state / "status/_installation/backup.yaml")
    assert (document["kind"], document["metadata"]) == ("JobStatus", {"name": "backup"})
    status = document["status"]
    assert status["observedRevision"] == "abc123"
    assert status["nextRun"] == "2026-11-22T13:00:00Z"
    assert status["lastRun"]["state"] == "success"
    found = {one["type"]: (one["status"], one["message"]) for one in status["conditions"]}
    assert found["Overdue"] == ("True", "no success for 27h")
    assert found["Ready"] == ("True", "")
    assert found["Succeeded"][0] == "True"


def test_a_condition_keeps_its_time_until_its_status_changes(
    state: Path, connection: sqlite3.Connection, outputs: Outputs
) -> None:
    ran(connection)
    path = state / "status/_installation/backup.yaml"

    def times(at: float) -> dict[str, str]:
        outputs.changed({BACKUP})
        outputs.flush(at)
        return {one["type"]: one["lastTransitionTime"] for one in parse(path)["status"]["conditions"]}

    first = times(NOON)
    connection.execute("UPDATE targets SET paused = 'until tomorrow'")
    second = times(NOON + 60)
    assert second["Paused"] == "2026-11-22T12:01:00Z"
    assert {**second, "Paused": first["Paused"]} == first


def test_a_file_is_replaced_only_when_it_says_something_else(
    state: Path, connection: sqlite3.Connection, outputs: Outputs
) -> None:
    ran(connection)
    outputs.changed({BACKUP})
    outputs.flush(NOON)
    path = state / "status/_installation/backup.yaml"
    before = path.stat()
    outputs.changed({BACKUP})
    outputs.flush(NOON + 500)
    assert path.stat() == before


def test_a_target_that_is_forgotten_loses_its_file(
    state: Path, connection: sqlite3.Connection, outputs: Outputs
) -> None:
    ran(connection)
    outputs.changed({BACKUP})
    outputs.flush(NOON)
    connection.execute("DELETE FROM targets")
    outputs.changed({BACKUP})
    outputs.flush(NOON + 1)
    assert not (state / "status/_installation/backup.yaml").exists()


def test_what_changed_while_nobody_wrote_is_found_after_a_start(
    state: Path, connection: sqlite3.Connection, outputs: Outputs
) -> None:
    ran(connection)
    wait = outputs.flush(NOON)
    assert wait is not None
    outputs.flush(NOON + status_files.SWEEP_SECONDS)
    assert (state / "status/_installation/backup.yaml").exists()


def committed(connection: sqlite3.Connection, serial: int) -> None:
    for key, value in (("uid", "u1"), ("serial", str(serial))):
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def written_after_a_start(state: Path) -> set[str]:
    """Start on files that say nothing true, and see which are looked at."""
    folder = state / "status/_installation"
    for path in folder.glob("*.yaml"):
        path.write_text("stale")
    outputs = Outputs(state)
    outputs.flush(NOON)
    outputs.flush(NOON + status_files.SWEEP_SECONDS)
    outputs.close(NOON + 60)
    return {path.stem for path in folder.glob("*.yaml") if path.read_text() != "stale"}


def test_a_start_looks_only_at_what_was_committed_after_the_files_were_last_complete(
    state: Path, connection: sqlite3.Connection
) -> None:
    database.target(connection, "old", serial=3)
    database.target(connection, "new", serial=4)
    committed(connection, 4)
    assert written_after_a_start(state) == {"old", "new"}
    assert written_after_a_start(state) == set()
    connection.execute("UPDATE targets SET serial = 5 WHERE job = 'new'")
    committed(connection, 5)
    assert written_after_a_start(state) == {"new"}


@pytest.mark.parametrize("mark", ["u1 99", "another 4", "u1", "nonsense", ""])
def test_a_start_that_cannot_tell_what_was_written_looks_at_everything(
    state: Path, connection: sqlite3.Connection, mark: str
) -> None:
    database.target(connection, "a", serial=4)
    committed(connection, 4)
    assert written_after_a_start(state) == {"a"}
    (state / "status" / status_files.MARK).write_text(mark)
    assert written_after_a_start(state) == {"a"}


def test_with_very_many_targets_only_those_that_matter_have_a_file(
    state: Path, connection: sqlite3.Connection
) -> None:
    connection.execute("BEGIN")
    for number in range(status_files.MANY + 1):
        database.target(connection, f"quiet-{number}", "acme.example")
    ran(connection)
    database.target(connection, "stuck", "acme.example", not_ready="secret `x` is missing")
    connection.execute("COMMIT")
    outputs = Outputs(state)
    outputs.close(NOON)
    written = sorted(str(path.relative_to(state / "status")) for path in (state / "status").rglob("*.yaml"))
    assert written == [
        *("_installation/_summary.yaml", "_installation/backup.yaml"),
        *("acme.example/_summary.yaml", "acme.example/stuck.yaml"),
    ]
    summary = parse(state / "status/acme.example/_summary.yaml")["status"]
    assert (summary["targets"], summary["never"]) == (status_files.MANY + 2, status_files.MANY + 2)


def test_the_source_status_names_rejected_files_and_what_is_held(
    state: Path, connection: sqlite3.Connection, outputs: Outputs
) -> None:
    database.insert(
        connection, "meta", key="source",
        value={"mode": "git", "revision": "abc", "appliedAt": "2026-11-22T12:00:00+00:00",
               "prune": {"digest": "d1", "reason": "12 targets would go"}},
    )  # fmt: skip
    diagnostic = {
        "code": "E103",
        "message": "`wednesday` is not a day",
        "path": "b.yaml",
        "line": 4,
        "snippet": ["x"],
    }
    database.insert(
        connection, "files", path="b.yaml", mtime_ns=0, inode=0, size=0, digest="", rejected=[diagnostic]
    )
    outputs.flush(NOON)
    status = parse(state / "status/source.yaml")["status"]
    assert status["rejectedFiles"][0]["diagnostics"][0]["code"] == "E103"
    found = {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
    assert found == {
        "Applied": ("False", "FilesRejected"),
        "SourceHeld": ("False", "Readable"),
        "PruneBlocked": ("True", "ApprovalNeeded"),
    }


def test_events_are_the_facts_in_order_and_go_on_after_a_restart(
    state: Path, connection: sqlite3.Connection
) -> None:
    fact(connection, "Queued", trigger="schedule")
    fact(connection, "Started", attempt=1)
    Outputs(state).close(NOON)
    fact(connection, "Finished", state="success")
    Outputs(state).close(NOON)
    events = [json.loads(line) for line in (state / "events.jsonl").read_text().splitlines()]
    assert [(event["seq"], event["kind"]) for event in events] == [
        (1, "Queued"),
        (2, "Started"),
        (3, "Finished"),
    ]
    assert events[2]["target"] == "backup"
    assert events[2]["state"] == "success"


def test_a_line_cut_short_by_a_crash_is_written_again(state: Path, connection: sqlite3.Connection) -> None:
    fact(connection, "Queued")
    fact(connection, "Started")
    Outputs(state).close(NOON)
    path = state / "events.jsonl"
    os.truncate(path, path.stat().st_size - 10)
    Outputs(state).close(NOON)
    lines = path.read_text().splitlines()
    assert [json.loads(line)["seq"] for line in (lines[0], lines[2])] == [1, 2]


def test_events_rotate_and_remember_where_they_were(state: Path, connection: sqlite3.Connection) -> None:
    fact(connection, "Queued", message="x" * history.ROTATE_BYTES)
    fact(connection, "Claimed")
    Outputs(state).close(NOON)
    assert not (state / "events.jsonl").exists()
    fact(connection, "Started")
    Outputs(state).close(NOON)
    assert [json.loads(line)["seq"] for line in (state / "events.jsonl").read_text().splitlines()] == [3]
    assert (state / "events.jsonl.1").exists()


def test_a_run_that_started_has_its_run_yaml(
    state: Path, connection: sqlite3.Connection, outputs: Outputs
) -> None:
    ran(connection)
    database.ran(
        connection, "backup", "", RUN, "failure", exit_code=3, reason="ExitCode", revision="abc", errors=1
    )
    fact(connection, "Finished", state="failure")
    folder = database.attempt(state, "backup", "", RUN).parent
    outputs.recorded([(BACKUP, Finished(datetime.now(UTC), RUN, State.FAILURE))])
    outputs.flush(NOON)
    run = parse(folder / "run.yaml")
    assert (run["kind"], run["state"], run["exitCode"], run["revision"]) == ("Run", "failure", 3, "abc")
    assert run["log"]["errors"] == 1


def test_a_request_file_says_what_became_of_it_and_follows_its_runs(
    state: Path, connection: sqlite3.Connection, outputs: Outputs
) -> None:
    database.insert(
        connection, "tokens", token="acme.example/now", digest="d", handled=NOON, outcome="accepted",
        requester="alice", body={"name": "now", "targets": ["backup@acme.example"]},
    )  # fmt: skip
    database.target(connection, "backup", "acme.example")
    database.ran(
        connection, "backup", "acme.example", "d-now", "running", group_id="request/acme.example/now"
    )
    outputs.flush(NOON)
    path = state / "requests/acme.example/now.yaml"
    assert parse(path)["status"]["runs"] == [
        {"name": "backup@acme.example/d-now", "state": "running", "reason": ""}
    ]
    connection.execute("UPDATE runs SET state = 'success'")
    target = TargetId("backup", "acme.example")
    outputs.recorded([(target, Finished(datetime.now(UTC), "d-now", State.SUCCESS))])
    outputs.flush(NOON + 1)
    status = parse(path)["status"]
    assert (status["outcome"], status["requester"], status["runs"][0]["state"]) == (
        "accepted",
        "alice",
        "success",
    )


def test_what_cannot_be_written_is_said_and_tried_again(
    state: Path, connection: sqlite3.Connection, outputs: Outputs
) -> None:
    ran(connection)
    (state / "status").write_text("in the way")
    outputs.changed({BACKUP})
    outputs.recorded([(BACKUP, Started(datetime.now(UTC), RUN, 1))])
    assert outputs.flush(NOON) is not None
    assert "status" in outputs.problems["status_files"]
    (state / "status").unlink()
    outputs.flush(NOON + 60)
    assert outputs.problems == {}
    assert (state / "status/_installation/backup.yaml").exists()


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    assert files.write(path, "one\n", None)
    reader = path.open()
    assert files.write(path, "two\n", "one\n")
    assert reader.read() == "one\n"
    assert os.listdir(path.parent) == ["file"]
    reader.close()


def test_an_output_that_fails_is_said_once_and_its_return_too(
    state: Path, connection: sqlite3.Connection
) -> None:
    class Clock:
        seconds = NOON

        def now(self) -> Instant:
            return Instant(datetime.fromtimestamp(self.seconds, UTC), 0.0, "boot")

    ran(connection)
    clock = Clock()
    written = Written(state, clock)
    (state / "status").write_text("a file where the folder should be")
    assert written.news() == []
    for _ in range(3):
        written.changed({BACKUP})
        written.flush()
        clock.seconds += 60
        written.flush()
    ((text, level),) = written.news()
    assert "status" in text
    assert level == 4
    (state / "status").unlink()
    clock.seconds += 60
    written.flush()
    assert written.news() == [("status_files is written again", 6)]
    written.close()
    assert written.news() == []

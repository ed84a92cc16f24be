"""The metrics page: what Prometheus gets."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.core.facts import Ended, Finished, Settled, Started
from reconciler.core.model import Reason, State, TargetId
from reconciler.outputs.metrics import Metrics, make
from reconciler.ports.output import Setting
from tests.support import database
from tests.support.database import NOON

IMPORT = TargetId("import", "acme.example")
RUN = "20261122T120000Z"
AT = datetime.fromtimestamp(NOON, UTC)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    made = database.make(tmp_path)
    yield made
    made.close()


def metrics_of(tmp_path: Path, connection: sqlite3.Connection, most: int = 10_000) -> Metrics:
    return make(Setting(tmp_path, connection, most))


def lines(metrics: Metrics) -> set[str]:
    return set(metrics.page().decode().splitlines())


def populate(connection: sqlite3.Connection) -> None:
    last = {"run": RUN, "started": NOON, "finished": NOON + 10, "duration": 10.5, "success_at": NOON - 50}
    database.target(connection, "import", "acme.example", state="failure", next_run=NOON + 60.0, **last)
    database.ran(connection, "import", "acme.example", RUN, "failure", warnings=2)
    database.target(connection, "backup")
    running = {"last": {"run": "old", "state": "success", "duration_seconds": 7.0}}
    database.target(connection, "sync", state="running", running=1, run="new", started=NOON, seen=running)
    database.document(connection, "Job", "backup")


def test_each_target_says_how_its_last_run_went_and_when_the_next_is(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    populate(connection)
    page = lines(metrics_of(tmp_path, connection))
    labels = '{domain="acme.example",job_name="import"}'
    assert {
        f"reconciler_job_last_run_success{labels} 0",
        f"reconciler_job_last_run_warnings{labels} 2",
        f"reconciler_job_last_run_timestamp_seconds{labels} {NOON!r}",
        f"reconciler_job_last_success_timestamp_seconds{labels} {NOON - 50!r}",
        f"reconciler_job_next_run_timestamp_seconds{labels} {NOON + 60!r}",
        f"reconciler_job_last_run_duration_seconds{labels} 10.5",
        f"reconciler_job_running{labels} 0",
        f"reconciler_job_overdue{labels} 0",
        'reconciler_job_info{domain="acme.example",job_name="import",mode="scheduled"} 1',
    } <= page
    assert not any("last_run_success" in line and "backup" in line for line in page)


def test_a_run_in_progress_does_not_hide_how_the_last_one_ended(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    populate(connection)
    page = lines(metrics_of(tmp_path, connection))
    labels = '{domain="_installation",job_name="sync"}'
    assert f"reconciler_job_last_run_success{labels} 1" in page
    assert f"reconciler_job_last_run_duration_seconds{labels} 7.0" in page
    assert f"reconciler_job_running{labels} 1" in page


def test_zeros_are_there_from_the_start(tmp_path: Path, connection: sqlite3.Connection) -> None:
    page = lines(metrics_of(tmp_path, connection))
    assert {
        'reconciler_run_requests_total{outcome="accepted"} 0.0',
        'reconciler_log_lines_total{level="error"} 0.0',
        'reconciler_objects{kind="Job",state="held"} 0.0',
        "reconciler_prune_blocked 0.0",
        "reconciler_run_queue_length 0.0",
        "reconciler_targets_suppressed 0",
        'reconciler_resyncs_total{trigger="interval"} 0.0',
    } <= page


def test_what_happened_is_counted(tmp_path: Path, connection: sqlite3.Connection) -> None:
    populate(connection)
    metrics = metrics_of(tmp_path, connection)
    metrics.recorded(
        [
            (IMPORT, Started(AT + timedelta(seconds=0.03), RUN, 1)),
            (IMPORT, Ended(AT, RUN, 1, exit_code=2, lines=10, infos=6, warnings=2, errors=1)),
            (IMPORT, Finished(AT + timedelta(seconds=10), RUN, State.FAILURE, Reason.EXIT_CODE)),
            (IMPORT, Settled(AT, State.MISSED, Reason.RECONCILER_DOWN, AT, AT, 4)),
        ]
    )
    metrics.flush(NOON, 1.0)
    metrics.close()
    page = lines(metrics)
    assert {
        'reconciler_runs_total{domain="acme.example",reason="ExitCode",state="failure",trigger="schedule"} 1.0',
        'reconciler_runs_total{domain="acme.example",reason="ReconcilerDown",state="missed",trigger="schedule"} 4.0',
        'reconciler_log_lines_total{level="warning"} 2.0',
        'reconciler_log_lines_total{level="progress"} 1.0',
        "reconciler_run_duration_seconds_sum 10.0",
        'reconciler_run_start_delay_seconds_bucket{le="0.05"} 1.0',
    } <= page
    assert (tmp_path / "metrics.prom").read_bytes().startswith(b"# HELP reconciler_build_info")


def test_above_the_bound_only_targets_that_matter_have_series(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    populate(connection)
    database.target(connection, "watched", "globex.example")
    database.document(connection, "Job", "watched", expect={"successEvery": "26h"})
    page = lines(metrics_of(tmp_path, connection, most=2))
    named = {line.split('job_name="')[1].split('"')[0] for line in page if "job_name" in line}
    assert named == {"import", "watched"}
    assert "reconciler_targets_suppressed 2" in page
    assert 'reconciler_domain_targets_failing{domain="acme.example"} 1' in page


def test_names_that_change_with_every_run_are_in_no_label(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    populate(connection)
    assert RUN not in metrics_of(tmp_path, connection).page().decode()


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("most", [10_000, 1])
def test_promtool_finds_nothing_to_complain_about(
    tmp_path: Path, connection: sqlite3.Connection, most: int
) -> None:
    populate(connection)
    metrics = metrics_of(tmp_path, connection, most)
    metrics.phase("load", 0.1)
    metrics.resync("event")
    metrics.watch_error("gone")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics.page(), capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


@pytest.mark.alone
def test_a_page_of_ten_thousand_targets_is_quick_and_free_when_nothing_changed(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    connection.execute("BEGIN")
    for number in range(10_000):
        database.target(
            connection, f"job-{number}", "acme.example", state="success", run=RUN, started=NOON, duration=1.0,
            success_at=NOON, next_run=NOON,
        )  # fmt: skip
    connection.execute("COMMIT")
    metrics = metrics_of(tmp_path, connection)
    begin = time.process_time()
    metrics.page()
    first = time.process_time() - begin
    begin = time.process_time()
    metrics.page()
    assert first < 1.0
    assert time.process_time() - begin < first / 5


def test_the_textfile_is_written_soon_after_something_happened_and_seldom_otherwise(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    metrics = metrics_of(tmp_path, connection)
    assert metrics.flush(NOON, 1.0) == 15.0
    assert metrics.flush(NOON + 20, 1.0) == 40.0
    metrics.changed({IMPORT})
    assert metrics.flush(NOON + 20, 1.0) == 15.0
    metrics.close()

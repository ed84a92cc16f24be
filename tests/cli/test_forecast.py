"""`reconcile forecast`: what will run and when, what is special about it, as a feed, and as the load of a week."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from reconciler.core.ics import read_events
from tests.cli.conftest import Cli
from tests.support import database

DOCUMENTS = """\
apiVersion: reconciler/v1
kind: Calendar
metadata: {name: closures}
spec: {dates: ["2027-03-27"]}
---
apiVersion: reconciler/v1
kind: Domain
metadata: {name: acme.example}
spec: {timeZone: America/New_York}
---
apiVersion: reconciler/v1
kind: Domain
metadata: {name: globex.example}
spec: {timeZone: Europe/Paris}
---
apiVersion: reconciler/v1
kind: Job
metadata: {name: backup, labels: {team: ops}}
spec:
  command: [echo]
  planning:
    mode: scheduled
    schedule: {cron: "30 2 * * *", timeZone: Europe/Paris, dst: skip, jitter: 5m, calendars: {skip: [closures]}}
---
apiVersion: reconciler/v1
kind: Job
metadata: {name: vacuum}
spec: {command: [echo], planning: {mode: scheduled, schedule: {cron: "0 4 * * *"}}}
---
apiVersion: reconciler/v1
kind: Job
metadata: {name: sync}
spec: {scope: domain, command: [echo], planning: {mode: scheduled, schedule: {cron: "30 2 * * *"}}}
---
apiVersion: reconciler/v1
kind: Job
metadata: {name: sweep}
spec: {command: [echo], automatic: {every: 4h}}
---
apiVersion: reconciler/v1
kind: Planning
metadata: {name: vacuum}
spec: {pause: {until: 2027-03-28T00:00Z, reason: freeze}}
"""
FROM = "2027-03-27T00:00:00Z"


@pytest.fixture
def files(repository: Path) -> Path:
    (repository / "jobs.d" / "all.yaml").write_text(DOCUMENTS)
    return repository


@pytest.fixture
def applied(files: Path, cli: Cli) -> Path:
    assert cli("apply").code == 0
    return files


def shown(cli: Cli, *arguments: str) -> list[str]:
    said = cli("forecast", "-o", "json", "--from", FROM, *arguments)
    assert said.code == 0, said.err
    items = json.loads(said.out)["items"]
    return [" ".join([item["at"], item["target"], item["state"], *item["notes"]]) for item in items]


def test_each_slot_says_why_it_is_moved_or_left_out(files: Path, cli: Cli) -> None:
    assert shown(cli, "--until", "2d") == [
        "2027-03-27T01:30:00Z sync@globex.example run",
        "2027-03-27T01:34:53Z backup skipped skipped: closures jitter +4m53s",
        "2027-03-27T04:00:00Z vacuum paused paused: freeze",
        "2027-03-27T06:30:00Z sync@acme.example run",
        "2027-03-28T01:00:00Z sync@globex.example run DST gap: 03:00 instead of 02:30",
        "2027-03-28T01:04:53Z backup gap DST gap: 02:30 does not exist",
        "2027-03-28T04:00:00Z vacuum run",
        "2027-03-28T06:30:00Z sync@acme.example run",
    ]


@pytest.mark.parametrize("where", ["files", "applied"])
def test_one_or_some_targets_are_shown_from_the_files_and_from_the_state(
    where: str, request: pytest.FixtureRequest, cli: Cli
) -> None:
    request.getfixturevalue(where)
    assert [line.split()[1] for line in shown(cli, "sync@acme.example", "--count", "2")] == [
        "sync@acme.example"
    ] * 2
    both = ["sync@globex.example", "sync@acme.example"]
    assert [line.split()[1] for line in shown(cli, "sync", "--count", "2")] == both
    assert [line.split()[1] for line in shown(cli, "sync@*", "--count", "2")] == both
    some = [line.split()[1] for line in shown(cli, "sync@acme.example", "vacuum", "--count", "2")]
    assert some == ["vacuum", "sync@acme.example"]
    assert [line.split()[1] for line in shown(cli, "-l", "team=ops", "--count", "1")] == ["backup"]
    assert [line.split()[1] for line in shown(cli, "-n", "acme.example", "--count", "1")] == [
        "sync@acme.example"
    ]
    said = cli("forecast", "bakup")
    assert said.code == 6
    assert "did you mean `backup`?" in said.err


def test_a_target_without_slots_says_why(files: Path, cli: Cli) -> None:
    said = cli("forecast", "sweep")
    assert (said.code, said.out) == (0, "")
    assert said.err == "sweep is automatic: there are no slots to forecast\n"


def test_a_local_pause_counts(applied: Path, cli: Cli) -> None:
    with sqlite3.connect(applied / ".reconcile" / "state.db") as connection:
        seen = json.dumps({"pause_until": "2027-03-28T12:00:00+00:00", "pause_reason": "disk swap"})
        connection.execute("UPDATE targets SET drift = 'paused', seen = ? WHERE job = 'vacuum'", (seen,))
    connection.close()
    assert shown(cli, "vacuum", "--count", "3") == [
        "2027-03-27T04:00:00Z vacuum paused paused: freeze",
        "2027-03-28T04:00:00Z vacuum paused paused: disk swap",
        "2027-03-29T04:00:00Z vacuum run",
    ]


def test_any_expression_needs_no_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("--cron", "30 2 * * *", "--tz", "Europe/Paris", "--from", "2026-10-24", "--count", "2")
    said = cli("forecast", *arguments, "-o", "json")
    items = json.loads(said.out)["items"]
    assert [item["local"] for item in items] == ["2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00"]
    assert items[1]["notes"] == ["DST repeat: first pass"]
    assert cli("forecast", "--cron", "0 0 30 2 *").code == 64
    assert cli("forecast", "--cron", "0 0 * * *", "--tz", "Europe/Pari").code == 64


def test_the_feed_has_all_runs_of_two_weeks_under_lasting_names(applied: Path, cli: Cli) -> None:
    feed = cli("forecast", "-o", "ics", "--from", FROM).out
    assert feed.startswith("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n")
    assert feed.endswith("END:VCALENDAR\r\n")
    assert all(len(line.encode()) <= 75 for line in feed.split("\r\n"))
    events = read_events(feed.replace("STATUS:CANCELLED", "STATUS:CONFIRMED"))
    assert len(events) == 4 * 14
    assert len({event.uid for event in events}) == len(events)
    later = cli("forecast", "-o", "ics", "--from", "2027-03-29T00:00:00Z", "--until", "1d").out
    assert {event.uid for event in read_events(later)} < {event.uid for event in events}


def test_the_load_of_a_week_is_drawn_from_measured_durations(applied: Path, cli: Cli) -> None:
    with sqlite3.connect(applied / ".reconcile" / "state.db") as connection:
        for number, seconds in enumerate((7000, 7400)):
            started = database.NOON + 86400 * number
            database.ran(
                connection, "vacuum", "", f"r{number}", "success", started=started, finished=started + seconds
            )
    connection.close()
    week = ("forecast", "--heatmap", "--tz", "UTC", "--from", "2027-04-05T00:00:00Z")
    load = {item["day"]: item["minutes"] for item in json.loads(cli(*week, "-o", "json").out)["items"]}
    assert load["wed"][4:6] == [60.0, 60.0]
    assert sum(load["wed"]) == pytest.approx(120 + 3)
    drawn = cli(*week).out.splitlines()
    assert drawn[0].startswith("     00    03    06    09")
    (wednesday,) = [line for line in drawn if line.startswith("wed")]
    assert wednesday.index("████") == 5 + 2 * 4
    assert wednesday.endswith("  123")
    assert "█ to 60" in drawn[-2]

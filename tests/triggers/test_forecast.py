"""What a forecast shows: coming slots of many targets in the order of time, their load, and a feed of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from reconciler.core.changes_time import Agenda
from reconciler.core.forecast import Coming, Outlook, forecast, load_per_hour
from reconciler.core.ics import calendar_text, read_events
from reconciler.core.model import Mode, TargetId
from reconciler.core.plan import Pause, Plan
from reconciler.core.zones import wall_seconds
from reconciler.triggers import compile_schedule

START = datetime(2026, 3, 28, tzinfo=UTC)
CLOSURES = {"closures": {"dates": ["2026-03-30"]}}


def planned(
    job: str, spec: dict[str, Any] | None, zone: str = "Europe/Paris", **plan: Any
) -> tuple[TargetId, Plan]:
    schedule = None if spec is None else compile_schedule(spec, zone, CLOSURES)
    mode = plan.pop("mode", Mode.SCHEDULED)
    return TargetId.parse(job), Plan(job, "installation", mode, "d", "s", schedule=schedule, **plan)


def shown(comings: Any) -> list[str]:
    return [
        " ".join([f"{coming.local:%d %H:%M:%S%z}", str(coming.target), coming.state, *coming.notes])
        for coming in comings
    ]


def test_coming_slots_say_why_they_are_moved_or_left_out() -> None:
    skips = {"weekly": {"times": ["02:30"]}, "dst": "skip", "calendars": {"skip": ["closures"]}}
    targets = [planned("backup", {"cron": "30 2 * * *", "jitter": "5m"}), planned("mail@example.org", skips)]
    assert shown(forecast(targets, START, START + timedelta(days=4), None)) == [
        "28 02:30:00+0100 mail@example.org run",
        "28 02:34:53+0100 backup run jitter +4m53s",
        "29 03:00:00+0200 mail@example.org gap DST gap: 02:30 does not exist",
        "29 03:04:53+0200 backup run DST gap: 03:00 instead of 02:30 jitter +4m53s",
        "30 02:30:00+0200 mail@example.org skipped skipped: closures",
        "30 02:34:53+0200 backup run jitter +4m53s",
        "31 02:30:00+0200 mail@example.org run",
        "31 02:34:53+0200 backup run jitter +4m53s",
    ]


def test_paused_slots_are_shown_until_the_pause_expires() -> None:
    until = datetime(2026, 3, 30, 0, 30, tzinfo=UTC)
    pauses = (Pause(until, "year-end freeze"),)
    targets = [planned("backup", {"weekly": {"times": ["02:30"]}}, "UTC", pauses=pauses)]
    assert shown(forecast(targets, START, None, 3)) == [
        "28 02:30:00+0000 backup paused paused: year-end freeze",
        "29 02:30:00+0000 backup paused paused: year-end freeze",
        "30 02:30:00+0000 backup run",
    ]
    for_good = [planned("backup", {"every": "24h"}, "UTC", pauses=(Pause(None),))]
    assert [coming.state for coming in forecast(for_good, START, None, 2)] == [Outlook.PAUSED] * 2


def test_a_pause_that_ends_between_a_slot_and_its_jitter_is_over_when_the_slot_runs() -> None:
    pauses = (Pause(datetime(2026, 3, 29, 2, 31, tzinfo=UTC), "freeze"),)
    target, plan = planned("backup", {"cron": "30 2 * * *", "jitter": "5m"}, "UTC", pauses=pauses)
    assert shown(forecast([(target, plan)], START, None, 2)) == [
        "28 02:34:53+0000 backup paused paused: freeze jitter +4m53s",
        "29 02:34:53+0000 backup run jitter +4m53s",
    ]
    runs_at = datetime(2026, 3, 29, 2, 34, 53, tzinfo=UTC)
    agenda = Agenda(START, 2)
    assert agenda.next_run(target, plan) == runs_at
    assert agenda.runs(target, plan) == [int(runs_at.timestamp())]


def test_targets_that_are_not_scheduled_have_no_coming_slots() -> None:
    targets = [
        planned("held", {"every": "1h"}, mode=Mode.DISABLED),
        planned("watch", None, mode=Mode.AUTOMATIC),
    ]
    assert list(forecast(targets, START, None, 5)) == []


def test_a_run_that_jitter_moves_over_the_bounds_belongs_to_where_it_runs() -> None:
    target, plan = planned("backup", {"cron": "0 0 * * *", "jitter": "5m"}, "UTC")
    jitter = timedelta(seconds=plan.schedule.jitter_seconds(str(target)) if plan.schedule else 0)
    assert jitter > timedelta(seconds=2)
    at = START + jitter
    second = timedelta(seconds=1)
    assert [coming.at for coming in forecast([(target, plan)], at, at + second, None)] == [at]
    assert list(forecast([(target, plan)], at + second, at + 2 * second, None)) == []
    assert list(forecast([(target, plan)], at - second, at, None)) == []


def test_a_forecast_without_an_end_is_read_as_far_as_wanted() -> None:
    targets = [planned(f"job-{number}", {"every": "1m"}, "UTC") for number in range(50)]
    comings = list(islice(forecast(targets, START, None, None), 200))
    assert [coming.at for coming in comings] == sorted(coming.at for coming in comings)
    assert len({coming.target for coming in comings[:50]}) == 50


def test_a_schedule_that_ends_ends_its_forecast() -> None:
    spec = {"cron": "0 2 * * *", "until": "2026-03-29", "dst": "skip"}
    for end in (None, START + timedelta(days=60)):
        comings = list(forecast([planned("backup", spec)], START, end, None))
        assert [coming.state for coming in comings] == [Outlook.RUN, Outlook.GAP]


def test_load_is_spread_over_the_hours_in_which_runs_last() -> None:
    targets = [
        planned("long", {"cron": "30 1 * * sun"}, "UTC"),
        planned("short", {"cron": "0 1 * * *"}, "UTC"),
    ]
    week = list(forecast(targets, START, START + timedelta(days=7), None))
    load = load_per_hour(week, {TargetId("long"): 5400.0}, "UTC")
    assert (len(load), {len(row) for row in load}) == (7, {24})
    assert load[6][:4] == [0, 31, 60, 0]
    assert load[0][:4] == [0, 1, 0, 0]
    assert sum(map(sum, load)) == pytest.approx(7 + 90)


def test_load_follows_the_clock_of_the_reader() -> None:
    comings = list(
        forecast([planned("backup", {"cron": "30 23 * * *"}, "UTC")], START, START + timedelta(days=1), None)
    )
    assert load_per_hour(comings, {TargetId("backup"): 600.0}, "Asia/Kathmandu")[6][5] == 10


def test_a_feed_is_read_back_as_the_events_that_were_forecast() -> None:
    name = "Läufe, alle; \\ und mehr " * 5
    spec = {"weekly": {"times": ["02:30"]}, "dst": "skip", "calendars": {"skip": ["closures"]}}
    comings = list(forecast([planned("mail@example.org", spec)], START, None, 4))
    text = calendar_text(comings, {TargetId("mail", "example.org"): 90.0}, name, START)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    assert text.replace("\r\n", "").count("\n") == 0
    assert "X-WR-CALNAME:Läufe\\, alle\\; \\\\ und" in text.replace("\r\n ", "")
    events = read_events(text.replace("STATUS:CANCELLED", "STATUS:CONFIRMED"))
    assert [event.first.wall for event in events] == [
        wall_seconds(coming.at.replace(tzinfo=None)) for coming in comings
    ]
    assert {event.duration_seconds for event in events} == {90}
    assert len(read_events(text)) == 2


def test_an_event_keeps_its_uid_when_only_its_notes_change() -> None:
    def uids(comings: list[Coming]) -> list[str]:
        return [event.uid for event in read_events(calendar_text(comings, {}, "runs", START))]

    plain = list(forecast([planned("backup", {"cron": "0 3 * * *"})], START, None, 3))
    moved = list(forecast([planned("backup", {"cron": "0 3 * * *", "jitter": "5m"})], START, None, 3))
    assert uids(plain) == uids(moved)
    assert len(set(uids(plain))) == 3

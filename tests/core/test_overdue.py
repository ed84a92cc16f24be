"""When a target is overdue: no success in time, two slots without a run, a probe that fails."""

from __future__ import annotations

from reconciler.core import facts as f
from reconciler.core.plan import Concurrency, Expect, Pause
from tests.core.life import Life, plan, replace, scheduled, utc

HOURLY = {"cron": "0 * * * *"}
WITHIN_A_DAY = Expect(success_every_seconds=26 * 3600)


def test_no_success_in_time_is_overdue_also_when_it_never_ran():
    life = Life(plan(expect=WITHIN_A_DAY), "2026-03-01T12:00")

    assert life.decision("2026-03-01T12:00").wake_at == utc("2026-03-02T14:00")
    assert life.look("2026-03-02T14:00") == [f.OverdueBegan(utc("2026-03-02T14:00"), "never succeeded")]
    assert life.look("2026-03-02T15:00") == []


def test_a_success_ends_it():
    life = Life(plan(expect=WITHIN_A_DAY), "2026-03-01T12:00")
    life.look("2026-03-02T14:00")
    life.request("r-now", "2026-03-02T15:00")
    life.start("r-now", "2026-03-02T15:00")
    life.end("r-now", "2026-03-02T15:10")

    assert isinstance(life.look("2026-03-02T15:10")[-1], f.OverdueEnded)
    assert life.seen.overdue_since is None


def test_a_run_that_waits_for_ever_does_not_hide_that_there_is_no_success():
    life = Life(plan(expect=WITHIN_A_DAY), "2026-03-01T12:00")
    life.request("r-now", "2026-03-01T13:00")

    assert life.decision("2026-03-01T13:00").wake_at == utc("2026-03-02T14:00")
    assert [type(x) for x in life.look("2026-03-02T14:00")] == [f.OverdueBegan]


def test_two_slots_in_a_row_that_started_no_run_are_overdue_and_one_is_not():
    life = Life(scheduled(HOURLY, concurrency=Concurrency.SKIP), "2026-03-01T12:30")
    life.look("2026-03-01T13:00")
    life.start("20260301T130000Z", "2026-03-01T13:00")

    life.look("2026-03-01T14:00")
    assert life.seen.overdue_since is None
    life.look("2026-03-01T15:00")
    assert life.seen.overdue_message == "two slots in a row or more started no run"
    life.end("20260301T130000Z", "2026-03-01T15:30")
    life.look("2026-03-01T15:30")
    life.look("2026-03-01T16:00")
    life.start("20260301T160000Z", "2026-03-01T16:00")
    life.look("2026-03-01T16:00")
    assert life.seen.overdue_since is None


def test_slots_that_waited_in_vain_count_too():
    life = Life(scheduled(HOURLY), "2026-03-01T12:30")
    life.look("2026-03-01T13:00")
    life.look("2026-03-01T14:00")
    life.look("2026-03-01T15:00")
    life.plan = replace(life.plan, pauses=())

    assert life.seen.unstarted == 2


def test_pauses_and_calendars_do_not_make_overdue():
    closed = {"closures": {"dates": ["2026-03-02"]}}
    calendar = Life(
        scheduled({**HOURLY, "calendars": {"skip": ["closures"]}}, calendars=closed), "2026-03-01T23:30"
    )
    paused = Life(scheduled(HOURLY, pauses=(Pause(utc("2026-03-02T12:30")),)), "2026-03-01T23:30")
    for life in (calendar, paused):
        life.look("2026-03-02T12:30")

        assert (life.seen.unstarted, life.seen.overdue_since) == (0, None)


def test_a_clock_that_was_set_back_does_not_make_overdue():
    life = Life(scheduled(HOURLY), "2026-03-01T12:30")
    for hour in (14, 15, 16):
        at = utc(f"2026-03-01T{hour}:00")
        life.tell(f.Settled(at, "skipped", "ClockStepped", at, at, 1))

    assert life.seen.unstarted == 0


def test_nothing_is_overdue_during_a_pause():
    life = Life(plan(expect=WITHIN_A_DAY), "2026-03-01T12:00")
    life.look("2026-03-02T14:00")
    life.plan = replace(life.plan, pauses=(Pause(utc("2026-03-09T00:00")),))

    assert [type(x) for x in life.look("2026-03-02T15:00")] == [f.OverdueEnded]

"""What becomes of the slots of a schedule: run, caught up, skipped or missed, and never silence."""

from __future__ import annotations

import pytest

from reconciler.core import facts as f
from reconciler.core.model import Mode, State, Trigger
from reconciler.core.plan import Concurrency, Pause
from tests.core.life import Life, plan, replayed, scheduled, utc

NIGHTLY = {"cron": "30 2 * * *"}
HOURLY = {"cron": "0 * * * *"}


def test_a_slot_that_is_due_is_wished_for_as_scheduled_and_named_after_its_instant():
    life = Life(scheduled(NIGHTLY), "2026-03-01T12:00")

    [wish] = life.look("2026-03-02T02:30")

    assert wish == f.Queued(
        utc("2026-03-02T02:30"),
        run="20260302T023000Z",
        trigger=Trigger.SCHEDULE,
        group="backup/20260302T023000Z",
        slot=utc("2026-03-02T02:30"),
        deadline=utc("2026-03-03T02:30"),
    )


def test_nothing_is_wished_before_the_slot_and_the_wake_is_at_the_slot():
    life = Life(scheduled(NIGHTLY), "2026-03-01T12:00")

    decision = life.decision("2026-03-02T02:29:59")

    assert decision.facts == []
    assert decision.wake_at == decision.next_run == utc("2026-03-02T02:30")


def test_a_slot_before_the_applying_never_runs():
    life = Life(scheduled(NIGHTLY), "2026-03-02T02:30:01")

    assert life.look("2026-03-02T02:30:02") == []


def test_a_slot_is_wished_for_once_however_often_one_looks():
    life = Life(scheduled(NIGHTLY), "2026-03-01T12:00")

    assert life.wishes("2026-03-02T02:30") == ["20260302T023000Z"]
    assert life.wishes("2026-03-02T02:30:20") == []
    assert life.wishes("2026-03-02T05:00") == []


def test_a_minute_late_is_still_on_time_and_more_is_a_catch_up():
    on_time, late = (Life(scheduled(NIGHTLY), "2026-03-01T12:00") for _ in range(2))

    [wish] = on_time.look("2026-03-02T02:31")
    assert wish.trigger is Trigger.SCHEDULE
    [wish] = late.look("2026-03-02T02:31:01")
    assert wish.trigger is Trigger.CATCH_UP


def test_catch_up_latest_runs_the_last_missed_slot_and_says_that_the_others_are_missed():
    life = Life(scheduled(HOURLY), "2026-03-01T12:30")

    told = life.look("2026-03-01T18:20")

    assert [(x.state, x.reason, x.first, x.last, x.count) for x in told if isinstance(x, f.Settled)] == [
        (State.MISSED, "ReconcilerDown", utc("2026-03-01T13:00"), utc("2026-03-01T17:00"), 5)
    ]
    assert [x.run for x in told if isinstance(x, f.Queued)] == ["20260301T180000Z"]


def test_catch_up_none_records_all_that_was_missed():
    life = Life(scheduled({**HOURLY, "catchUp": "none"}), "2026-03-01T12:30")

    assert life.settled("2026-03-01T18:20") == [("missed", "ReconcilerDown", 6)]
    assert life.wishes("2026-03-01T19:00:30") == ["20260301T190000Z"]


def test_catch_up_all_runs_one_missed_slot_after_the_other_and_loses_none():
    life = Life(scheduled({**HOURLY, "catchUp": "all"}), "2026-03-01T12:30")
    ran = []
    for _ in range(6):
        ran += life.wishes("2026-03-01T16:20")
        for name in list(life.seen.runs):
            life.start(name, "2026-03-01T16:20")
            life.end(name, "2026-03-01T16:20")

    assert ran == [f"20260301T{hour}0000Z" for hour in (13, 14, 15, 16)]


def test_catch_up_all_starts_at_most_a_hundred_and_says_that_the_older_are_missed():
    life = Life(scheduled({"cron": "* * * * *", "catchUp": "all"}), "2026-03-01T12:00")

    told = life.look("2026-03-01T17:00:30")

    assert [(x.reason, x.count) for x in told if isinstance(x, f.Settled)] == [("ReconcilerDown", 200)]
    assert [x.run for x in told if isinstance(x, f.Queued)] == ["20260301T152100Z"]


def test_a_stretch_too_long_to_look_at_is_settled_without_holes_and_the_last_slot_runs():
    life = Life(scheduled({"cron": "* * * * *"}), "2026-03-01T12:00")

    told = life.look("2026-03-03T12:00:30")

    settled = [x for x in told if isinstance(x, f.Settled)]
    assert settled[0].first == utc("2026-03-01T12:01")
    assert sum(x.count for x in settled) == 2 * 1440 - 1
    assert [x.run for x in told if isinstance(x, f.Queued)] == ["20260303T120000Z"]


def test_slot_older_than_its_deadline_is_recorded_as_missed_and_said_so():
    life = Life(scheduled({**NIGHTLY, "startingDeadline": "6h"}), "2026-03-01T12:00")

    assert life.settled("2026-03-02T08:30:01") == [("missed", "DeadlineExceeded", 1)]


def test_slot_just_within_its_deadline_is_caught_up():
    life = Life(scheduled({**NIGHTLY, "startingDeadline": "6h"}), "2026-03-01T12:00")

    assert life.wishes("2026-03-02T08:30:00") == ["20260302T023000Z"]


def test_the_deadline_counts_while_the_run_is_queued():
    life = Life(scheduled({**NIGHTLY, "startingDeadline": "1h"}), "2026-03-01T12:00")
    life.look("2026-03-02T02:30")

    assert life.decision("2026-03-02T03:00").wake_at == utc("2026-03-02T03:30")
    assert life.finished("2026-03-02T03:30") == [("20260302T023000Z", "missed", "DeadlineExceeded")]


def test_without_a_written_deadline_a_queued_run_waits_until_the_next_slot_which_then_takes_its_place():
    life = Life(scheduled(HOURLY), "2026-03-01T12:30")
    life.look("2026-03-01T13:00")

    told = life.look("2026-03-01T14:00")

    assert [x.run for x in told if isinstance(x, f.Finished)] == ["20260301T130000Z"]
    assert [x.run for x in told if isinstance(x, f.Queued)] == ["20260301T140000Z"]


def test_a_run_that_was_started_has_no_deadline_any_more():
    life = Life(scheduled({**NIGHTLY, "startingDeadline": "1h"}), "2026-03-01T12:00")
    life.look("2026-03-02T02:30")
    life.start("20260302T023000Z", "2026-03-02T02:30")

    assert life.finished("2026-03-02T05:00") == []


def test_jitter_moves_the_start_but_not_the_name_of_the_slot():
    paced = scheduled({**NIGHTLY, "jitter": "10m"})
    offset = paced.schedule.jitter_seconds("backup")
    assert 60 < offset <= 600, "choose another target name"
    life = Life(paced, "2026-03-01T12:00")

    assert life.wishes("2026-03-02T02:30") == []
    assert (
        life.decision("2026-03-02T02:30").wake_at.timestamp() == utc("2026-03-02T02:30").timestamp() + offset
    )
    [wish] = life.look(life.decision("2026-03-02T02:30").wake_at)
    assert (wish.run, wish.trigger) == ("20260302T023000Z", Trigger.SCHEDULE)


# Pauses and calendars.


def paused(until: str | None, schedule=HOURLY, **fields):
    return scheduled(schedule, pauses=(Pause(utc(until) if until else None, "freeze"),), **fields)


def test_slots_in_a_pause_are_skipped_and_never_caught_up():
    life = Life(paused("2026-03-01T16:30"), "2026-03-01T12:30")

    assert life.decision("2026-03-01T12:31").wake_at == utc("2026-03-01T16:30")
    assert life.settled("2026-03-01T16:30") == [("skipped", "Paused", 4)]
    assert life.wishes("2026-03-01T17:00") == ["20260301T170000Z"]


def test_a_pause_that_expired_while_the_reconciler_was_down_still_skips_its_slots():
    life = Life(paused("2026-03-01T16:30"), "2026-03-01T12:30")

    told = life.look("2026-03-01T19:10")

    assert [(x.reason, x.count) for x in told if isinstance(x, f.Settled)] == [
        ("Paused", 4),
        ("ReconcilerDown", 2),
    ]
    assert [x.run for x in told if isinstance(x, f.Queued)] == ["20260301T190000Z"]


def test_a_pause_that_expired_while_the_reconciler_was_down_leaves_nothing_to_catch_up_where_no_slot_followed():
    life = Life(paused("2026-03-01T16:30"), "2026-03-01T12:30")

    told = life.look("2026-03-01T16:40")

    assert [type(x) for x in told] == [f.Settled]


def test_a_pause_without_an_end_wakes_nobody():
    assert Life(paused(None), "2026-03-01T12:30").decision("2026-03-01T12:31").wake_at is None


def test_the_next_run_during_a_pause_is_the_first_slot_after_it():
    life = Life(paused("2026-03-01T16:30"), "2026-03-01T12:30")

    assert life.decision("2026-03-01T12:31").next_run == utc("2026-03-01T17:00")
    assert Life(paused(None), "2026-03-01T12:30").decision("2026-03-01T12:31").next_run is None


def test_a_pause_cancels_a_queued_scheduled_run_but_not_a_request():
    life = Life(scheduled(HOURLY, concurrency=Concurrency.ALLOW), "2026-03-01T12:30")
    life.look("2026-03-01T13:00")
    life.request("r-now", "2026-03-01T13:00:10")
    life.plan = paused("2026-03-02T00:00", concurrency=Concurrency.ALLOW)

    assert life.finished("2026-03-01T13:00:20") == [("20260301T130000Z", "cancelled", "Paused")]
    assert list(life.seen.runs) == ["r-now"]


def test_a_pause_leaves_what_runs_alone():
    life = Life(scheduled(HOURLY), "2026-03-01T12:30")
    life.look("2026-03-01T13:00")
    life.start("20260301T130000Z", "2026-03-01T13:00")
    life.plan = paused("2026-03-02T00:00")

    assert life.finished("2026-03-01T13:00:20") == []
    assert life.stops == []


def test_a_local_pause_skips_slots_until_it_expires():
    life = Life(scheduled(HOURLY), "2026-03-01T12:30")
    life.tell(f.PausedLocally(utc("2026-03-01T12:40"), utc("2026-03-01T14:30"), "busy", "alice"))

    assert life.settled("2026-03-01T14:30") == [("skipped", "Paused", 2)]
    assert life.wishes("2026-03-01T15:00") == ["20260301T150000Z"]


def test_disabling_cancels_a_queued_scheduled_run_but_not_a_request():
    life = Life(scheduled(HOURLY, concurrency=Concurrency.ALLOW), "2026-03-01T12:30")
    life.look("2026-03-01T13:00")
    life.request("r-now", "2026-03-01T13:00:10")
    life.apply(plan(concurrency=Concurrency.ALLOW), "2026-03-01T13:00:20")

    assert life.finished("2026-03-01T13:00:20") == [("20260301T130000Z", "cancelled", "Disabled")]
    assert list(life.seen.runs) == ["r-now"]


def test_removing_a_target_cancels_all_that_waits_and_lets_run_what_runs():
    life = Life(scheduled(HOURLY, concurrency=Concurrency.ALLOW), "2026-03-01T12:30")
    life.look("2026-03-01T13:00")
    life.start("20260301T130000Z", "2026-03-01T13:00")
    life.request("r-now", "2026-03-01T13:00:10")
    life.plan = None
    life.tell(f.Left(utc("2026-03-01T13:00:20")))

    assert life.finished("2026-03-01T13:00:20") == [("r-now", "cancelled", "Removed")]
    life.end("20260301T130000Z", "2026-03-01T13:10")
    assert life.finished("2026-03-01T13:10") == [("20260301T130000Z", "success", "")]


def test_calendars_leave_slots_out_with_a_reason_and_the_next_run_stands_after_them():
    closed = {"closures": {"dates": ["2026-03-03", "2026-03-04"]}}
    life = Life(
        scheduled({**NIGHTLY, "calendars": {"skip": ["closures"]}}, calendars=closed), "2026-03-02T12:00"
    )

    assert life.decision("2026-03-02T12:00").next_run == utc("2026-03-05T02:30")
    assert life.settled("2026-03-03T02:30") == [("skipped", "Calendar", 1)]
    assert life.settled("2026-03-04T02:30") == [("skipped", "Calendar", 1)]
    assert life.wishes("2026-03-05T02:30") == ["20260305T023000Z"]


def test_a_slot_on_a_closed_day_is_not_what_catch_up_latest_runs():
    closed = {"closures": {"dates": ["2026-03-04"]}}
    life = Life(
        scheduled(
            {**NIGHTLY, "startingDeadline": "3d", "calendars": {"skip": ["closures"]}}, calendars=closed
        ),
        "2026-03-01T12:00",
    )

    told = life.look("2026-03-04T10:00")

    assert [x.run for x in told if isinstance(x, f.Queued)] == ["20260303T023000Z"]
    assert [(x.reason, x.count) for x in told if isinstance(x, f.Settled)] == [
        ("ReconcilerDown", 1),
        ("Calendar", 1),
    ]


# Overlap.


def running(concurrency: Concurrency) -> Life:
    life = Life(scheduled(HOURLY, concurrency=concurrency), "2026-03-01T12:30")
    life.look("2026-03-01T13:00")
    life.start("20260301T130000Z", "2026-03-01T13:00")
    return life


def test_skip_settles_the_slot_as_skipped_while_a_run_is_going_on():
    life = running(Concurrency.SKIP)

    assert life.settled("2026-03-01T14:00") == [("skipped", "StillRunning", 1)]
    life.end("20260301T130000Z", "2026-03-01T14:30")
    assert life.finished("2026-03-01T14:30") == [("20260301T130000Z", "success", "")]
    assert life.wishes("2026-03-01T15:00") == ["20260301T150000Z"]


def test_queue_lets_one_run_wait_and_skips_further_ones():
    quick = {"startingDeadline": "12h", **HOURLY}
    life = Life(scheduled(quick, concurrency=Concurrency.QUEUE), "2026-03-01T12:30")
    life.look("2026-03-01T13:00")
    life.start("20260301T130000Z", "2026-03-01T13:00")

    assert life.wishes("2026-03-01T14:00") == ["20260301T140000Z"]
    assert life.settled("2026-03-01T15:00") == [("skipped", "QueueFull", 1)]


def test_replace_asks_the_running_one_to_stop_and_waits_for_its_end():
    life = running(Concurrency.REPLACE)

    assert life.wishes("2026-03-01T14:00") == ["20260301T140000Z"]
    assert [(stop.run, stop.reason) for stop in life.stops] == [("20260301T130000Z", "Replaced")]
    life.end("20260301T130000Z", "2026-03-01T14:00:05", None, signal=15)
    assert life.finished("2026-03-01T14:00:05") == [("20260301T130000Z", "cancelled", "Replaced")]


def test_replace_drops_the_one_that_waits():
    life = Life(
        scheduled({"startingDeadline": "5h", **HOURLY}, concurrency=Concurrency.REPLACE), "2026-03-01T12:30"
    )
    life.look("2026-03-01T13:00")

    assert life.finished("2026-03-01T14:00") == [("20260301T130000Z", "cancelled", "Replaced")]
    assert list(life.seen.runs) == ["20260301T140000Z"]


def test_allow_wishes_for_every_slot():
    life = running(Concurrency.ALLOW)

    assert life.wishes("2026-03-01T14:00") == ["20260301T140000Z"]


@pytest.mark.parametrize("concurrency", list(Concurrency))
def test_whatever_the_overlap_rule_the_history_folds_to_what_was_seen(concurrency):
    life = running(concurrency)
    life.look("2026-03-01T14:00")
    life.end("20260301T130000Z", "2026-03-01T14:10", 3)
    life.look("2026-03-01T14:10")
    life.look("2026-03-01T17:30")

    assert replayed(life.facts) == life.seen


# Modes.


def test_a_disabled_target_does_nothing_by_itself():
    decision = Life(plan(), "2026-03-01T12:30").decision("2026-06-01T00:00")

    assert (decision.facts, decision.wake_at, decision.next_run) == ([], None, None)


def test_an_edited_schedule_counts_from_its_applying():
    life = Life(scheduled(HOURLY), "2026-03-01T12:30")
    life.look("2026-03-01T13:00")
    life.apply(scheduled({"cron": "45 * * * *"}), "2026-03-01T13:50")

    assert life.seen.mode is Mode.SCHEDULED
    assert [w for w in life.wishes("2026-03-01T13:51") if w.endswith("4500Z")] == []

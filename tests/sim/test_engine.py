"""What the engine makes of decisions: edits, crashes, clocks, full disks, told one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.core import facts as f
from reconciler.core.desired import Limits, Request
from reconciler.core.model import Mode, Reason
from reconciler.core.plan import Concurrency, Criteria, Pause, Plan, Probe, Window
from reconciler.engine.parts import Prepared
from reconciler.triggers import compile_schedule
from tests.core.life import utc
from tests.sim.bench import Bench
from tests.sim.machine import Fate


def scheduled(job: str, cron: str = "0 * * * *", **fields) -> Plan:
    block = {"cron": cron, **fields.pop("block", {})}
    given = {"scope": "installation", "mode": Mode.SCHEDULED, "digest": "d", "schedule_digest": repr(block)}
    return Plan(job, schedule=compile_schedule(block, "UTC"), **{**given, **fields})


def automatic(job: str, criteria: Criteria, **fields) -> Plan:
    given = {
        "scope": "installation",
        "mode": Mode.AUTOMATIC,
        "digest": "d",
        "schedule_digest": repr(criteria),
    }
    return Plan(job, criteria=criteria, **{**given, **fields})


def disabled(job: str, **fields) -> Plan:
    given = {"scope": "installation", "mode": Mode.DISABLED, "digest": "d", "schedule_digest": "none"}
    return Plan(job, **{**given, **fields})


def asked(name: str, *targets: str, at: str = "2026-01-01T00:00", digest: str = "x") -> Request:
    return Request("", name, targets, utc(at), timedelta(hours=1), {}, "", digest, "run/x.yaml")


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def settled(bench, job):
    return [(x.state, x.reason, x.count) for x in bench.facts(job, f.Settled)]


# Edits.


def test_a_slot_that_waits_for_its_jitter_is_not_lost_in_an_edit(bench):
    bench.apply(scheduled("a", block={"jitter": "30m"}))
    bench.until("2026-01-01T01:00:01")
    bench.apply(scheduled("a", "30 * * * *"))

    assert settled(bench, "a") == [("skipped", "ScheduleChanged", 1)]
    assert bench.seen("a").unstarted == 0


def test_what_catch_up_all_has_still_to_run_is_not_lost_in_an_edit_or_a_removal(bench):
    bench.fates["a"] = Fate(7200.0)
    for late in (scheduled("a", "30 * * * *"), None):
        bench.apply(scheduled("a", block={"catchUp": "all"}))
        bench.machine.pass_time(bench.machine.elapsed + 4 * 3600)
        bench.engine.round()
        bench.apply(*([late] if late else []))

        assert bench.facts("a", f.Settled)[-1].reason is Reason.SCHEDULE_CHANGED


def test_slots_of_a_pause_that_is_taken_out_of_the_file_are_skipped_and_never_caught_up(bench):
    frozen = (Pause(None, "freeze"),)
    bench.apply(scheduled("a", pauses=frozen))
    bench.until("2026-01-01T05:10")
    bench.apply(scheduled("a"))
    bench.until("2026-01-01T05:20")

    assert settled(bench, "a") == [("skipped", "Paused", 5)]
    assert bench.facts("a", f.Queued) == []


def test_slots_of_a_pause_that_is_taken_out_with_another_edit_are_skipped_too(bench):
    bench.apply(scheduled("a", pauses=(Pause(None, "freeze"),)))
    bench.until("2026-01-01T05:10")
    bench.apply(scheduled("a", digest="other"))
    bench.until("2026-01-01T05:20")

    assert settled(bench, "a") == [("skipped", "Paused", 5)]


def test_every_counts_a_full_interval_after_a_pause_was_taken_out_of_the_file(bench):
    every = automatic("a", Criteria(every_seconds=3600))
    bench.apply(every)
    bench.until("2026-01-01T00:10")
    bench.apply(replace(every, pauses=(Pause(None),)))
    bench.until("2026-01-01T05:00")
    bench.apply(every)
    bench.until("2026-01-01T05:59")
    assert len(bench.facts("a", f.Queued)) == 1
    bench.until("2026-01-01T06:01")
    assert len(bench.facts("a", f.Queued)) == 2


def test_a_removed_target_holds_the_locks_of_its_run_until_that_has_ended(bench):
    bench.fates["a"] = Fate(1800.0)
    bench.apply(scheduled("a", locks=("db",)), disabled("b", locks=("db",)))
    bench.until("2026-01-01T01:05")
    bench.apply(disabled("b", locks=("db",)), requests=(asked("now", "b", at="2026-01-01T01:05"),))
    bench.until("2026-01-01T01:10")
    assert [x.run for x in bench.seen("b").waiting] == ["r-now"]
    bench.until("2026-01-01T01:32")

    assert bench.runs("b")[-1] == ("r-now", "success", "")
    assert bench.runs("a")[-1][1] == "success"


def test_a_target_that_is_renamed_keeps_its_history_and_lets_its_old_run_end(bench):
    bench.fates["old"] = Fate(1800.0)
    bench.apply(scheduled("old"))
    bench.until("2026-01-01T02:05")
    bench.apply(scheduled("new", renamed_from="old"))
    bench.until("2026-01-01T02:45")

    assert [run for run, *_ in bench.runs("new")] == ["20260101T010000Z"]
    assert bench.runs("old") == [("20260101T020000Z", "success", "")]
    assert bench.seen("new").last.run == "20260101T010000Z"
    assert bench.seen("new").runs == {}
    bench.until("2026-01-01T03:05")
    assert bench.runs("new")[-1][:2] == ("20260101T030000Z", "success")


# Ends.


def test_a_run_that_cannot_be_prepared_is_told_of_like_every_other_end(bench):
    bench.apply(scheduled("a", labels=(("unpreparable", ""),)))
    bench.until("2026-01-01T01:01")

    assert bench.runs("a") == [("20260101T010000Z", "failure", "StartFailed")]
    assert [fact.reason for _, fact in bench.ended] == [Reason.START_FAILED]


def test_a_failure_of_the_disk_while_a_definition_is_written_does_not_lose_it(bench):
    forgotten = []
    bench.engine.parts.orders.forget = lambda: forgotten.append(True)
    bench.apply(scheduled("a"))
    forgotten.clear()
    bench.machine.pass_time(3600.0)
    bench.full = True
    assert bench.engine.round().wait_seconds == 1.0
    assert bench.engine.problem

    assert forgotten
    bench.full = False
    bench.until("2026-01-01T01:05")
    assert bench.runs("a") == [("20260101T010000Z", "success", "")]


def test_why_a_run_waits_is_written_again_where_the_disk_was_full(bench):
    bench.apply(disabled("a", concurrency=Concurrency.QUEUE), limits=Limits(0))
    bench.full = True
    with pytest.raises(Exception, match="full"):
        bench.apply(disabled("a"), requests=(asked("now", "a"),), limits=Limits(0))
    bench.full = False
    bench.apply(disabled("a"), requests=(asked("now", "a"),), limits=Limits(0))

    [(why,)] = bench.store.db.execute("SELECT waiting FROM runs")
    assert why.startswith("NoPlace")


@pytest.mark.parametrize("what", ["counts", "a step of the clock"])
def test_a_full_disk_never_ends_the_daemon(bench, what):
    from reconciler.ports.executor import AttemptId
    from reconciler.ports.logs import LogCounts

    bench.apply(scheduled("a"))
    bench.until("2026-01-01T01:00:10")
    if what == "counts":
        name = AttemptId("_installation/a", "20260101T010000Z", 1)
        bench.engine.parts.logs.poll = lambda: ([], [(name, LogCounts(5))])
    else:
        bench.machine.step(-(7200))
    bench.full = True

    assert bench.engine.round().wait_seconds == 1.0
    assert bench.engine.problem


# Probes.


PROBE = automatic("a", Criteria(probe=Probe(("check",), 60)))


def test_a_probe_whose_daemon_was_killed_is_heard_by_the_next_one(bench):
    bench.fates["probe"] = Fate(30.0, 0)
    bench.apply(PROBE)
    bench.until("2026-01-01T00:00:10")
    bench.reopen()
    bench.until("2026-01-01T00:00:40")

    assert [x.cause for x in bench.facts("a", f.Queued)] == ["probe"]


@pytest.mark.parametrize("moment", ["before start", "after start"])
def test_a_probe_is_asked_again_where_the_daemon_was_killed_around_its_start(bench, moment):
    from tests.sim.ports import Crash

    bench.fates["probe"] = Fate(5.0, 1)
    bench.fuse.at = bench.fuse.count + (3 if moment == "before start" else 4)
    with pytest.raises(Crash, match=moment):
        bench.apply(PROBE)
    bench.reopen(PROBE)
    bench.until("2026-01-01T00:10")

    assert not bench.seen("a").probing or bench.executor.watched
    assert bench.seen("a").probed_at > utc("2026-01-01T00:08")


def test_a_probe_lost_in_a_restart_of_the_machine_is_no_failure_and_is_asked_again(bench):
    bench.fates["probe"] = Fate(30.0, 1)
    bench.apply(PROBE)
    bench.until("2026-01-01T00:00:10")
    bench.machine.restart(60.0)
    bench.reopen()
    bench.until("2026-01-01T00:05")

    assert bench.seen("a").probe_failures == 0
    assert bench.seen("a").probed_at > utc("2026-01-01T00:03")


def test_a_probe_that_cannot_be_prepared_is_a_failed_one(bench):
    bench.engine.parts.orders.probe = lambda target, attempt: Prepared("", None, "there is no user x")
    bench.apply(PROBE)
    bench.until("2026-01-01T00:00:05")

    assert [(x.outcome, x.message) for x in bench.facts("a", f.Probed)] == [("failed", "there is no user x")]


# Clocks.


def test_a_clock_that_was_far_ahead_does_not_stop_automatic_jobs_when_it_is_set_back(bench):
    bench.machine.stepped = 40 * 86400.0
    bench.apply(automatic("a", Criteria(every_seconds=3600)))
    bench.until("2026-02-10T00:30")
    bench.machine.stepped = 0.0
    bench.until("2026-01-01T03:00")

    assert len(bench.facts("a", f.Queued)) >= 3
    assert bench.replayed("a") == bench.seen("a")


def test_slots_that_ran_before_the_clock_was_set_back_do_not_run_again_and_it_is_said_so(bench):
    bench.apply(scheduled("a"))
    bench.until("2026-01-01T03:30")
    bench.machine.step(-(2 * 3600))
    bench.until("2026-01-01T04:10")

    assert [run for run, *_ in bench.runs("a")] == [f"20260101T0{hour}0000Z" for hour in (1, 2, 3, 4)]
    assert settled(bench, "a") == [("skipped", "ClockStepped", 1)] * 2
    assert bench.seen("a").overdue_since is None
    assert bench.replayed("a") == bench.seen("a")


def test_an_automatic_run_gets_a_name_of_its_own_where_the_clock_shows_a_second_again(bench):
    bench.fates["a"] = Fate(1.0)
    bench.apply(automatic("a", Criteria(every_seconds=3600)))
    bench.until("2026-01-01T00:00:05")
    bench.machine.step(-(3600))
    bench.until("2026-01-01T00:00:05")
    names = [run for run, *_ in bench.runs("a")]

    assert len(names) == len(set(names)) == 2
    assert bench.replayed("a") == bench.seen("a")


def test_what_the_executor_says_at_a_start_is_heard_at_once(bench):
    """The executor is asked again right after a start, to send it; what it answers then must not wait."""
    bench.apply(scheduled("a"))
    bench.machine.pass_time(3600.0)
    start = bench.executor.start

    def start_at_once(order):
        start(order)
        bench.machine.pass_time(bench.machine.elapsed + 1.0)

    bench.executor.start = start_at_once

    assert bench.engine.round().wait_seconds < 1


def test_a_run_whose_deadline_passed_while_the_daemon_was_down_is_missed_and_not_started_by_an_edit(bench):
    late = scheduled("a", block={"startingDeadline": "30m"})
    bench.apply(late, limits=Limits(0))
    bench.until("2026-01-01T01:10")
    assert [run.run for run in bench.seen("a").waiting] == ["20260101T010000Z"]
    bench.machine.pass_time(bench.machine.elapsed + 1800.0)
    bench.reopen()
    bench.apply(late, limits=Limits(1))
    bench.until("2026-01-01T01:45")

    assert bench.runs("a") == [("20260101T010000Z", "missed", "DeadlineExceeded")]


def test_an_automatic_run_that_waited_beyond_its_window_starts_when_that_opens_again(bench):
    window = Window(0, 60, "UTC")  # 00:00 to 01:00
    bench.fates["long"] = Fate(2 * 3600.0)
    long = scheduled("long", "10 0 * * *", locks=("database",))
    nightly = automatic("nightly", Criteria(every_seconds=86400.0, window=window), locks=("database",))
    bench.apply(long)
    bench.until("2026-01-01T00:20")
    bench.apply(long, nightly)
    bench.until("2026-01-01T12:00")
    assert bench.facts("nightly", f.Queued)
    assert not bench.facts("nightly", f.Started)

    bench.until("2026-01-02T00:05")
    (started,) = bench.facts("nightly", f.Started)
    assert started.at >= utc("2026-01-02T00:00")

"""A job's own criteria: every, after, probe, change, within a window."""

from __future__ import annotations

import pytest

from reconciler.core import facts as f
from reconciler.core.model import Reason, Trigger
from reconciler.core.plan import Concurrency, Criteria, Pause, Probe, Window
from tests.core.life import Life, automatic, plan, replace, replayed, utc

EVERY = Criteria(every_seconds=4 * 3600)
PROBE = Criteria(probe=Probe(("check",), 60))


def once_run(criteria: Criteria, **fields) -> Life:
    """A target that was applied at noon, ran at noon and is at rest."""
    life = Life(automatic(criteria, **fields), "2026-03-01T12:00")
    life.tell(f.Met(utc("2026-03-01T12:00"), "first"))
    [name] = life.wishes("2026-03-01T12:00")
    life.start(name, "2026-03-01T12:00")
    life.end(name, "2026-03-01T12:10")
    life.look("2026-03-01T12:10")
    return life


def test_every_that_never_ran_is_due_at_once():
    life = Life(automatic(EVERY), "2026-03-01T12:00")

    [wish] = life.look("2026-03-01T12:00")

    assert (wish.run, wish.trigger, wish.cause) == ("20260301T120000Z-every", Trigger.AUTOMATIC, "every")


def test_every_counts_from_the_start_of_the_last_run():
    life = once_run(EVERY)

    assert life.decision("2026-03-01T12:10").wake_at == utc("2026-03-01T16:00")
    assert life.wishes("2026-03-01T15:59:59") == []
    assert life.wishes("2026-03-01T16:00") == ["20260301T160000Z-every"]


def test_every_is_not_wished_for_twice_while_its_run_waits_or_runs():
    life = Life(automatic(EVERY), "2026-03-01T12:00")
    [name] = life.wishes("2026-03-01T12:00")

    assert life.wishes("2026-03-01T18:00") == []
    life.start(name, "2026-03-01T18:00")
    assert life.wishes("2026-03-01T23:00") == []


def test_every_with_overlap_allowed_wishes_for_one_run_an_interval():
    life = Life(automatic(EVERY, concurrency=Concurrency.ALLOW), "2026-03-01T12:00")
    [name] = life.wishes("2026-03-01T12:00")

    assert life.wishes("2026-03-01T13:00") == [], "the first one has not even started"
    life.start(name, "2026-03-01T13:00")
    assert life.wishes("2026-03-01T16:59") == []
    assert life.wishes("2026-03-01T17:00") == ["20260301T170000Z-every"], "though the first one runs on"


def test_after_an_edit_a_missed_every_counts_a_full_interval():
    life = once_run(EVERY)
    life.apply(automatic(Criteria(every_seconds=600)), "2026-03-01T13:00")

    assert life.wishes("2026-03-01T13:00") == []
    assert life.wishes("2026-03-01T13:09:59") == []
    assert life.wishes("2026-03-01T13:10") == ["20260301T131000Z-every"]


def test_when_the_mode_becomes_automatic_again_every_counts_a_full_interval():
    life = once_run(EVERY)
    life.apply(plan(), "2026-03-01T13:00")
    life.apply(automatic(EVERY), "2026-03-05T13:00")

    assert life.wishes("2026-03-05T13:00") == []
    assert life.wishes("2026-03-05T17:00") == ["20260305T170000Z-every"]


def test_after_a_pause_that_expired_by_itself_every_counts_a_full_interval():
    life = once_run(EVERY)
    life.plan = replace(life.plan, pauses=(Pause(utc("2026-03-02T00:00")),))

    assert life.wishes("2026-03-01T16:00") == []
    assert life.decision("2026-03-01T16:00").wake_at == utc("2026-03-02T00:00")
    assert life.wishes("2026-03-02T00:00") == []
    assert life.wishes("2026-03-02T03:59") == []
    assert life.wishes("2026-03-02T04:00") == ["20260302T040000Z-every"]


def test_after_a_local_pause_every_counts_a_full_interval():
    life = once_run(EVERY)
    life.tell(f.PausedLocally(utc("2026-03-01T12:20"), utc("2026-03-02T00:00"), "busy"))

    assert life.wishes("2026-03-01T23:00") == []
    assert life.wishes("2026-03-02T00:00") == []
    assert life.wishes("2026-03-02T04:00") == ["20260302T040000Z-every"]


def test_a_pause_that_was_lifted_early_does_not_fire_at_once():
    life = once_run(EVERY)
    life.tell(f.PausedLocally(utc("2026-03-01T12:20"), utc("2026-03-02T00:00"), "busy"))
    life.tell(f.ResumedLocally(utc("2026-03-01T18:00")))

    assert life.wishes("2026-03-01T18:00") == []
    assert life.wishes("2026-03-01T22:00") == ["20260301T220000Z-every"]


def test_a_cancelled_automatic_run_is_not_wished_for_again_until_its_next_interval():
    life = Life(automatic(EVERY), "2026-03-01T12:00")
    [name] = life.wishes("2026-03-01T12:00")
    life.tell(f.StopAsked(utc("2026-03-01T12:05"), name, Reason.CANCELLED_BY, "alice"))

    assert [type(x) for x in life.look("2026-03-01T12:05")] == [f.Finished]
    assert life.wishes("2026-03-01T16:04") == []
    assert life.wishes("2026-03-01T16:05") == ["20260301T160500Z-every"]


def test_a_run_that_could_not_be_started_counts_as_one_for_every():
    life = Life(automatic(EVERY), "2026-03-01T12:00")
    [name] = life.wishes("2026-03-01T12:00")
    life.tell(f.Claimed(utc("2026-03-01T12:00"), name, 1, "boot-1", "d1"))
    life.end(name, "2026-03-01T12:00", None, reason=Reason.START_FAILED)

    assert life.wishes("2026-03-01T12:01") == []
    assert life.wishes("2026-03-01T16:00") == ["20260301T160000Z-every"]


# After, change.


def test_after_starts_a_run_that_names_its_cause():
    life = Life(automatic(Criteria(after=("domain-sync",))), "2026-03-01T12:00")
    life.tell(f.Met(utc("2026-03-01T13:00"), "after domain-sync/20260301T125900Z"))

    [wish] = life.look("2026-03-01T13:00")

    assert (wish.run, wish.cause) == ("20260301T130000Z-after", "after domain-sync/20260301T125900Z")
    assert life.wishes("2026-03-01T13:00:01") == []


def test_criteria_met_while_a_run_goes_on_are_held_and_give_one_run():
    life = Life(automatic(Criteria(after=("domain-sync",))), "2026-03-01T12:00")
    life.tell(f.Met(utc("2026-03-01T13:00"), "after domain-sync/a"))
    [name] = life.wishes("2026-03-01T13:00")
    life.start(name, "2026-03-01T13:00")
    life.tell(
        f.Met(utc("2026-03-01T13:01"), "after domain-sync/b"),
        f.Met(utc("2026-03-01T13:02"), "after domain-sync/c"),
    )

    assert life.wishes("2026-03-01T13:02") == []
    life.end(name, "2026-03-01T13:05")
    assert life.wishes("2026-03-01T13:05") == ["20260301T130500Z-after"]
    assert life.seen.causes == []
    assert replayed(life.facts) == life.seen


def test_a_change_of_files_starts_one_run_and_what_was_first_seen_starts_none():
    life = Life(automatic(Criteria(on_change=("/etc/ldap/**",))), "2026-03-01T12:00")
    life.tell(f.Fingerprinted(utc("2026-03-01T12:00"), "ldap:a"))
    assert life.wishes("2026-03-01T12:00") == []
    life.tell(f.Fingerprinted(utc("2026-03-01T13:00"), "ldap:b"))

    assert life.wishes("2026-03-01T13:00") == ["20260301T130000Z-change"]
    assert life.wishes("2026-03-01T14:00") == []


# Probes.


def test_a_probe_is_asked_at_once_and_then_in_its_interval():
    life = Life(automatic(PROBE), "2026-03-01T12:00")

    assert life.look("2026-03-01T12:00") == [f.Probed(utc("2026-03-01T12:00"), "started")]
    assert life.look("2026-03-01T12:05") == [], "it has not answered yet"
    life.tell(f.Probed(utc("2026-03-01T12:05"), "nothing"))
    assert life.decision("2026-03-01T12:05").wake_at == utc("2026-03-01T12:06")
    assert life.look("2026-03-01T12:06") == [f.Probed(utc("2026-03-01T12:06"), "started")]


def test_a_probe_that_found_work_starts_a_run_and_is_asked_again_after_its_end():
    life = Life(automatic(PROBE), "2026-03-01T12:00")
    life.look("2026-03-01T12:00")
    life.tell(f.Probed(utc("2026-03-01T12:00:01"), "met"))

    [name] = life.wishes("2026-03-01T12:00:01")
    life.start(name, "2026-03-01T12:00:01")
    assert life.look("2026-03-01T12:10") == []
    life.end(name, "2026-03-01T12:11")
    assert f.Probed(utc("2026-03-01T12:11"), "started") in life.look("2026-03-01T12:11")


def test_a_probe_that_failed_three_times_makes_the_target_overdue_until_it_answers():
    life = Life(automatic(PROBE), "2026-03-01T12:00")
    for minute in (0, 1, 2):
        life.look(f"2026-03-01T12:0{minute}")
        life.tell(f.Probed(utc(f"2026-03-01T12:0{minute}"), "failed", "exit code 2"))

    life.look("2026-03-01T12:02")
    assert life.seen.overdue_message == "the probe failed 3 times in a row: exit code 2"
    life.tell(f.Probed(utc("2026-03-01T12:03"), "nothing"))
    life.look("2026-03-01T12:03")
    assert life.seen.overdue_message == ""


def test_nobody_probes_during_a_pause():
    paused = automatic(PROBE, pauses=(Pause(utc("2026-03-01T13:00")),))
    life = Life(paused, "2026-03-01T12:00")

    assert life.look("2026-03-01T12:00") == []
    assert life.decision("2026-03-01T12:00").wake_at == utc("2026-03-01T13:00")


def test_a_probe_whose_answer_was_lost_is_asked_again_and_is_no_failure():
    life = Life(automatic(PROBE), "2026-03-01T12:00")
    life.look("2026-03-01T12:00")
    life.tell(f.Probed(utc("2026-03-01T12:00:30"), "lost"))

    assert life.seen.probe_failures == 0
    assert life.look("2026-03-01T12:01:30") == [f.Probed(utc("2026-03-01T12:01:30"), "started")]


def test_a_probe_that_was_under_way_at_an_edit_does_not_hold_up_the_new_one():
    life = Life(automatic(PROBE), "2026-03-01T12:00")
    life.look("2026-03-01T12:00")
    life.apply(automatic(replace(PROBE, probe=Probe(("other",), 60))), "2026-03-01T12:00:30")

    assert life.look("2026-03-01T12:01") == [f.Probed(utc("2026-03-01T12:01"), "started")]


# The window.


def test_a_criterion_met_outside_the_window_is_held_until_it_opens():
    night = Window(22 * 60, 6 * 60, "UTC")
    life = Life(automatic(replace(EVERY, window=night)), "2026-03-01T12:00")

    decision = life.decision("2026-03-01T12:00")
    assert (decision.facts, decision.wake_at) == ([], utc("2026-03-01T22:00"))
    assert life.wishes("2026-03-01T22:00") == ["20260301T220000Z-every"]


@pytest.mark.parametrize("concurrency", [Concurrency.SKIP, Concurrency.QUEUE, Concurrency.REPLACE])
def test_an_automatic_run_never_overlaps_where_the_rule_forbids(concurrency):
    life = Life(automatic(EVERY, concurrency=concurrency), "2026-03-01T12:00")
    [name] = life.wishes("2026-03-01T12:00")
    life.start(name, "2026-03-01T12:00")

    assert life.wishes("2026-03-01T20:00") == []

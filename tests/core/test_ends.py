"""What the end of an attempt means: the state and reason of its run, and whether another attempt follows."""

from __future__ import annotations

import pytest

from reconciler.core import facts as f
from reconciler.core.model import Reason, State, Trigger
from reconciler.core.outcome import Outcome, may_retry, outcome_of
from reconciler.core.plan import Expect, Retry, Warnings
from reconciler.core.seen import RunSeen
from tests.core.life import Life, instant, later, plan, replayed, scheduled, utc

NIGHTLY = {"cron": "30 2 * * *"}
NAME = "20260302T023000Z"


def run(**fields) -> RunSeen:
    given = {
        "attempt": 1,
        "waiting": False,
        "started_at": utc("2026-03-02T02:30"),
        "slot": utc("2026-03-02T02:30"),
    }
    return RunSeen(NAME, Trigger.SCHEDULE, utc("2026-03-02T02:30"), **{**given, **fields})


def ended(code: int | None = None, **fields) -> f.Ended:
    return f.Ended(fields.pop("at", utc("2026-03-02T02:31")), NAME, 1, exit_code=code, **fields)


@pytest.mark.parametrize(
    ("end", "state", "reason"),
    [
        (ended(0), State.SUCCESS, Reason.NONE),
        (ended(1, reason=Reason.EXIT_CODE), State.FAILURE, Reason.EXIT_CODE),
        (ended(None, signal=9, reason=Reason.SIGNAL), State.FAILURE, Reason.SIGNAL),
        (ended(None, signal=15, reason=Reason.TIMED_OUT), State.FAILURE, Reason.TIMED_OUT),
        (ended(0, reason=Reason.TIMED_OUT), State.FAILURE, Reason.TIMED_OUT),
        (ended(None, signal=9, reason=Reason.OUT_OF_MEMORY), State.FAILURE, Reason.OUT_OF_MEMORY),
        (ended(None, reason=Reason.START_FAILED), State.FAILURE, Reason.START_FAILED),
        (ended(None, reason=Reason.SECRET_MISSING), State.FAILURE, Reason.SECRET_MISSING),
        (ended(None, reason=Reason.EXIT_UNKNOWN), State.INTERRUPTED, Reason.EXIT_UNKNOWN),
        (ended(None, reason=Reason.MACHINE_RESTARTED), State.INTERRUPTED, Reason.MACHINE_RESTARTED),
        (ended(None, reason=Reason.FORGOTTEN), State.INTERRUPTED, Reason.FORGOTTEN),
        (ended(None), State.INTERRUPTED, Reason.EXIT_UNKNOWN),
        (ended(0, errors=2), State.WARNING, Reason.LOG_ERRORS),
        (ended(0, warnings=2), State.SUCCESS, Reason.NONE),
        (ended(7, errors=2, reason=Reason.EXIT_CODE), State.FAILURE, Reason.EXIT_CODE),
    ],
)
def test_an_end_gives_its_state_and_reason(end, state, reason):
    outcome = outcome_of(plan(), run(), end)

    assert (outcome.state, outcome.reason) == (state, reason)


@pytest.mark.parametrize("code", [1, 2, 127, 255])
def test_non_zero_is_never_success_even_where_the_job_is_gone(code):
    assert outcome_of(None, run(), ended(code)).state is State.FAILURE


def test_an_exit_code_named_as_a_warning_is_a_warning():
    lenient = plan(warnings=Warnings(exit_codes=(3,)))

    assert outcome_of(lenient, run(), ended(3)).state is State.WARNING
    assert outcome_of(lenient, run(), ended(4)).state is State.FAILURE


def test_the_level_says_which_log_lines_make_a_success_a_warning():
    noisy = ended(0, warnings=1, errors=1)

    assert outcome_of(plan(warnings=Warnings(level="never")), run(), noisy) == Outcome(State.SUCCESS)
    assert outcome_of(plan(warnings=Warnings(level="warning")), run(), noisy).message == (
        "1 error line and 1 warning line in the log"
    )


@pytest.mark.parametrize(
    ("expect", "end"),
    [
        (Expect(start_within_seconds=5), ended(0)),
        (Expect(duration_min_seconds=120), ended(0)),
        (Expect(duration_max_seconds=10), ended(0)),
        (Expect(output_lines_min=1), ended(0)),
    ],
)
def test_a_broken_expectation_makes_a_success_a_warning(expect, end):
    late = run(started_at=utc("2026-03-02T02:30:06"))

    assert outcome_of(plan(expect=expect), late, end).reason is Reason.EXPECTATION


def test_a_run_that_was_cancelled_says_by_whom_whatever_its_exit():
    outcome = outcome_of(
        plan(), run(stop_reason=Reason.CANCELLED_BY, stop_by="alice"), ended(None, signal=15)
    )

    assert outcome == Outcome(State.CANCELLED, Reason.CANCELLED_BY, "by alice")


# Retries.


def retrying(**fields) -> Life:
    rule = Retry(attempts=3, delay_seconds=30, backoff=2, **fields)
    life = Life(scheduled(NIGHTLY, retry=rule), "2026-03-01T12:00")
    life.look("2026-03-02T02:30")
    life.start(NAME, "2026-03-02T02:30")
    return life


def test_a_failed_attempt_waits_longer_each_time_and_the_last_one_ends_the_run():
    life = retrying()
    waits = []
    for attempt in (1, 2, 3):
        life.end(NAME, "2026-03-02T02:31", 1)
        for fact in life.look("2026-03-02T02:31"):
            if isinstance(fact, f.Delayed):
                waits.append((fact.not_before - utc("2026-03-02T02:31")).total_seconds())
                assert fact.attempt == attempt + 1
                life.start(NAME, "2026-03-02T02:31")

    assert waits == [30, 60]
    assert (life.seen.last.state, life.seen.last.reason, life.seen.failures) == (State.FAILURE, "ExitCode", 1)
    assert life.seen.runs == {}
    assert replayed(life.facts) == life.seen


def test_a_retry_that_succeeds_makes_the_run_a_success_with_one_report():
    life = retrying()
    life.end(NAME, "2026-03-02T02:31", 1)
    life.look("2026-03-02T02:31")
    life.start(NAME, "2026-03-02T02:32")
    life.end(NAME, "2026-03-02T02:33", 0)

    assert life.finished("2026-03-02T02:33") == [(NAME, "success", "")]
    assert life.seen.last.started_at == utc("2026-03-02T02:30")
    assert sum(isinstance(fact, f.Finished) for fact in life.facts) == 1


def test_only_the_exit_codes_that_the_rule_names_are_tried_again():
    tried, given_up = retrying(exit_codes=(75,)), retrying(exit_codes=(75,))
    tried.end(NAME, "2026-03-02T02:31", 75)
    given_up.end(NAME, "2026-03-02T02:31", 1)

    assert tried.finished("2026-03-02T02:31") == []
    assert given_up.finished("2026-03-02T02:31") == [(NAME, "failure", "ExitCode")]


def test_an_interrupted_attempt_is_tried_again_only_where_the_rule_names_that_state():
    first, second = retrying(), retrying(states=(State.FAILURE, State.INTERRUPTED))
    for life in (first, second):
        life.end(NAME, "2026-03-02T02:31", None, reason=Reason.EXIT_UNKNOWN)

    assert first.finished("2026-03-02T02:31") == [(NAME, "interrupted", "ExitUnknown")]
    assert second.finished("2026-03-02T02:31") == []


def test_a_cancelled_run_is_not_tried_again():
    rule = plan(retry=Retry(attempts=3))
    stopped = run(stop_reason=Reason.CANCELLED_BY)
    end = ended(None, signal=15)

    assert not may_retry(rule, stopped, end, outcome_of(rule, stopped, end))


def test_a_cancel_between_two_attempts_ends_the_run():
    life = retrying()
    life.end(NAME, "2026-03-02T02:31", 1)
    life.look("2026-03-02T02:31")
    life.tell(f.StopAsked(utc("2026-03-02T02:31:10"), NAME, Reason.CANCELLED_BY, "alice"))

    assert life.finished("2026-03-02T02:31:10") == [(NAME, "cancelled", "CancelledByRequest")]


def test_the_delay_runs_on_boot_time_and_on_wall_time_after_a_restart_of_the_machine():
    from reconciler.core.decide import retry_wait_seconds

    life = retrying()
    life.end(NAME, "2026-03-02T02:31", 1)
    life.look("2026-03-02T02:31")
    waiting = life.run(NAME)
    stepped = instant(utc("2026-03-02T02:31:10"))._replace(wall=utc("2026-03-02T07:00"))

    assert retry_wait_seconds(waiting, stepped) == 20
    assert retry_wait_seconds(waiting, instant(utc("2026-03-02T02:31:25"), "boot-2")) == 5


def test_the_delay_has_a_longest():
    assert Retry(attempts=9, delay_seconds=30, backoff=2, max_delay_seconds=100).delay_before(6) == 100


def test_where_the_retry_rule_was_taken_away_meanwhile_the_run_is_over():
    life = retrying()
    life.plan = scheduled(NIGHTLY)
    life.end(NAME, "2026-03-02T02:31", 1)

    assert life.finished("2026-03-02T02:31") == [(NAME, "failure", "ExitCode")]


def test_last_run_speaks_of_the_last_run_that_started():
    life = Life(scheduled(NIGHTLY), "2026-03-01T12:00")
    life.look("2026-03-02T02:30")
    life.start(NAME, "2026-03-02T02:30:01")
    life.end(NAME, "2026-03-02T02:31", 4)
    life.look("2026-03-02T02:31")
    life.look("2026-03-03T02:30")
    life.look(later("2026-03-03T02:30", days=1))

    last = life.seen.last
    assert (last.run, last.state, last.exit_code, last.duration_seconds) == (NAME, State.FAILURE, 4, 59.0)

"""Which runs go by number, age and size, and which stay whatever the rules say."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model import State
from reconciler.core.plan import Retention
from reconciler.core.retention import GRACE_SECONDS, UNSTARTED_PER_RUN, Entry, pinned, what_goes

NOW = 1_000_000.0
DAY = 86400.0
LOOSE = Retention(runs=1000, age_seconds=1000 * DAY, total_bytes=1 << 50)


def history(*states: str, size: int = 10) -> list[Entry]:
    """Runs a minute apart, the newest first as the store lists them; the last one named ended a minute ago."""
    made = []
    for age, state in enumerate(reversed(states), 1):
        over = state not in ("queued", "running")
        made.append(
            Entry(f"r{len(states) - age}", State(state), state not in ("skipped", "missed", "queued"),
                  NOW - 60 * age if over else None, size if over else 0)
        )  # fmt: skip
    return made


def gone(entries: list[Entry], rules: Retention) -> list[tuple[str, str]]:
    return [(each.entry.run, each.rule) for each in what_goes(entries, rules, NOW)]


def test_the_oldest_runs_over_the_number_go():
    assert gone(history(*["success"] * 5), replace(LOOSE, runs=3)) == [("r0", "runs"), ("r1", "runs")]


def test_what_is_older_than_the_age_goes():
    assert gone(history(*["success"] * 4), replace(LOOSE, age_seconds=150.0)) == [
        ("r0", "age"),
        ("r1", "age"),
    ]


def test_the_oldest_go_until_the_rest_keeps_within_the_size():
    assert gone(history(*["success"] * 5, size=100), replace(LOOSE, total_bytes=250)) == [
        ("r0", "total"), ("r1", "total"), ("r2", "total"),
    ]  # fmt: skip


def test_the_last_run_success_and_failure_stay_whatever_the_rules_say():
    entries = history("failure", "success", "cancelled", "cancelled", "cancelled")
    strict = Retention(runs=1, age_seconds=1.0, total_bytes=1)
    assert gone(entries, strict) == [("r2", "age"), ("r3", "age")]


def test_what_runs_or_waits_never_goes():
    entries = history("running", "success", "queued", "success")
    assert "r0" not in dict(gone(entries, Retention(runs=1, age_seconds=1.0, total_bytes=1)))
    assert "r2" not in dict(gone(entries, Retention(runs=1, age_seconds=1.0, total_bytes=1)))


def test_slots_that_started_nothing_do_not_push_out_runs_and_are_bounded_themselves():
    entries = history("success", *["skipped"] * 25)
    assert gone(entries, replace(LOOSE, runs=2)) == [
        (f"r{n}", "runs") for n in range(1, 26 - 2 * UNSTARTED_PER_RUN)
    ]


def test_what_ended_just_now_is_not_taken_away_before_it_was_told():
    entries = [Entry("b", State.SUCCESS, True, NOW), Entry("a", State.SUCCESS, True, NOW - GRACE_SECONDS / 2)]
    assert gone(entries, replace(LOOSE, runs=1)) == []


@given(
    st.lists(st.sampled_from(list(State)), max_size=30),
    st.integers(1, 5),
    st.integers(1, 2000),
    st.integers(1, 300),
)
def test_for_any_history_the_rules_keep_what_must_stay_and_nothing_more(states, runs, age, total):
    entries = history(*states)
    rules = Retention(runs=runs, age_seconds=float(age), total_bytes=total)
    left = {e.run for e in entries} - dict(gone(entries, rules)).keys()
    assert pinned(entries) <= left
    assert {e.run for e in entries if e.over_at is None} <= left
    free = [e for e in entries if e.run in left and e.over_at is not None and e.run not in pinned(entries)]
    assert all(NOW - e.over_at <= age for e in free)
    assert len([e for e in free if e.started]) <= runs
    kept = [e for e in entries if e.run in left]
    assert gone(kept, rules) == [], "what is left is at rest"

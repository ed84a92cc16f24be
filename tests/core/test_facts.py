"""Facts and what they fold to: they survive the store, and history gives again what was kept."""

from __future__ import annotations

import json
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import facts as f
from reconciler.core.facts import KINDS, fact_from_json, to_json
from reconciler.core.model import Mode, Reason, State, Trigger
from reconciler.core.plan import Concurrency, Criteria, Pause, Probe, Retry
from reconciler.core.seen import Seen
from tests.core.life import Life, automatic, instant, plan, replayed, scheduled, utc

START = "2026-03-28T12:00"
SAMPLES = [
    f.Joined(utc(START), Mode.SCHEDULED, "d", "s", "abc", True),
    f.Changed(utc(START), "d"),
    f.Left(utc(START)),
    f.Settled(utc(START), State.MISSED, Reason.RECONCILER_DOWN, utc(START), utc(START), 3, "at least"),
    f.Queued(
        utc(START), "r", Trigger.REQUEST, "g", utc(START), "c", "alice", {"full": True}, "n", utc(START)
    ),
    f.Claimed(utc(START), "r", 1, "boot", "d", "abc", True, ("db",)),
    f.Started(utc(START), "r", 1, 42),
    f.Ended(utc(START), "r", 1, 3, None, Reason.EXIT_CODE, "m", 1, 2, 3, 4, 50, 1.5),
    f.Delayed(utc(START), "r", 2, utc(START), 3.5, "boot"),
    f.StopAsked(utc(START), "r", Reason.REPLACED, "alice"),
    f.Finished(utc(START), "r", State.WARNING, Reason.LOG_ERRORS, "m"),
    f.Met(utc(START), "after a/b"),
    f.Probed(utc(START), "failed", "m"),
    f.Fingerprinted(utc(START), "x"),
    f.ClockSetBack(utc(START)),
    f.OverdueBegan(utc(START), "m"),
    f.OverdueEnded(utc(START)),
    f.PausedLocally(utc(START), utc(START), "m", "alice"),
    f.ResumedLocally(utc(START), "alice"),
    f.HistoryRemoved(utc(START), 3, 4096, "by hand", "r1", "r3", "alice"),
]


def test_every_kind_of_fact_comes_back_from_json_as_it_was():
    assert {type(fact).__name__ for fact in SAMPLES} == set(KINDS)
    for fact in SAMPLES:
        assert fact_from_json(type(fact).__name__, json.loads(json.dumps(to_json(fact)))) == fact


def test_facts_of_a_run_that_is_not_known_change_nothing():
    seen = Seen()
    for fact in SAMPLES:
        if isinstance(fact, f.Claimed | f.Started | f.Ended | f.Delayed | f.StopAsked | f.Finished):
            f_before = json.dumps(seen.to_json())
            from reconciler.core.fold import fold

            fold(seen, fact)
            assert json.dumps(seen.to_json()) == f_before


PLANS = [
    scheduled({"cron": "*/20 * * * *"}),
    scheduled({"cron": "*/20 * * * *", "catchUp": "all"}, concurrency=Concurrency.QUEUE),
    scheduled(
        {"cron": "30 2 * * *", "timeZone": "Europe/Paris", "jitter": "5m"}, concurrency=Concurrency.REPLACE
    ),
    scheduled({"every": "15m", "catchUp": "none"}, concurrency=Concurrency.ALLOW, retry=Retry(attempts=2)),
    scheduled(
        {"every": "15m"}, pauses=(Pause(utc("2026-03-29T03:00")),), retry=Retry(attempts=3, delay_seconds=900)
    ),
    automatic(Criteria(every_seconds=3600, after=("a",))),
    automatic(Criteria(every_seconds=3600, probe=Probe(("x",), 60)), concurrency=Concurrency.ALLOW),
    plan(),
]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["look", "start", "end", "fail", "lose", "cancel", "request", "met", "apply", "pause", "probe"]
        ),
        st.integers(0, 10_000),
    ),
    max_size=40,
)


@given(st.integers(0, len(PLANS) - 1), STEPS)
def test_deciding_comes_to_rest_history_gives_what_was_kept_and_the_state_survives_the_store(first, steps):
    life = Life(PLANS[first], START)
    at = utc(START)
    for number, (what, seconds) in enumerate(steps):
        at += timedelta(seconds=seconds)
        text = at.replace(tzinfo=None).isoformat()
        waiting = [run.run for run in life.seen.waiting]
        running = [run.run for run in life.seen.running]
        match what:
            case "start" if waiting:
                life.start(waiting[0], text)
            case "end" | "fail" | "lose" if running:
                reason = {"lose": Reason.EXIT_UNKNOWN, "fail": Reason.EXIT_CODE, "end": Reason.NONE}[what]
                life.end(running[0], text, {"end": 0, "fail": 1, "lose": None}[what], reason=reason)
            case "cancel" if life.seen.runs:
                life.tell(f.StopAsked(at, next(iter(life.seen.runs)), Reason.CANCELLED_BY))
            case "request":
                life.request(f"r-{number}", text)
            case "met":
                life.tell(f.Met(at, f"after a/{number}"))
            case "apply":
                life.look(at)
                life.apply(PLANS[seconds % len(PLANS)], text)
            case "pause":
                life.tell(f.PausedLocally(at, at + timedelta(hours=1), "x"))
            case "probe" if life.seen.probing:
                life.tell(f.Probed(at, ("met", "nothing", "failed", "lost")[seconds % 4]))
        cursor = life.seen.cursor
        life.look(at)
        assert life.seen.cursor >= cursor, "slots are settled in order"
    assert replayed(life.facts) == life.seen
    assert Seen.from_json(json.loads(json.dumps(life.seen.to_json()))) == life.seen


@given(STEPS)
def test_a_decision_reads_what_is_seen_and_never_changes_it(steps):
    from reconciler.core.decide import decide

    life = Life(PLANS[len(steps) % len(PLANS)], START)
    at = utc(START) + timedelta(seconds=sum(seconds for _, seconds in steps))
    before = json.dumps(life.seen.to_json())

    first, second = (decide(life.target, life.plan, life.seen, instant(at)) for _ in range(2))

    assert json.dumps(life.seen.to_json()) == before
    assert first == second

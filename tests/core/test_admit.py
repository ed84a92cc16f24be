"""Who may start now: locks, places, turns, and that it is said why the others wait."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.admit import Running, Waiting, admit
from reconciler.core.desired import Limits
from reconciler.core.model import Reason, TargetId, Trigger
from tests.core.life import utc

T0 = utc("2026-03-01T12:00")
AMPLE = Limits()


def waiting(
    name: str, second: int, *locks: str, domain: str = "", trigger=Trigger.SCHEDULE, **fields
) -> Waiting:
    return Waiting(TargetId(name, domain), name, trigger, T0 + timedelta(seconds=second), locks, **fields)


def running(name: str, *locks: str, domain: str = "") -> Running:
    return Running(TargetId(name, domain), name, locks)


def started(items, busy=(), limits=AMPLE, last_domain="") -> list[str]:
    return [claim.run for claim in admit(items, busy, limits, last_domain).claims]


def test_runs_without_locks_start_in_the_order_of_their_instants_while_there_are_places():
    assert started([waiting("b", 2), waiting("a", 1), waiting("c", 3)], limits=Limits(2)) == ["a", "b"]


def test_a_lock_is_held_by_one_run_and_the_other_says_who_has_it():
    admission = admit([waiting("b", 2, "db")], [running("a", "db")], Limits())

    assert admission.claims == []
    assert str(admission.waits[TargetId("b"), "b"]) == "LocksBusy: db held by a/a"


def test_all_locks_are_taken_at_once_or_none():
    items = [waiting("both", 1, "db", "net"), waiting("net", 2, "net"), waiting("free", 3, "disk")]

    assert started(items, [running("a", "db")]) == ["free"]


def test_nobody_who_came_later_takes_a_lock_that_an_earlier_one_waits_for():
    items = [waiting("both", 1, "db", "net"), waiting("net", 2, "net"), waiting("chain", 3, "net", "disk")]

    assert started([*items, waiting("disk", 4, "disk")], [running("a", "db")]) == []


def test_a_run_may_pass_an_earlier_one_that_waits_only_for_a_place_in_another_domain():
    limits = Limits(16, 1)
    items = [waiting("first", 1, "db", domain="acme"), waiting("second", 2, "db", domain="globex")]

    assert started(items, [running("x", domain="acme")], limits) == ["second"]


def test_a_run_may_not_pass_an_earlier_one_of_its_own_domain_with_a_common_lock():
    limits = Limits(1)
    items = [waiting("first", 1, "db"), waiting("second", 2, "db", trigger=Trigger.REQUEST)]

    assert started(items, limits=limits) == ["first"]


def test_requests_go_before_schedules_of_the_same_domain():
    items = [waiting("planned", 1), waiting("asked", 2, trigger=Trigger.REQUEST)]

    assert started(items, limits=Limits(1)) == ["asked"]


def test_places_go_round_the_domains_so_that_one_flood_starves_nobody():
    flood = [waiting(f"a{n}", n, domain="acme") for n in range(10)]
    items = [*flood, waiting("g", 50, domain="globex"), waiting("i", 60, domain="initech")]

    assert started(items, limits=Limits(4), last_domain="acme") == ["g", "i", "a0", "a1"]


def test_the_turn_goes_on_where_it_stopped():
    items = [waiting("a", 1, domain="acme"), waiting("g", 2, domain="globex")]
    first = admit(items, [], Limits(1))

    assert first.last_domain == "acme"
    assert started(items, limits=Limits(1), last_domain=first.last_domain) == ["g"]


def test_a_blocked_run_holds_nothing_and_says_why_it_waits():
    later = waiting("retry", 1, "db", blocked=Reason.RETRY_DELAY, blocked_by="until 12:30")
    admission = admit([later, waiting("b", 2, "db")], [], Limits())

    assert [claim.run for claim in admission.claims] == ["b"]
    assert str(admission.waits[TargetId("retry"), "retry"]) == "RetryDelay: until 12:30"


def test_who_finds_no_place_says_so():
    admission = admit([waiting("a", 1), waiting("b", 2)], [], Limits(1))

    assert str(admission.waits[TargetId("b"), "b"]) == "NoPlace: 1 runs at once (maxParallel)"


# The rule, stated once more as naively as can be.


def next_to_start(left: list[Waiting], holders: list[Running], limits: Limits, last: str) -> Waiting | None:
    """A waiting run holds nothing; it takes all its locks and a place at once. It may pass an earlier one only if
    they share no lock, or that one waits only for a place in another domain. Places go round the domains with waiting
    runs; in a domain, requests first, then by instant.
    """

    @cache
    def waits_for_a_lock(x: Waiting) -> bool:
        if any(set(x.locks) & set(holder.locks) for holder in holders):
            return True
        return any(not may_pass(x, earlier) for earlier in left[: left.index(x)])

    def may_pass(x: Waiting, earlier: Waiting) -> bool:
        if not set(x.locks) & set(earlier.locks):
            return True
        return earlier.target.domain != x.target.domain and not waits_for_a_lock(earlier)

    def has_place(x: Waiting) -> bool:
        mine = sum(holder.target.domain == x.target.domain for holder in holders)
        return len(holders) < limits.max_parallel and not limits.domain_full(x.target.domain, mine)

    able = [x for x in left if has_place(x) and not waits_for_a_lock(x)]
    domains = sorted({x.target.domain for x in able})
    if not domains:
        return None
    turn = next((d for d in domains if d > last), domains[0])
    mine = [x for x in able if x.target.domain == turn]
    return min(mine, key=lambda x: (x.trigger is not Trigger.REQUEST, x.since, x.target, x.run))


def naive(items: list[Waiting], busy: list[Running], limits: Limits, last_domain: str) -> list[str]:
    left = sorted((x for x in items if not x.blocked), key=lambda x: (x.since, x.target, x.run))
    holders, out = list(busy), []
    while (chosen := next_to_start(left, holders, limits, last_domain)) is not None:
        left.remove(chosen)
        out.append(chosen.run)
        holders.append(Running(chosen.target, chosen.run, chosen.locks))
        last_domain = chosen.target.domain
    return out


LOCKS = st.lists(st.sampled_from(["db", "net", "disk"]), unique=True, max_size=2).map(tuple)
DOMAINS = st.sampled_from(["", "acme", "globex"])


@st.composite
def installations(draw):
    items = [
        Waiting(
            TargetId(f"w{n}", draw(DOMAINS)),
            f"w{n}",
            draw(st.sampled_from([Trigger.SCHEDULE, Trigger.REQUEST])),
            T0 + timedelta(seconds=draw(st.integers(0, 3))),
            draw(LOCKS),
            draw(st.sampled_from([Reason.NONE, Reason.NONE, Reason.NONE, Reason.RETRY_DELAY])),
        )
        for n in range(draw(st.integers(0, 6)))
    ]
    busy: list[Running] = []
    for n in range(draw(st.integers(0, 3))):
        free = tuple(k for k in draw(LOCKS) if not any(k in r.locks for r in busy))
        busy.append(Running(TargetId(f"r{n}", draw(DOMAINS)), f"r{n}", free))
    limits = Limits(draw(st.integers(1, 6)), draw(st.sampled_from([None, 1, 2])))
    return items, busy, limits, draw(DOMAINS)


@settings(max_examples=300)
@given(installations())
def test_admission_is_the_rule(installation):
    assert started(*installation) == naive(*installation)


@settings(max_examples=300)
@given(installations(), st.randoms(use_true_random=False))
def test_whoever_does_not_start_is_told_why_and_the_order_of_asking_does_not_matter(installation, chance):
    items, busy, limits, last = installation
    admission = admit(items, busy, limits, last)
    shuffled = list(items)
    chance.shuffle(shuffled)

    assert {x.run for x in admission.claims} | {run for _, run in admission.waits} == {x.run for x in items}
    assert started(shuffled, busy, limits, last) == [x.run for x in admission.claims]

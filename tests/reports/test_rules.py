"""The pure rules: who is told what, which letter it goes into, and when a digest ends its period."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.facts import Finished, OverdueBegan, OverdueEnded, Settled
from reconciler.core.model import Reason, State
from reconciler.core.plan import AddedReport, Report
from reconciler.core.report import (
    GIVE_UP_SECONDS,
    MAX_RETRY_SECONDS,
    Occasion,
    Standing,
    message_id,
    next_digest,
    occasions,
    retry_seconds,
    routes,
    tell,
)
from reconciler.core.seen import Seen

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_nothing_is_sent_unless_send_says_so_but_what_a_domain_area_adds_has_its_own() -> None:
    added = AddedReport(("it@acme.example",), origin="jobs.d/domains/acme.example/p.yaml:1")
    report = Report(recipients=("ops@example.org",), webhooks=("pager",), added=(added,))
    assert [route.recipient for route in routes(report)] == ["it@acme.example"]
    assert routes(report)[0].origin == "jobs.d/domains/acme.example/p.yaml:1"


def test_a_recipient_named_twice_is_told_once_of_what_either_asks_for() -> None:
    added = AddedReport(("ops@example.org",), when=("success",))
    (route,) = routes(Report(send=True, recipients=("ops@example.org",), when=("failure",), added=(added,)))
    assert route.wants("success")
    assert route.wants("failure")
    assert not route.wants("missed")


def test_a_digest_collects_mail_and_leaves_webhooks_alone() -> None:
    report = Report(send=True, recipients=("ops@example.org",), webhooks=("pager",), digest="hourly")
    assert [(route.medium, route.digest) for route in routes(report)] == [("mail", "hourly"), ("webhook", "")]


def test_slots_left_out_on_purpose_are_nothing_to_tell() -> None:
    missed = Settled(AT, State.MISSED, Reason.RECONCILER_DOWN, AT, AT, 3)
    paused = Settled(AT, State.SKIPPED, Reason.PAUSED, AT, AT, 3)
    assert [(each.kind, each.count) for each in occasions([missed, paused], Seen())] == [("missed", 3)]


def test_a_success_that_ends_failing_and_overdue_is_told_once() -> None:
    (route,) = routes(Report(send=True, recipients=("ops@example.org",)))
    standing = Standing()
    failed = Seen(failures=1)
    for occasion in occasions([Finished(AT, "r", State.FAILURE), OverdueBegan(AT, "no success")], failed):
        assert tell(route, occasion, standing, AT)
    good = occasions([Finished(AT, "r2", State.SUCCESS), OverdueEnded(AT)], Seen())
    assert [tell(route, occasion, standing, AT) for occasion in good] == ["recovered", ""]


def test_interrupted_skipped_and_cancelled_are_told_to_those_who_ask() -> None:
    report = Report(send=True, recipients=("ops@example.org",), when=("cancelled", "skipped"))
    (route,) = routes(report)
    told = [
        tell(route, Occasion(kind, AT, "r"), Standing(), AT)
        for kind in ("cancelled", "skipped", "interrupted")
    ]
    assert told == ["cancelled", "skipped", ""]


@pytest.mark.parametrize(
    ("spec", "zone", "after", "expected"),
    [
        ("hourly", "UTC", "2026-11-22T12:00:00", "2026-11-22T13:00:00"),
        ("daily 07:00", "Europe/Paris", "2026-11-22T05:59:59", "2026-11-22T06:00:00"),
        ("daily 07:00", "Europe/Paris", "2026-11-22T06:00:00", "2026-11-23T06:00:00"),
        ("daily", "Europe/Paris", "2026-07-01T12:00:00", "2026-07-02T05:00:00"),
        ("weekly", "UTC", "2026-11-22T12:00:00", "2026-11-23T07:00:00"),
        ("weekly sun 12:30", "UTC", "2026-11-22T12:00:00", "2026-11-22T12:30:00"),
        ("weekly sun 11:30", "UTC", "2026-11-22T12:00:00", "2026-11-29T11:30:00"),
        ("daily 02:30", "Europe/Paris", "2026-03-28T12:00:00", "2026-03-29T01:30:00"),
        ("daily 02:30", "Europe/Paris", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
    ],
)
def test_a_digest_ends_its_period_on_the_installations_clock(
    spec: str, zone: str, after: str, expected: str
) -> None:
    found = next_digest(spec, zone, datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_the_name_of_a_letter_depends_on_who_what_and_nothing_else() -> None:
    assert message_id("u", "a", "run x failure", 0) == message_id("u", "a", "run x failure", 0)
    names = {message_id(u, r, k, n) for u in "uv" for r in "ab" for k in ("x", "y") for n in (0, 1)}
    assert len(names) == 16


def test_tries_come_ever_later_and_end() -> None:
    waits = [retry_seconds(tries) for tries in range(1, 200)]
    assert waits[0] == 60
    assert waits == sorted(waits)
    assert waits[-1] == MAX_RETRY_SECONDS < GIVE_UP_SECONDS


@given(
    st.lists(st.sampled_from(["failure", "interrupted", "success", "warning"]), max_size=30),
    st.integers(1, 4),
)
def test_recoveries_and_told_failures_alternate_whatever_happens(states: list[str], after: int) -> None:
    (route,) = routes(Report(send=True, recipients=("ops@example.org",), after=after))
    standing, failures, trouble = Standing(), 0, False
    for number, state in enumerate(states):
        failures = failures + 1 if state in ("failure", "interrupted") else 0
        kind = tell(route, Occasion(state, AT, f"r{number}", state, failures=failures), standing, AT)
        assert (kind == "recovered") == (trouble and failures == 0)
        assert (kind in ("failure", "interrupted")) == (failures >= after)
        trouble = (trouble or failures >= after) and failures > 0
        again = Standing.from_json(standing.to_json())
        assert again == standing

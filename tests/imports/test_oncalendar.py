"""systemd's calendar events become schedules with the same slots; systemd itself is the judge."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler.spec.imports._oncalendar import NotCarried, parse, schedules
from tests.imports.oracles import slots, systemd_slots

EVENTS = [
    "minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly",
    "*-*-* 02:30", "02:30:15", "*:0/15", "*:7/20:30", "*:5..50/20", "00..23/5:30", "1/6:30", "9..17:00",
    "*-*-* 0,6,12,18:00", "Mon..Fri 08:00", "Mon,Wed,Sun 23:59",
    "Monday..wednesday 10:00", "sat 02:00", "Mon *-*-1..7 03:00",
    "Tue,Thu *-*-8..14 12:00", "Fri *-*-29..31 09:00", "*-*~1", "*-02~03 04:00", "*-*~3", "*-*~07/3",
    "Mon *-*~07/1 05:00", "*-*-1,15 06:00", "*-*-1/2 07:00", "Sun *-*-1/2 07:00", "*-1/3-1 00:30", "*-12-24..26 *:30",
    "*-2-29", "2027-*-1 10:00", "2027..2028-1-1", "2027-05-01 12:00", "*:*:0/20", "*-*-* *:*",
]  # fmt: skip
STARTS = [datetime(2026, 3, 27, 12, tzinfo=UTC), datetime(2026, 10, 23, 12, tzinfo=UTC)]


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York"])
@pytest.mark.parametrize("event", EVENTS)
def test_an_event_has_the_slots_that_systemd_gives_it(event: str, zone: str) -> None:
    (schedule,) = schedules([parse(event)])
    for start in STARTS:
        expected = systemd_slots(event, start, 60, zone)
        assert expected
        assert slots(schedule, start, 60, zone)[: len(expected)] == expected


def test_a_repetition_without_an_end_goes_on_to_the_end_of_its_unit() -> None:
    # Not compared with systemd 252, which leaves 00:30 out on the first of each month, against its own manual.
    (schedule,) = schedules([parse("00/5:30")])
    assert schedule == {"weekly": {"times": ["00:30", "05:30", "10:30", "15:30", "20:30"]}, "dst": "skip"}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (["02:00", "*-*-* 14:30"], [{"weekly": {"times": ["02:00", "14:30"]}}]),
        (["Mon 08:00", "Thu 08:00"], [{"weekly": {"days": ["mon", "thu"], "times": ["08:00"]}}]),
        (["Mon 08:00", "Thu 09:00"], [{"weekly": {"days": ["mon"], "times": ["08:00"]}},
                                      {"weekly": {"days": ["thu"], "times": ["09:00"]}}]),
    ],
)  # fmt: skip
def test_several_events_are_one_schedule_where_one_can_say_them(
    events: list[str], expected: list[dict[str, object]]
) -> None:
    assert schedules([parse(event) for event in events]) == [block | {"dst": "skip"} for block in expected]


@pytest.mark.parametrize(
    "event",
    ["Mon *-*-13 08:00", "2026,2028-1-1", "*:*:0.5", "@1700000000", "every monday", "Fri..Mon", "25:00", "*-*~0",
     "Mon *-*~3", "1 2 3 4", "", "*-*-31..3"],
)  # fmt: skip
def test_what_has_no_equal_is_refused_with_a_reason(event: str) -> None:
    with pytest.raises(NotCarried, match=r"\w"):
        schedules([parse(event)])

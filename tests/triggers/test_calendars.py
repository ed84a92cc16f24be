"""Calendars leave slots out, with a reason; calendar files are understood or refused."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.zones import zone
from reconciler.triggers import ScheduleError, compile_calendar, compile_schedule


def covers(spec: dict[str, Any], moment: str, in_zone: str = "Europe/Paris") -> bool:
    at = datetime.fromisoformat(moment)
    if at.tzinfo is None:
        at = at.replace(tzinfo=ZoneInfo(in_zone))
    return compile_calendar(spec, zone(in_zone)).covers(int(at.timestamp()))


def ics(*events: str) -> dict[str, Any]:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0"]
    for number, event in enumerate(events):
        lines += ["BEGIN:VEVENT", f"UID:{number}", *event.split("|"), "END:VEVENT"]
    return {"icsText": "\r\n".join([*lines, "END:VCALENDAR", ""])}


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-12-24T23:59:59", False),
        ("2026-12-25T00:00:00", True),
        ("2026-12-25T23:59:59", True),
        ("2026-12-26T00:00:00", False),
        ("2026-12-31T17:59:59", False),
        ("2026-12-31T18:00:00", True),
        ("2027-01-02T05:59:59", True),
        ("2027-01-02T06:00:00", False),
        ("2027-02-28T23:00:00", True),
    ],
)
def test_dates_and_windows_lie_in_the_zone_of_the_schedule(moment: str, expected: bool) -> None:
    spec = {
        "dates": ["2026-12-25"],
        "windows": [
            {"start": "2026-12-31T18:00", "end": "2027-01-02T06:00"},
            {"start": "2027-02-01", "end": "2027-02-28"},
        ],
    }
    assert covers(spec, moment) is expected
    assert covers(spec, moment, "America/Havana") is expected


def test_a_day_without_a_midnight_is_covered_whole() -> None:
    spec = {"dates": ["2026-03-08"]}
    assert covers(spec, "2026-03-08T01:00:00", "America/Havana")
    assert not covers(spec, "2026-03-07T23:59:59", "America/Havana")
    assert not covers(spec, "2026-03-09T00:00:00", "America/Havana")


def test_slots_are_left_out_with_the_calendar_that_does_it() -> None:
    calendars = {
        "closures": {"dates": ["2026-12-25"]},
        "workdays": {"windows": [{"start": "2026-12-21", "end": "2026-12-24"}]},
        "weekend": {"dates": ["2026-12-26"]},
    }
    spec = {
        "weekly": {"times": ["02:00"]},
        "calendars": {"skip": ["closures"], "only": ["workdays", "weekend"]},
    }
    schedule = compile_schedule(spec, "Europe/Paris", calendars)
    slot = schedule.next_after(int(datetime.fromisoformat("2026-12-24T00:00+01:00").timestamp()))
    found: list[str | None] = []
    while slot is not None and len(found) < 4:
        found.append(schedule.left_out(slot))
        slot = schedule.next_after(slot)
    assert found == [None, "skipped: closures", None, "not in: workdays, weekend"]


@pytest.mark.parametrize(
    ("event", "inside", "outside"),
    [
        ("DTSTART;VALUE=DATE:20260501", ["2026-05-01T23:00"], ["2026-05-02T00:00", "2027-05-01T12:00"]),
        (
            "DTSTART;VALUE=DATE:20260501|DTEND;VALUE=DATE:20260503",
            ["2026-05-01T00:00", "2026-05-02T23:59"],
            ["2026-05-03T00:00"],
        ),
        ("DTSTART:20260501T100000Z|DTEND:20260501T120000Z", ["2026-05-01T12:00"], ["2026-05-01T14:00"]),
        ("DTSTART:20260501T100000|DURATION:PT1H30M", ["2026-05-01T11:29"], ["2026-05-01T11:30"]),
        (
            "DTSTART;TZID=America/New_York:20260501T100000|DURATION:P1D",
            ["2026-05-01T16:00", "2026-05-02T15:59"],
            ["2026-05-01T15:59", "2026-05-02T16:00"],
        ),
        (
            "DTSTART;VALUE=DATE:20201225|RRULE:FREQ=YEARLY",
            ["2026-12-25T12:00", "2199-12-25T12:00"],
            ["2019-12-25T12:00", "2026-12-26T00:00"],
        ),
        (
            "DTSTART;VALUE=DATE:20201126|RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
            ["2026-11-26T12:00", "2027-11-25T12:00"],
            ["2026-11-25T12:00", "2027-11-26T12:00"],
        ),
        (
            "DTSTART;VALUE=DATE:20260103|RRULE:FREQ=WEEKLY;BYDAY=SA,SU",
            ["2026-10-24T12:00", "2026-10-25T23:59"],
            ["2026-10-23T23:59", "2026-10-26T00:00"],
        ),
        (
            "DTSTART;VALUE=DATE:20260101|RRULE:FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3",
            ["2026-01-31T12:00", "2026-03-31T12:00"],
            ["2026-04-30T12:00"],
        ),
        (
            "DTSTART;TZID=Europe/Paris:20260105T220000|DTEND;TZID=Europe/Paris:20260106T060000"
            "|RRULE:FREQ=DAILY;UNTIL=20260110T210000Z",
            ["2026-01-05T22:00", "2026-01-10T05:59", "2026-01-11T05:59"],
            ["2026-01-10T06:00", "2026-01-11T22:00"],
        ),
        (
            "DTSTART;VALUE=DATE:20260101|RRULE:FREQ=MONTHLY|EXDATE;VALUE=DATE:20260301,20260401"
            "|RDATE;VALUE=DATE:20260315",
            ["2026-02-01T12:00", "2026-03-15T12:00", "2026-05-01T12:00"],
            ["2026-03-01T12:00", "2026-04-01T12:00"],
        ),
        ("DTSTART;VALUE=DATE:20260501|STATUS:CANCELLED", [], ["2026-05-01T12:00"]),
        ("SUMMARY:Folded,\r\n  as long ones are|DTSTART;VALUE=DATE:2026\r\n 0501", ["2026-05-01T12:00"], []),
        (
            "DTSTART;VALUE=DATE:20260501|BEGIN:VALARM|TRIGGER:-PT15M|DURATION:PT5H|END:VALARM",
            ["2026-05-01T12:00"],
            ["2026-05-02T00:00"],
        ),
    ],
)
def test_events_of_a_calendar_file_cover_what_they_say(
    event: str, inside: list[str], outside: list[str]
) -> None:
    spec = ics(event)
    assert [moment for moment in inside if not covers(spec, moment)] == []
    assert [moment for moment in outside if covers(spec, moment)] == []


def test_a_changed_occurrence_of_a_series_replaces_the_one_that_it_names() -> None:
    spec = {
        "icsText": "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:a\nDTSTART;VALUE=DATE:20260101\nRRULE:FREQ=MONTHLY\nEND:VEVENT\n"
        "BEGIN:VEVENT\nUID:a\nRECURRENCE-ID;VALUE=DATE:20260301\nDTSTART;VALUE=DATE:20260302\nEND:VEVENT\n"
        "BEGIN:VEVENT\nUID:a\nRECURRENCE-ID;VALUE=DATE:20260401\nDTSTART;VALUE=DATE:20260401\nSTATUS:CANCELLED\n"
        "END:VEVENT\nEND:VCALENDAR\n"
    }
    found = [
        day for day in ("02-01", "03-01", "03-02", "04-01", "05-01") if covers(spec, f"2026-{day}T12:00")
    ]
    assert found == ["02-01", "03-02", "05-01"]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("SUMMARY:x", "no DTSTART"),
        ("DTSTART:tomorrow", "line 5: `tomorrow` is not a date"),
        ("DTSTART;VALUE=DATE:20261301", "is not a date"),
        ("DTSTART;TZID=W. Europe Standard Time:20260501T100000", "no IANA time zone"),
        ("DTSTART;VALUE=DATE:20260501|DTEND;VALUE=DATE:20260401", "ends before it starts"),
        ("DTSTART;VALUE=DATE:20260501|RRULE:FREQ=HOURLY", "FREQ"),
        (f"DTSTART:20260501T000000Z|RRULE:FREQ=DAILY;BYMINUTE={','.join(map(str, range(60)))}", "times a day"),
        ("DTSTART;VALUE=DATE:20260501|RRULE:FREQ=DAILY;COUNT=999999999", "COUNT is at most"),
        ("DTSTART;VALUE=DATE:20260501|RRULE:FREQ=YEARLY;BYMOON=1", "not understood"),
        ("DTSTART;VALUE=DATE:20260501|RRULE:FREQ=YEARLY;BYDAY=XX", "not understood"),
        ("DTSTART;VALUE=DATE:20260501|RRULE:FREQ=YEARLY;UNTIL=never", "UNTIL=NEVER"),
        ("DTSTART;VALUE=DATE:20260501|RRULE:FREQ=YEARLY;COUNT=x", "not understood"),
        ("DTSTART;VALUE=DATE:20260501|RRULE:FREQ=YEARLY;INTERVAL=0", "INTERVAL is 1 or more"),
        ("DTSTART;VALUE=DATE:20260501|RRULE:FREQ=YEARLY;COUNT=-1", "not understood"),
        ("DTSTART;VALUE=DATE:20260501|RRULE:FREQ=YEARLY|RRULE:FREQ=DAILY", "second RRULE"),
        ("DTSTART;VALUE=DATE:20260501|EXRULE:FREQ=YEARLY", "EXRULE"),
        ("DTSTART;VALUE=DATE:20260501|RDATE;VALUE=PERIOD:20260501T100000Z/PT1H", "is not a date"),
        ("DTSTART;VALUE=DATE:20260501|DURATION:-PT1H", "not a duration"),
        ("DTSTART;VALUE=DATE:20260501|RECURRENCE-ID;RANGE=THISANDFUTURE:20260501", "RANGE"),
        ("what is this", "is not a line of a calendar"),
    ],
)
def test_a_calendar_file_that_is_not_understood_is_refused(event: str, message: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        compile_calendar(ics(event), zone("UTC"))
    assert caught.value.field == "ics"
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>", "is not a line of a calendar"),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR\n", "ends nothing that began"),
        ("BEGIN:VCALENDAR\n", "has no end"),
        ("DTSTART:20260101\n", "begins with BEGIN:VCALENDAR"),
    ],
)
def test_a_file_that_is_no_calendar_is_refused(text: str, message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        compile_calendar({"icsText": text}, zone("UTC"))


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"dates": ["25.12.2026"]}, "dates.0"),
        ({"dates": ["2026-12-25", "2026-02-30"]}, "dates.1"),
        ({"windows": [{"start": "2026-12-31T18:00"}]}, "windows.0"),
        ({"windows": [{"start": "2026-12-31T18:00", "end": "2026-12-31T17:00"}]}, "windows.0.end"),
        ({"windows": [{"start": "now", "end": "2026-12-31T17:00"}]}, "windows.0.start"),
    ],
)
def test_a_broken_calendar_says_where(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        compile_calendar(spec, zone("UTC"))
    assert caught.value.field == field


def test_a_rule_that_never_happens_covers_nothing_and_ends_soon() -> None:
    spec = ics("DTSTART;VALUE=DATE:20260101|RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=5")
    assert not covers(spec, "2026-02-28T12:00")


LINES = st.sampled_from(
    [
        "BEGIN:VEVENT",
        "END:VEVENT",
        "DTSTART:20260101",
        "DTSTART;VALUE=DATE:20260131",
        "DTEND:20260201T000000Z",
        "RRULE:FREQ=MONTHLY;BYMONTHDAY=31",
        "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=2",
        "DURATION:P1D",
        "\t",
    ]
) | st.text(max_size=30)


@given(st.lists(LINES, max_size=8))
def test_any_text_is_a_calendar_file_or_refused_as_one(lines: list[str]) -> None:
    text = "\n".join(["BEGIN:VCALENDAR", "BEGIN:VEVENT", *lines, "END:VEVENT", "END:VCALENDAR"])
    # Anything but a ScheduleError fails the test.
    with contextlib.suppress(ScheduleError):
        compile_calendar({"icsText": text}, zone("Europe/Paris")).covers(1769800000)

"""The schedule block: what each field does, and what is said of one that cannot be used."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.triggers import CompiledSchedule, ScheduleError, compile_schedule, tzdata_version

WEDNESDAY = datetime(2026, 7, 1, tzinfo=UTC)


def runs(schedule: CompiledSchedule, count: int, start: datetime = WEDNESDAY) -> list[str]:
    found: list[str] = []
    slot = schedule.next_after(int(start.timestamp()) - 1)
    while slot is not None and len(found) < count:
        found.append(f"{datetime.fromtimestamp(slot, UTC):%a %m-%d %H:%M:%S}")
        slot = schedule.next_after(slot)
    return found


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"weekly": {"times": ["14:30", "02:00"]}}, ["Wed 07-01 02:00:00", "Wed 07-01 14:30:00"]),
        (
            {"weekly": {"days": ["sat", "mon"], "times": ["02:00"]}},
            ["Sat 07-04 02:00:00", "Mon 07-06 02:00:00"],
        ),
        ({"weekly": {"days": ["sun"], "times": ["23:59:59"]}}, ["Sun 07-05 23:59:59", "Sun 07-12 23:59:59"]),
        ({"every": "90m"}, ["Wed 07-01 00:00:00", "Wed 07-01 01:30:00"]),
        ({"every": "15s"}, ["Wed 07-01 00:00:00", "Wed 07-01 00:00:15"]),
        ({"cron": "0 2 * * 4-4"}, ["Thu 07-02 02:00:00", "Thu 07-09 02:00:00"]),
        ({"cron": "0 2 2-2/5 * *"}, ["Thu 07-02 02:00:00", "Sun 08-02 02:00:00"]),
        ({"cron": "0 2 * * 7"}, ["Sun 07-05 02:00:00", "Sun 07-12 02:00:00"]),
        ({"cron": "0 2 * * 5-7"}, ["Fri 07-03 02:00:00", "Sat 07-04 02:00:00", "Sun 07-05 02:00:00"]),
        ({"cron": "0 2 * * 5-7/2"}, ["Fri 07-03 02:00:00", "Sun 07-05 02:00:00", "Fri 07-10 02:00:00"]),
        ({"cron": "0 2 * * fri-mon"}, ["Fri 07-03 02:00:00", "Sat 07-04 02:00:00", "Sun 07-05 02:00:00"]),
        ({"cron": "0 22-1 * * *"}, ["Wed 07-01 00:00:00", "Wed 07-01 01:00:00", "Wed 07-01 22:00:00"]),
        ({"cron": "0 2 30-2 * *"}, ["Wed 07-01 02:00:00", "Thu 07-02 02:00:00", "Thu 07-30 02:00:00"]),
        ({"cron": "0 2 1 NOV-Jan *"}, ["Sun 11-01 02:00:00", "Tue 12-01 02:00:00", "Fri 01-01 02:00:00"]),
        ({"cron": "59/15 2 * * *"}, ["Wed 07-01 02:59:00", "Thu 07-02 02:59:00"]),
        ({"cron": "10/20 2 * * *"}, ["Wed 07-01 02:10:00", "Wed 07-01 02:30:00", "Wed 07-01 02:50:00"]),
        ({"cron": "0 2 3,* * *"}, ["Wed 07-01 02:00:00", "Thu 07-02 02:00:00"]),
        # Either day field begins with a star: both must hold. Neither does: one is enough.
        ({"cron": "0 2 */2 * wed"}, ["Wed 07-01 02:00:00", "Wed 07-15 02:00:00", "Wed 07-29 02:00:00"]),
        ({"cron": "0 2 1-31/2 * wed"}, ["Wed 07-01 02:00:00", "Fri 07-03 02:00:00", "Sun 07-05 02:00:00"]),
        ({"cron": "0 2 L * *"}, ["Fri 07-31 02:00:00", "Mon 08-31 02:00:00"]),
        ({"cron": "0 2 L-3 * *"}, ["Tue 07-28 02:00:00", "Fri 08-28 02:00:00"]),
        ({"cron": "0 2 LW 10,11 *"}, ["Fri 10-30 02:00:00", "Mon 11-30 02:00:00"]),
        ({"cron": "0 2 1W 8 *"}, ["Mon 08-03 02:00:00", "Mon 08-02 02:00:00"]),
        ({"cron": "0 2 15W * *"}, ["Wed 07-15 02:00:00", "Fri 08-14 02:00:00"]),
        ({"cron": "0 2 * * 5L"}, ["Fri 07-31 02:00:00", "Fri 08-28 02:00:00"]),
        ({"cron": "0 2 * * friL"}, ["Fri 07-31 02:00:00", "Fri 08-28 02:00:00"]),
        ({"cron": "0 2 * * tue#5"}, ["Tue 09-29 02:00:00", "Tue 12-29 02:00:00"]),
        ({"cron": "0 2 * * mon,5#1"}, ["Fri 07-03 02:00:00", "Mon 07-06 02:00:00", "Mon 07-13 02:00:00"]),
        ({"cron": "0 2 1 * mon#1"}, ["Wed 07-01 02:00:00", "Mon 07-06 02:00:00", "Sat 08-01 02:00:00"]),
        ({"cron": "30 15 2 * * *"}, ["Wed 07-01 02:15:30", "Thu 07-02 02:15:30"]),
        ({"cron": "*/20 15 2 * * *"}, ["Wed 07-01 02:15:00", "Wed 07-01 02:15:20", "Wed 07-01 02:15:40"]),
        ({"cron": "@hourly"}, ["Wed 07-01 00:00:00", "Wed 07-01 01:00:00"]),
        ({"cron": "@Daily"}, ["Wed 07-01 00:00:00", "Thu 07-02 00:00:00"]),
        ({"cron": "@weekly"}, ["Sun 07-05 00:00:00", "Sun 07-12 00:00:00"]),
        ({"cron": "@monthly"}, ["Wed 07-01 00:00:00", "Sat 08-01 00:00:00"]),
        ({"cron": "@annually"}, ["Fri 01-01 00:00:00", "Sat 01-01 00:00:00"]),
    ],
)
def test_a_schedule_runs_when_it_says(spec: dict[str, Any], expected: list[str]) -> None:
    assert runs(compile_schedule(spec, "UTC"), len(expected)) == expected


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"cron": "0  2 * *  1-5"}, "0 2 * * 1-5"),
        ({"every": "900s"}, "every 15m"),
        ({"weekly": {"times": ["14:30", "02:00"]}}, "weekly daily 02:00,14:30"),
        (
            {"weekly": {"days": ["fri", "mon", "tue", "wed", "thu"], "times": ["02:00"]}},
            "weekly mon-fri 02:00",
        ),
        ({"weekly": {"days": ["sat", "sun", "tue"], "times": ["02:00:30"]}}, "weekly tue,sat,sun 02:00:30"),
    ],
)
def test_a_schedule_is_written_in_a_few_words(spec: dict[str, Any], text: str) -> None:
    assert compile_schedule(spec, "UTC").text == text


@pytest.mark.parametrize(
    ("spec", "field", "message", "help_text"),
    [
        ({"cron": "0 2 ? * 2"}, "cron", "Quartz counts weekdays from 1 = Sunday", "by name"),
        ({"cron": "H 2 * * *"}, "cron", "`H` is refused", "jitter"),
        ({"cron": "H/15 2 * * *"}, "cron", "`H` is refused", "jitter"),
        ({"cron": "@reboot"}, "cron", "`@reboot`", "automatic"),
        ({"cron": "@every 15m"}, "cron", "`@every 15m`", "`every: 15m`"),
        ({"cron": "@dayly"}, "cron", "`@dayly`", "did you mean `@daily`?"),
        ({"cron": "0 2 * *"}, "cron", "4 fields", "minute hour day month weekday"),
        ({"cron": ""}, "cron", "0 fields", "minute hour day month weekday"),
        ({"cron": "0 0 2 * * * 2026"}, "cron", "has a year", "`until`"),
        ({"cron": "CRON_TZ=UTC 0 2 * * *"}, "cron", "no variables", "timeZone"),
        ({"cron": "60 2 * * *"}, "cron", "`60` is no minute", "0-59"),
        ({"cron": "0 24 * * *"}, "cron", "`24` is no hour", "0-23"),
        ({"cron": "0 2 0 * *"}, "cron", "`0` is no day of the month", "1-31"),
        ({"cron": "0 2 * 13 *"}, "cron", "`13` is no month", "1-12"),
        ({"cron": "0 2 * * 8"}, "cron", "`8` is no day of the week", "0-7"),
        ({"cron": "0 2 * * fry"}, "cron", "`fry` is no day of the week", "did you mean `fri`?"),
        ({"cron": "0 2 * * tue#6"}, "cron", "`6` is no week of the month", "1-5"),
        ({"cron": "0 2 * * L"}, "cron", "`L` as a day of the week", "`5L`"),
        ({"cron": "0 2 32W * *"}, "cron", "`32` is no day of the month", "1-31"),
        ({"cron": "*/0 2 * * *"}, "cron", "`*/0` steps by nothing", "1 or more"),
        ({"cron": "50-10/5 2 * * *"}, "cron", "runs over the end", "two ranges"),
        ({"cron": "1,,2 2 * * *"}, "cron", "is no minute", "a list"),
        ({"cron": "1-2-3 2 * * *"}, "cron", "is no minute", "a range"),
        ({"cron": "-5 2 * * *"}, "cron", "is no minute", "a range"),
        ({"cron": "٣ 2 * * *"}, "cron", "is no minute", "a number"),
        ({"cron": 5}, "cron", "not a cron expression", "quotes"),
        ({"cron": "0 2 30 2 *"}, "cron", "never happens", "`L`"),
        ({"cron": "0 2 31 4,6,9,11 *"}, "cron", "never happens", "`L`"),
        ({"cron": "0 2 31W 2 *"}, "cron", "never happens", "`L`"),
        ({"every": "7m"}, "every", "does not divide 24 h", "`6m`"),
        ({"every": "25h"}, "every", "does not divide 24 h", "`1d`"),
        ({"every": "0s"}, "every", "does not divide 24 h", "`1s`"),
        ({"every": "0.5s"}, "every", "does not divide 24 h", "`1s`"),
        ({"every": "often"}, "every", "is not a duration", "`15m`"),
        (
            {"weekly": {"days": ["wednesday"], "times": ["02:00"]}},
            "weekly.days.0",
            "is not a day",
            "write `wed`",
        ),
        ({"weekly": {"days": ["mon", "mno"], "times": ["02:00"]}}, "weekly.days.1", "is not a day", "`mon`"),
        ({"weekly": {"days": "mon", "times": ["02:00"]}}, "weekly.days", "is a list", "[mon]"),
        ({"weekly": {"days": ["mon"]}}, "weekly.times", "names no time", "times:"),
        ({"weekly": {"times": ["2:00"]}}, "weekly.times.0", "is not a time", '"02:00"'),
        ({"weekly": {"times": ["02:00", "24:00"]}}, "weekly.times.1", "is not a time", '"23:59"'),
        ({"weekly": {"times": [120]}}, "weekly.times.0", "is not a time", "quotes"),
        ({"weekly": {"time": ["02:00"]}}, "weekly", "`time` is no field", "`times`"),
        ({"cron": "0 2 * * *", "timeZone": "Europe/Pari"}, "timeZone", "not a time zone", "`Europe/Paris`"),
        ({"cron": "0 2 * * *", "timeZone": "../etc"}, "timeZone", "not a time zone", "IANA"),
        ({"cron": "0 2 * * *", "dst": "twice"}, "dst", "`twice`", "once or skip or both"),
        ({"cron": "0 2 * * *", "catchUp": "first"}, "catchUp", "`first`", "latest or none or all"),
        ({"cron": "0 2 * * *", "jitter": "5"}, "jitter", "no unit", ""),
        ({"cron": "0 2 * * *", "jitter": "0.5s"}, "jitter", "whole number of seconds", ""),
        ({"cron": "0 2 * * *", "jitter": "367d"}, "jitter", "longer than a year", ""),
        ({"cron": "0 2 * * *", "from": "0001-01-01"}, "from", "not in our time", "1900"),
        ({"cron": "0 2 * * *", "until": "9999-12-31T23:59Z"}, "until", "not in our time", "2200"),
        ({"cron": "0 2 * * *", "startingDeadline": "soon"}, "startingDeadline", "not a duration", ""),
        ({"cron": "0 2 * * *", "from": "tomorrow"}, "from", "not a date", "2026-12-25"),
        ({"cron": "0 2 * * *", "from": "2026-12-01", "until": "2026-11-01"}, "until", "not later than", ""),
        ({"cron": "0 2 1 1 *", "from": "2026-02-01", "until": "2026-12-01"}, "until", "never happens", ""),
        (
            {"cron": "0 2 * * *", "calendars": {"skip": ["closure"]}},
            "calendars.skip.0",
            "no calendar",
            "`closures`",
        ),
        (
            {"cron": "0 2 * * *", "calendars": {"only": ["broken"]}},
            "calendars.only.0",
            "`broken`, dates.0",
            "2026",
        ),
        ({"cron": "0 2 * * *", "zone": "UTC"}, "zone", "no field of a schedule", ""),
        ({"cron": "0 2 * * *", "every": "1h"}, "", "exactly one of", ""),
        ({}, "", "exactly one of", ""),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place_and_what_to_write(
    spec: dict[str, Any], field: str, message: str, help_text: str
) -> None:
    calendars = {"closures": {"dates": ["2026-12-25"]}, "broken": {"dates": ["25 December"]}}
    with pytest.raises(ScheduleError) as caught:
        compile_schedule(spec, "UTC", calendars)
    assert caught.value.field == field
    assert message in caught.value.message
    assert help_text in caught.value.help


def test_the_zone_of_the_block_wins_over_the_one_around_it() -> None:
    assert runs(compile_schedule({"cron": "0 2 * * *"}, "Europe/Paris"), 1) == ["Wed 07-01 00:00:00"]
    own = compile_schedule({"cron": "0 2 * * *", "timeZone": "Asia/Kathmandu"}, "Europe/Paris")
    assert own.time_zone == "Asia/Kathmandu"
    assert runs(own, 1) == ["Wed 07-01 20:15:00"]


def test_bounds_that_are_bare_dates_include_both_days() -> None:
    schedule = compile_schedule(
        {"cron": "0 0,12 * * *", "from": "2026-07-02", "until": "2026-07-03"}, "Europe/Paris"
    )
    assert runs(schedule, 9) == [
        "Wed 07-01 22:00:00",
        "Thu 07-02 10:00:00",
        "Thu 07-02 22:00:00",
        "Fri 07-03 10:00:00",
    ]
    end = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
    assert schedule.last_until(end, 0) == int(datetime(2026, 7, 3, 10, tzinfo=UTC).timestamp())
    assert schedule.last_until(int(WEDNESDAY.timestamp()), 0) is None


def test_bounds_that_are_times_include_the_first_and_not_the_last_instant() -> None:
    local = {"from": "2026-07-01T02:00", "until": "2026-07-01T04:00"}
    assert runs(compile_schedule({"cron": "0 * * * *", **local}, "Europe/Paris"), 9) == [
        "Wed 07-01 00:00:00",
        "Wed 07-01 01:00:00",
    ]
    absolute = {"from": "2026-07-01T02:00Z", "until": "2026-07-01T04:00+00:00"}
    assert runs(compile_schedule({"cron": "0 * * * *", **absolute}, "Europe/Paris"), 9) == [
        "Wed 07-01 02:00:00",
        "Wed 07-01 03:00:00",
    ]


def test_policies_are_kept_for_those_who_decide() -> None:
    plain = compile_schedule({"cron": "0 2 * * *"}, "UTC")
    assert (plain.catch_up, plain.starting_deadline_seconds, plain.jitter_seconds("a")) == ("latest", None, 0)
    full = compile_schedule({"cron": "0 2 * * *", "catchUp": "all", "startingDeadline": "6h"}, "UTC")
    assert (full.catch_up, full.starting_deadline_seconds) == ("all", 21600)


def test_counting_stops_at_the_limit() -> None:
    schedule = compile_schedule({"every": "1h"}, "UTC")
    start = int(WEDNESDAY.timestamp())
    assert schedule.count(start, start + 86400, 100) == 24
    assert schedule.count(start, start + 86400, 10) == 10
    assert schedule.count(start, start, 10) == 0


def test_a_schedule_comes_to_its_end_after_many_centuries_without_an_error() -> None:
    schedule = compile_schedule({"cron": "0 0 29 2 *"}, "Europe/Paris")
    assert schedule.next_after(10**12) is None
    assert schedule.last_until(int(WEDNESDAY.timestamp()), -(10**11)) == int(
        datetime(2024, 2, 28, 23, tzinfo=UTC).timestamp()
    )
    assert schedule.next_after(240_000_000_000) is not None
    assert compile_schedule({"every": "1s"}, "UTC").next_after(249_999_999_999) is None


def test_the_tz_database_has_a_version_for_cache_keys() -> None:
    assert tzdata_version()
    assert tzdata_version() == tzdata_version()


FIELD = st.text("0123456789*/-,LW#?HmontuefrijacdT:. @", max_size=9)
VALUE = st.none() | st.integers() | st.text(max_size=20) | st.lists(st.text(max_size=6), max_size=3)


def compiled(spec: dict[str, Any], zone: str) -> CompiledSchedule | ScheduleError:
    try:
        return compile_schedule(spec, zone)
    except ScheduleError as error:
        return error


@settings(max_examples=300)
@given(st.lists(FIELD, min_size=4, max_size=7).map(" ".join))
def test_any_text_is_a_schedule_or_refused_as_one(text: str) -> None:
    found = compiled({"cron": text}, "Europe/Paris")
    if isinstance(found, ScheduleError):
        assert found.field == "cron"
        return
    slot = found.next_after(0)
    assert slot is not None
    assert found.last_until(slot, 0) == slot


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(
            ["every", "weekly", "timeZone", "jitter", "from", "until", "dst", "startingDeadline"]
        ),
        VALUE,
    )
)
def test_any_block_is_a_schedule_or_refused_as_one(spec: dict[str, Any]) -> None:
    found = compiled(spec, "UTC")
    assert not isinstance(found, ScheduleError) or found.message

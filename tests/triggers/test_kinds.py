"""Laws that every trigger kind keeps: whatever is found in the folder is tested, the next kind too."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.zones import Zone
from reconciler.triggers import CompiledSchedule, compile_schedule, trigger_kinds
from reconciler.triggers.schedule import Dst

EXAMPLES = [(key, value) for key, kind in sorted(trigger_kinds().items()) for value in kind.EXAMPLES]
ZONES = (
    *("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"),
    *("Africa/Casablanca", "America/Havana", "Asia/Gaza", "Europe/Dublin", "America/St_Johns"),
)
INSTANTS = st.integers(
    int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2101, 1, 1, tzinfo=UTC).timestamp())
)
# Most of what can go wrong lies within hours of a change of the clock.
CHANGES = [
    datetime(*parts, tzinfo=UTC)
    for parts in ((2011, 12, 30, 10), (2026, 3, 29, 1), (2026, 10, 25, 1), (2026, 3, 8, 5), (2026, 11, 1, 5))
]
NEAR_CHANGES = st.builds(
    lambda moment, seconds: int(moment.timestamp()) + seconds,
    st.sampled_from(CHANGES),
    st.integers(-9000, 9000),
)


@st.composite
def schedules(draw: st.DrawFn) -> CompiledSchedule:
    key, value = draw(st.sampled_from(EXAMPLES))
    dst = draw(st.sampled_from([dst.value for dst in Dst]))
    return compile_schedule({key: value, "dst": dst}, draw(st.sampled_from(ZONES)))


@given(schedules(), INSTANTS | NEAR_CHANGES, st.integers(0, 10**7))
def test_the_next_slot_is_later_and_never_moves_back_as_time_goes_on(
    schedule: CompiledSchedule, instant: int, later: int
) -> None:
    first = schedule.next_after(instant)
    second = schedule.next_after(instant + later)
    assert first is not None
    assert second is not None
    assert instant < first <= second


@given(schedules(), INSTANTS | NEAR_CHANGES)
def test_no_slot_lies_between_an_instant_and_the_slot_that_is_said_to_be_next(
    schedule: CompiledSchedule, instant: int
) -> None:
    slot = schedule.next_after(instant)
    assert slot is not None
    for between in {instant, (instant + slot) // 2, slot - 1}:
        assert schedule.next_after(between) == slot
        assert schedule.last_until(between, instant) is None


@given(schedules(), INSTANTS | NEAR_CHANGES)
def test_the_last_slot_and_the_next_slot_agree(schedule: CompiledSchedule, instant: int) -> None:
    last = schedule.last_until(instant, instant - 50 * 366 * 86400)
    assert last is not None
    following = schedule.next_after(last)
    assert following is not None
    assert last <= instant < following
    assert schedule.last_until(following, last) == following
    assert schedule.last_until(following - 1, last) is None
    assert schedule.next_after(last - 1) == last


@given(schedules(), NEAR_CHANGES)
def test_going_back_meets_the_same_slots_as_going_forth(schedule: CompiledSchedule, instant: int) -> None:
    forth: list[int] = []
    slot = schedule.next_after(instant)
    while slot is not None and slot <= instant + 7200 and len(forth) < 20:
        forth.append(slot)
        slot = schedule.next_after(slot)
    assert schedule.count(instant, forth[-1] if forth else instant + 7200, 20) == len(forth)
    back: list[int] = []
    slot = forth[-1] if forth else None
    while slot is not None:
        back.append(slot)
        slot = schedule.last_until(slot - 1, instant)
    assert back == forth[::-1]


@given(schedules(), INSTANTS, st.integers(1, 400 * 86400))
def test_bounds_leave_the_slots_between_them_as_they_are(
    schedule: CompiledSchedule, start: int, length: int
) -> None:
    bounded = CompiledSchedule(
        schedule.pattern, schedule.zone, schedule.dst, from_instant=start, until_instant=start + length
    )
    first = schedule.next_after(start - 1)
    inside = first is not None and first < start + length
    assert bounded.next_after(start - 10**8) == (first if inside else None)
    last = schedule.last_until(start + length - 1, start - 1)
    assert bounded.last_until(start + 10**9, start - 10**8) == last


@given(st.from_regex(r"[a-z]{1,9}(@[a-z]{1,9})?", fullmatch=True), st.sampled_from(["1s", "5m", "2h"]))
def test_jitter_is_within_bounds_and_always_the_same_for_one_target(target: str, jitter: str) -> None:
    schedule = compile_schedule({"cron": "0 2 * * *", "jitter": jitter}, "UTC")
    again = compile_schedule({"every": "1h", "jitter": jitter}, "Europe/Paris")
    assert 0 <= schedule.jitter_seconds(target) <= schedule.jitter
    assert schedule.jitter_seconds(target) == again.jitter_seconds(target)


def test_jitter_spreads_targets_evenly() -> None:
    schedule = compile_schedule({"cron": "0 2 * * *", "jitter": "59s"}, "UTC")
    counts = [0] * 60
    for number in range(6000):
        counts[schedule.jitter_seconds(f"job@{number}.example")] += 1
    assert min(counts) > 60
    assert max(counts) < 140


@pytest.mark.parametrize(("key", "value"), EXAMPLES)
def test_every_example_says_in_a_few_words_what_it_is(key: str, value: Any) -> None:
    text = compile_schedule({key: value}, "UTC").text
    assert text
    assert len(text) < 60
    assert "\n" not in text


class _Rule(tzinfo):
    """A zone an hour east of UTC that goes over to summer time once, at an instant that an update may move."""

    def __init__(self, change: datetime) -> None:
        self.change = change

    def utcoffset(self, moment: datetime | None) -> timedelta:
        assert moment is not None
        wall = moment.replace(tzinfo=None)
        return timedelta(hours=2 if wall - timedelta(hours=1) >= self.change.replace(tzinfo=None) else 1)

    def fromutc(self, moment: datetime) -> datetime:
        return moment + timedelta(hours=2 if moment.replace(tzinfo=UTC) >= self.change else 1)

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, moment: datetime | None) -> str:
        return "TEST"


def _walls(schedule: CompiledSchedule, first_day: datetime) -> list[int]:
    """The wall times of the slots of one week, at most 50."""
    walls: list[int] = []
    slot = schedule.next_after(
        int(first_day.timestamp()) - schedule.zone.segment(int(first_day.timestamp())).offset
    )
    while slot is not None and slot < (first_day + timedelta(days=7)).timestamp() and len(walls) < 50:
        walls.append(schedule.zone.wall(slot))
        slot = schedule.next_after(slot)
    return walls


@pytest.mark.parametrize(("key", "value"), EXAMPLES)
def test_a_tzdata_update_keeps_wall_times_and_moves_only_what_lies_between_the_rules(
    key: str, value: Any
) -> None:
    pattern = trigger_kinds()[key].compile(value)
    old_change, new_change = datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 4, 26, 1, tzinfo=UTC)
    old = CompiledSchedule(pattern, Zone("Test", _Rule(old_change)), Dst.ONCE)
    new = CompiledSchedule(pattern, Zone("Test", _Rule(new_change)), Dst.ONCE)
    for day, moved in ((15, False), (31, True), (68, False)):
        week = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day)
        assert _walls(old, week)[:-1] == _walls(new, week)[: len(_walls(old, week)) - 1]
        first, second = (
            old.next_after(int(week.timestamp())),
            new.next_after(int(week.timestamp()) + 3600 * moved),
        )
        assert first is not None
        assert second is not None
        if first < (week + timedelta(days=7)).timestamp():
            assert second - first == 3600 * moved


def test_the_folder_is_the_list_of_kinds() -> None:
    assert sorted(trigger_kinds()) == ["cron", "every", "weekly"]


def test_croniter_is_imported_only_when_a_cron_expression_is_compiled() -> None:
    program = """
import sys
from reconciler.triggers import compile_schedule, trigger_kinds, tzdata_version
trigger_kinds(), tzdata_version()
compile_schedule({"every": "15m", "calendars": {"skip": ["c"]}}, "Europe/Paris", {"c": {"dates": ["2026-12-25"]}})
assert not {"croniter", "dateutil", "pydantic"} & set(sys.modules), "too early"
compile_schedule({"cron": "0 2 * * *"}, "Europe/Paris")
assert "croniter" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)

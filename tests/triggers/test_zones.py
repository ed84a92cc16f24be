"""The tables of offsets agree with the tz database, for every zone."""

from __future__ import annotations

import random
import zoneinfo
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from reconciler.core.zones import wall_moment, wall_seconds, zone
from tests.triggers.walk import utc

NAMED = (
    *("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"),
    *("Africa/Casablanca", "America/Havana", "Asia/Gaza", "Europe/Dublin", "Antarctica/Troll", "UTC"),
)


def _agrees(name: str, start: datetime, end: datetime, step: timedelta) -> None:
    table, tz = zone(name), ZoneInfo(name)
    moment = start
    while moment < end:
        wall = moment.astimezone(tz).replace(tzinfo=None)
        assert wall_moment(table.wall(int(moment.timestamp()))) == wall, f"{name} at {moment}"
        moment += step


@pytest.mark.parametrize("name", NAMED)
def test_wall_times_are_those_of_zoneinfo(name: str) -> None:
    _agrees(name, utc(1970, 1, 1), utc(2101, 1, 1), timedelta(days=9, minutes=7))


@pytest.mark.full
def test_wall_times_of_every_zone_are_those_of_zoneinfo() -> None:
    for name in sorted(zoneinfo.available_timezones()):
        _agrees(
            name,
            utc(1970, 1, 1),
            utc(2040, 1, 1),
            timedelta(hours=random.Random(name).randint(250, 350), minutes=7),
        )


@pytest.mark.parametrize("name", NAMED)
def test_segments_follow_each_other_and_say_what_was_seen_before(name: str) -> None:
    table = zone(name)
    at, end = int(utc(2009, 1, 1).timestamp()), int(utc(2029, 1, 1).timestamp())
    previous = table.segment(at)
    latest = previous.seen
    while at < end:
        segment = table.segment(at)
        assert segment.start <= at < segment.end
        latest = max(latest, previous.end - 1 + previous.offset) if segment is not previous else latest
        assert segment.seen == latest
        previous = segment
        at = segment.end
        assert table.segment(at).start == at


@pytest.mark.parametrize("name", NAMED)
def test_an_instant_found_from_its_wall_time_is_the_first_that_shows_it_or_later(name: str) -> None:
    table, tz = zone(name), ZoneInfo(name)
    chance = random.Random(name)
    near = [
        utc(2011, 12, 30, 10),
        utc(2026, 3, 29, 1),
        utc(2026, 10, 25, 1),
        utc(2026, 3, 8, 5),
        utc(2026, 11, 1, 5),
    ]
    for _ in range(300):
        moment = chance.choice(near) + timedelta(seconds=chance.randint(-90000, 90000))
        wall = moment.astimezone(tz).replace(tzinfo=None)
        found = table.instant_of(wall_seconds(wall))
        assert found <= moment.timestamp()
        assert table.wall(found) == wall_seconds(wall)
        # A gap's wall time is found at the gap's end.
        missing = wall + timedelta(hours=1)
        later = table.instant_of(wall_seconds(missing))
        assert table.wall(later) >= wall_seconds(missing)
        assert table.wall(later - 1) < wall_seconds(missing)


@pytest.mark.parametrize("name", ["Europe/Nowhere", "", "../../etc/passwd", "/etc/localtime", "Europe"])
def test_a_name_that_is_no_zone_is_an_error(name: str) -> None:
    with pytest.raises(KeyError):
        zone(name)


def test_a_zone_answers_for_times_before_1970() -> None:
    moment = datetime(1901, 5, 1, tzinfo=UTC)
    local = moment.astimezone(ZoneInfo("America/New_York")).replace(tzinfo=None)
    assert wall_moment(zone("America/New_York").wall(int(moment.timestamp()))) == local

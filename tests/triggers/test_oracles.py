"""Slots agree with judges that share no code with them: a minute walk, cronsim, and systemd."""

from __future__ import annotations

import functools
import random
import subprocess
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from reconciler.triggers import CompiledSchedule, compile_schedule
from tests.triggers import walk
from tests.triggers.walk import utc

pytestmark = pytest.mark.full

CHANGES = {
    "Europe/Paris in spring": ("Europe/Paris", utc(2026, 3, 29, 1)),
    "Europe/Paris in autumn": ("Europe/Paris", utc(2026, 10, 25, 1)),
    "America/New_York in spring": ("America/New_York", utc(2026, 3, 8, 7)),
    "America/New_York in autumn": ("America/New_York", utc(2026, 11, 1, 6)),
    "Lord Howe goes back by half an hour": ("Australia/Lord_Howe", utc(2026, 4, 4, 15)),
    "Lord Howe goes forward by half an hour": ("Australia/Lord_Howe", utc(2026, 10, 3, 15, 30)),
    "Kathmandu moves by a quarter of an hour": ("Asia/Kathmandu", utc(1985, 12, 31, 18, 30)),
    "Apia leaves out a day": ("Pacific/Apia", utc(2011, 12, 30, 10)),
    "Casablanca when Ramadan begins": ("Africa/Casablanca", utc(2026, 2, 15, 2)),
    "Casablanca when Ramadan ends": ("Africa/Casablanca", utc(2026, 3, 22, 2)),
    "Havana leaves out midnight": ("America/Havana", utc(2026, 3, 8, 5)),
    "Havana repeats midnight": ("America/Havana", utc(2026, 11, 1, 5)),
    "Gaza in spring": ("Asia/Gaza", utc(2026, 3, 28, 0)),
    "Gaza in autumn": ("Asia/Gaza", utc(2026, 10, 23, 23)),
    "Dublin's negative summer time": ("Europe/Dublin", utc(2026, 10, 25, 1)),
    "a year's end": ("Europe/Paris", utc(2099, 12, 31, 23)),
    "a leap day": ("Europe/Paris", utc(2096, 2, 28, 23)),
    "the leap day that 2100 has not": ("America/New_York", utc(2100, 3, 1, 5)),
}
EXPRESSIONS = (
    *("30 2 * * *", "0 2 * * *", "0 3 * * *", "15,45 1,2,3 * * *", "0 0 * * *", "30 0 * * *", "59 23 * * *"),
    *(
        "* * * * *",
        "*/15 * * * *",
        "30 * * * *",
        "*/20 2 * * *",
        "0 */2 * * *",
        "10 */3 * * *",
        "0-59/7 2 * * *",
    ),
    *("0 2 * * sun", "30 2 * * 7", "30 0 1 * *", "0 0 30 * *", "45 1 29 2 *", "30 2 29 3 *", "0 12 L * *"),
    *("5 2 */2 * *", "5 2 */2 * sun", "5 2 28-31 * 1-5", "5 2 1,29 * sat", "5 2 LW * *", "5 2 L-2 * *"),
    *(
        "5 2 1W * *",
        "5 2 28W * *",
        "5 2 * * 0L",
        "5 2 * * sun#2",
        "5 2 * 2,3,10-12 *",
        "5 2 * * 4-4",
        "5 2 * * sat,sun",
    ),
)


def slots_between(schedule: CompiledSchedule, start: datetime, end: datetime) -> list[int]:
    found: list[int] = []
    slot = schedule.next_after(int(start.timestamp()) - 1)
    while slot is not None and slot < end.timestamp():
        found.append(slot)
        slot = schedule.next_after(slot)
    return found


def first_slots(schedule: CompiledSchedule, start: datetime, count: int) -> list[int]:
    found: list[int] = []
    slot = schedule.next_after(int(start.timestamp()))
    while slot is not None and len(found) < count:
        found.append(slot)
        slot = schedule.next_after(slot)
    return found


@functools.cache
def _looks(zone: str, start: datetime, end: datetime) -> list[walk.Look]:
    return list(walk.looks(zone, start, end))


def _agrees_with_the_walk(text: str, zone: str, start: datetime, end: datetime) -> None:
    seen = _looks(zone, start, end)
    for dst in ("once", "skip", "both"):
        schedule = compile_schedule({"cron": text, "dst": dst}, zone)
        expected = walk.slots(text, seen, dst)
        assert slots_between(schedule, start, end) == expected, f"{text} in {zone} under dst: {dst}"
        assert [at for at in expected if schedule.last_until(at, at - 1) != at] == [], (
            f"{text} in {zone} under dst: {dst}, backwards"
        )


@pytest.mark.parametrize("change", CHANGES)
def test_slots_around_a_clock_change_are_those_of_a_minute_walk(change: str) -> None:
    zone, moment = CHANGES[change]
    for text in EXPRESSIONS:
        _agrees_with_the_walk(text, zone, moment - timedelta(hours=9), moment + timedelta(hours=9))


@pytest.mark.full
@pytest.mark.parametrize("zone", sorted({zone for zone, _ in CHANGES.values()}))
def test_slots_of_sampled_months_until_2100_are_those_of_a_minute_walk(zone: str) -> None:
    chance = random.Random(zone)
    for _ in range(4):
        start = utc(chance.randint(2000, 2100), chance.randint(1, 12), chance.randint(1, 28))
        for text in chance.sample(EXPRESSIONS, 8):
            _agrees_with_the_walk(text, zone, start, start + timedelta(days=40))


def _random_field(chance: random.Random, low: int, high: int) -> str:
    def item() -> str:
        # cronsim reads `10-10/4` as `10/4`, so that a stepped range has to be a real one.
        first, last = sorted(chance.sample(range(low, high + 1), 2))
        step = chance.randint(2, 9)
        return chance.choice(
            [
                f"{first}",
                f"{first}",
                f"{first}-{last}",
                f"{first}-{last}/{step}",
                f"{first}-{first}",
                "*",
                f"*/{step}",
            ]
        )

    return ",".join(item() for _ in range(chance.choice([1, 1, 1, 2])))


def _random_expression(chance: random.Random) -> str:
    bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    starred = (0.2, 0.3, 0.5, 0.7, 0.6)
    return " ".join(
        "*" if chance.random() < share else _random_field(chance, *bound)
        for bound, share in zip(bounds, starred, strict=True)
    )


# Lord Howe is missing: cronsim is wrong about half-hour changes.
CRONSIM_ZONES = ("Europe/Paris", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca")
CRONSIM_ZONES += ("America/Havana", "Asia/Gaza")


def _agrees_with_cronsim(zone: str, text: str, start: datetime) -> None:
    schedule = compile_schedule({"cron": text}, zone)
    theirs: list[int] = []
    for moment in CronSim(text, start.astimezone(ZoneInfo(zone))):
        instant = int(moment.timestamp())
        # Two times in one gap are one instant; cronsim says it twice.
        if not theirs or instant != theirs[-1]:
            theirs.append(instant)
        if len(theirs) == 60:
            break
    assert first_slots(schedule, start, len(theirs)) == theirs, f"{text} in {zone} from {start}"


@pytest.mark.parametrize("zone", CRONSIM_ZONES)
def test_random_expressions_have_the_slots_that_cronsim_gives_them(zone: str) -> None:
    chance = random.Random(f"{zone} 1")
    for _ in range(40):
        start = utc(chance.randint(2000, 2100), chance.randint(1, 12), chance.randint(1, 28), 12)
        _agrees_with_cronsim(zone, _random_expression(chance), start)


@pytest.mark.full
@pytest.mark.parametrize("zone", CRONSIM_ZONES)
def test_many_random_expressions_have_the_slots_that_cronsim_gives_them(zone: str) -> None:
    chance = random.Random(f"{zone} 2")
    for _ in range(500):
        start = utc(chance.randint(2000, 2100), chance.randint(1, 12), chance.randint(1, 28), 12)
        _agrees_with_cronsim(zone, _random_expression(chance), start)


ON_CALENDAR = {
    "30 2 * * *": "*-*-* 02:30:00",
    "0 * * * *": "*-*-* *:00:00",
    "*/15 * * * *": "*-*-* *:00/15:00",
    "0 2 * * 1-5": "Mon..Fri *-*-* 02:00:00",
    "45 1,2,3 * * *": "*-*-* 01,02,03:45:00",
    "0 0 1 * *": "*-*-01 00:00:00",
    "0 0 29 2 *": "*-02-29 00:00:00",
    "*/10 30 2 * * *": "*-*-* 02:30:00/10",
}


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(
    "zone", ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Havana"]
)
@pytest.mark.parametrize("start", [utc(2026, 3, 28, 12), utc(2026, 10, 24, 12)], ids=["March", "October"])
def test_dst_skip_has_the_slots_that_systemd_gives_them(start: datetime, zone: str) -> None:
    answer = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=30", f"--base-time={start:%Y-%m-%d %H:%M:%S} UTC"]
        + [f"{spec} {zone}" for spec in ON_CALENDAR.values()],
        env={"TZ": "UTC", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    answers = answer.stdout.split("Normalized form")[1:]
    for text, theirs in zip(ON_CALENDAR, answers, strict=True):
        lines = [line.rsplit(": ", 1)[1] for line in theirs.splitlines() if line.endswith(" UTC")]
        expected = [datetime.strptime(at, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC) for at in lines]
        assert len(expected) == 30
        schedule = compile_schedule({"cron": text, "dst": "skip"}, zone)
        assert first_slots(schedule, start, 30) == [int(at.timestamp()) for at in expected], (
            f"{text} in {zone}"
        )

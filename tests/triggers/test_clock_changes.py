"""What users see on the day of a clock change: golden tables of `dst`, and the words for it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from reconciler.triggers import compile_schedule

# (zone, day, which jobs): rule -> the runs of that day, as the zone's clock shows them.
GAPS = {
    ("Europe/Paris", "2026-03-29", "30 2 * * *"): {
        "once": "03:00+02:00",
        "skip": "",
        "both": "03:00+02:00",
    },
    ("Europe/Paris", "2026-03-29", "*/30 1-3 * * *"): {
        "once": "01:00+01:00 01:30+01:00 03:00+02:00 03:30+02:00",
        "skip": "01:00+01:00 01:30+01:00 03:00+02:00 03:30+02:00",
        "both": "01:00+01:00 01:30+01:00 03:00+02:00 03:30+02:00",
    },
    ("Europe/Paris", "2026-03-29", "0 2,3 * * *"): {
        "once": "03:00+02:00",
        "skip": "03:00+02:00",
        "both": "03:00+02:00",
    },
    ("America/New_York", "2026-03-08", "15,45 2 * * *"): {
        "once": "03:00-04:00",
        "skip": "",
        "both": "03:00-04:00",
    },
    ("America/New_York", "2026-03-08", "45 * * * *"): {
        "once": " ".join(f"{hour:02}:45-0{5 if hour < 2 else 4}:00" for hour in range(24) if hour != 2),
        "skip": " ".join(f"{hour:02}:45-0{5 if hour < 2 else 4}:00" for hour in range(24) if hour != 2),
        "both": " ".join(f"{hour:02}:45-0{5 if hour < 2 else 4}:00" for hour in range(24) if hour != 2),
    },
    ("Australia/Lord_Howe", "2026-10-04", "15 2 * * *"): {
        "once": "02:30+11:00",
        "skip": "",
        "both": "02:30+11:00",
    },
    ("Australia/Lord_Howe", "2026-10-04", "*/15 2 * * *"): {
        "once": "02:30+11:00 02:45+11:00",
        "skip": "02:30+11:00 02:45+11:00",
        "both": "02:30+11:00 02:45+11:00",
    },
    ("America/Havana", "2026-03-08", "0 0 * * *"): {
        "once": "01:00-04:00",
        "skip": "",
        "both": "01:00-04:00",
    },
    ("America/Havana", "2026-03-08", "*/20 0 * * *"): {"once": "", "skip": "", "both": ""},
    # The 30th of December 2011 never came: its run is the first of the 31st, which then has its own.
    ("Pacific/Apia", "2011-12-31", "0 2 * * *"): {
        "once": "00:00+14:00 02:00+14:00",
        "skip": "02:00+14:00",
        "both": "00:00+14:00 02:00+14:00",
    },
    ("Pacific/Apia", "2011-12-31", "0 */12 * * *"): {
        "once": "00:00+14:00 12:00+14:00",
        "skip": "00:00+14:00 12:00+14:00",
        "both": "00:00+14:00 12:00+14:00",
    },
}
REPEATS = {
    ("Europe/Paris", "2026-10-25", "30 2 * * *"): {
        "once": "02:30+02:00",
        "skip": "02:30+02:00",
        "both": "02:30+02:00 02:30+01:00",
    },
    ("Europe/Paris", "2026-10-25", "*/30 2 * * *"): {
        "once": "02:00+02:00 02:30+02:00 02:00+01:00 02:30+01:00",
        "skip": "02:00+02:00 02:30+02:00",
        "both": "02:00+02:00 02:30+02:00 02:00+01:00 02:30+01:00",
    },
    ("America/New_York", "2026-11-01", "59 0,1,2 * * *"): {
        "once": "00:59-04:00 01:59-04:00 02:59-05:00",
        "skip": "00:59-04:00 01:59-04:00 02:59-05:00",
        "both": "00:59-04:00 01:59-04:00 01:59-05:00 02:59-05:00",
    },
    ("Australia/Lord_Howe", "2026-04-05", "30,45 1 * * *"): {
        "once": "01:30+11:00 01:45+11:00",
        "skip": "01:30+11:00 01:45+11:00",
        "both": "01:30+11:00 01:45+11:00 01:30+10:30 01:45+10:30",
    },
    ("Australia/Lord_Howe", "2026-04-05", "*/15 1 * * *"): {
        "once": "01:00+11:00 01:15+11:00 01:30+11:00 01:45+11:00 01:30+10:30 01:45+10:30",
        "skip": "01:00+11:00 01:15+11:00 01:30+11:00 01:45+11:00",
        "both": "01:00+11:00 01:15+11:00 01:30+11:00 01:45+11:00 01:30+10:30 01:45+10:30",
    },
    ("America/Havana", "2026-11-01", "0 0 * * *"): {
        "once": "00:00-04:00",
        "skip": "00:00-04:00",
        "both": "00:00-04:00 00:00-05:00",
    },
    ("America/Havana", "2026-11-01", "0 0-1 * * sun"): {
        "once": "00:00-04:00 01:00-05:00",
        "skip": "00:00-04:00 01:00-05:00",
        "both": "00:00-04:00 00:00-05:00 01:00-05:00",
    },
}


def _runs_of(zone: str, day: str, cron: str, dst: str) -> str:
    schedule = compile_schedule({"cron": cron, "dst": dst}, zone)
    runs: list[str] = []
    slot = schedule.next_after(int(datetime.fromisoformat(f"{day}T00:00Z").timestamp()) - 86400)
    while slot is not None:
        local = datetime.fromtimestamp(slot, UTC).astimezone(ZoneInfo(zone))
        if local.date().isoformat() > day:
            break
        if local.date().isoformat() == day:
            runs.append(local.isoformat(timespec="minutes").split("T")[1])
        slot = schedule.next_after(slot)
    return " ".join(runs)


@pytest.mark.parametrize("dst", ["once", "skip", "both"])
@pytest.mark.parametrize(("zone", "day", "cron"), [*GAPS, *REPEATS])
def test_the_day_of_a_clock_change_has_the_runs_of_the_table(
    zone: str, day: str, cron: str, dst: str
) -> None:
    assert _runs_of(zone, day, cron, dst) == {**GAPS, **REPEATS}[zone, day, cron][dst]


@pytest.mark.parametrize("zone", ["Europe/Paris", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia"])
@pytest.mark.parametrize(
    ("every", "cron"), [("15m", "*/15 * * * *"), ("6h", "0 */6 * * *"), ("20s", "*/20 * * * * *")]
)
def test_every_follows_the_clock_like_a_starred_step(every: str, cron: str, zone: str) -> None:
    steps, starred = compile_schedule({"every": every}, zone), compile_schedule({"cron": cron}, zone)
    for moment in ("2011-12-30T05:00Z", "2026-03-07T20:00Z", "2026-04-04T13:00Z", "2026-10-25T00:00Z"):
        slot: int | None = int(datetime.fromisoformat(moment).timestamp())
        for _ in range(150):
            assert slot is not None
            following = steps.next_after(slot)
            assert following == starred.next_after(slot)
            slot = following


@pytest.mark.parametrize(
    ("spec", "day", "notes"),
    [
        ({"weekly": {"times": ["02:30"]}}, "2026-03-28", [()]),
        ({"weekly": {"times": ["02:30"]}}, "2026-03-29", [("DST gap: 03:00 instead of 02:30",)]),
        (
            {"weekly": {"times": ["02:10", "02:20", "03:00"]}},
            "2026-03-29",
            [("DST gap: 03:00 instead of 02:10, 02:20",)],
        ),
        ({"cron": "*/30 2 * * *", "dst": "skip"}, "2026-03-30", [(), ()]),
        ({"cron": "30 2 * * *"}, "2026-10-25", [("DST repeat: first pass",)]),
        (
            {"cron": "30 2 * * *", "dst": "both"},
            "2026-10-25",
            [("DST repeat: first pass",), ("DST repeat: second pass",)],
        ),
        ({"cron": "30 3 * * *"}, "2026-10-25", [()]),
    ],
)
def test_a_slot_that_a_clock_change_touches_says_so(
    spec: dict[str, object], day: str, notes: list[tuple[str, ...]]
) -> None:
    schedule = compile_schedule(spec, "Europe/Paris")
    midnight = int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Paris")).timestamp())
    found: list[tuple[str, ...]] = []
    slot = schedule.next_after(midnight)
    while slot is not None and slot < midnight + 82800:
        found.append(schedule.notes(slot))
        slot = schedule.next_after(slot)
    assert found == notes


def test_a_slot_with_jitter_says_how_much_for_the_target() -> None:
    schedule = compile_schedule({"cron": "0 2 * * *", "jitter": "5m"}, "UTC")
    slot = schedule.next_after(0)
    assert slot is not None
    assert schedule.notes(slot) == ()
    assert schedule.notes(slot, "backup@example.org") == ("jitter +1m10s",)


def test_times_that_the_clock_leaves_out_are_listed_only_where_they_are_lost() -> None:
    start, end = (int(datetime(2026, month, 1, tzinfo=UTC).timestamp()) for month in (3, 5))
    change = int(datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp())
    lost = compile_schedule({"weekly": {"times": ["02:30"]}, "dst": "skip"}, "Europe/Paris")
    several = compile_schedule({"weekly": {"times": ["02:30", "02:45"]}, "dst": "skip"}, "Europe/Paris")
    moved = compile_schedule({"weekly": {"times": ["02:30"]}}, "Europe/Paris")
    assert list(lost.gaps(start, end)) == [(change, "DST gap: 02:30 does not exist")]
    assert list(several.gaps(start, end)) == [(change, "DST gap: 02:30 and 1 more do not exist")]
    assert list(moved.gaps(start, end)) == []
    assert list(lost.gaps(change, end)) == []
    assert list(lost.gaps(start, change - 1)) == []

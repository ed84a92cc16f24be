"""When the window of automatic runs is open, on a clock that changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.plan import Window
from reconciler.core.window import is_open, opens_after

NIGHT = Window(22 * 60, 6 * 60, "Europe/Paris")
NOON = Window(12 * 60, 14 * 60, "Europe/Paris")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        (NOON, "2026-07-01T11:59:59+02:00", False),
        (NOON, "2026-07-01T12:00:00+02:00", True),
        (NOON, "2026-07-01T13:59:59+02:00", True),
        (NOON, "2026-07-01T14:00:00+02:00", False),
        (NIGHT, "2026-07-01T21:59:59+02:00", False),
        (NIGHT, "2026-07-01T23:00:00+02:00", True),
        (NIGHT, "2026-07-01T05:59:59+02:00", True),
        (NIGHT, "2026-07-01T06:00:00+02:00", False),
        (Window(480, 480, "UTC"), "2026-07-01T03:00:00+00:00", True),
    ],
)
def test_a_window_is_open_from_its_first_minute_until_before_its_last(
    window: Window, moment: str, expected: bool
) -> None:
    assert is_open(window, at(moment)) is expected


@pytest.mark.parametrize(
    ("window", "moment", "opens"),
    [
        (NOON, "2026-07-01T09:00:00+02:00", "2026-07-01T12:00:00+02:00"),
        (NOON, "2026-07-01T12:30:15+02:00", "2026-07-01T12:30:15+02:00"),
        (NOON, "2026-07-01T14:00:00+02:00", "2026-07-02T12:00:00+02:00"),
        (NIGHT, "2026-07-01T06:00:00+02:00", "2026-07-01T22:00:00+02:00"),
        # 02:30 does not exist that night: the gap's end opens the window.
        (Window(150, 240, "Europe/Paris"), "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"),
        # The whole window does not exist that night.
        (Window(120, 180, "Europe/Paris"), "2026-03-29T01:00:00+01:00", "2026-03-30T02:00:00+02:00"),
        # The window comes twice; between the two passes it was closed for a while.
        (Window(120, 150, "Europe/Paris"), "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00"),
    ],
)
def test_a_held_criterion_waits_for_the_next_opening(window: Window, moment: str, opens: str) -> None:
    assert opens_after(window, at(moment)) == at(opens)


@pytest.mark.parametrize("zone", ["America/Havana", "Australia/Lord_Howe", "Pacific/Apia"])
def test_the_opening_is_the_first_open_moment(zone: str) -> None:
    window = Window(0, 45, zone)
    for start in (
        datetime(2011, 12, 29, tzinfo=UTC),
        datetime(2026, 3, 7, tzinfo=UTC),
        datetime(2026, 10, 31, tzinfo=UTC),
    ):
        for hours in range(0, 72, 5):
            moment = start + timedelta(hours=hours)
            opening = opens_after(window, moment)
            assert opening >= moment
            assert is_open(window, opening)
            minutes = int((opening - moment).total_seconds() // 60)
            assert not any(
                is_open(window, moment + timedelta(minutes=minute)) for minute in range(0, minutes, 5)
            )

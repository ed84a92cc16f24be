"""The hours of the day in which automatic runs may start, on a zone's own clock."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.core.plan import Window
from reconciler.core.zones import DAY, instant_seconds, zone


def is_open(window: Window, at: datetime) -> bool:
    """Whether the window is open: from its first minute until just before its last, also over midnight.

    A window whose ends are the same minute is always open.
    """
    return _shows(window, zone(window.time_zone).wall(instant_seconds(at)))


def opens_after(window: Window, at: datetime) -> datetime:
    """The first moment from `at` on when the window is open: `at` itself when it is open already.

    Where the clock jumps over the opening, the gap's end opens the window, unless all of it is jumped over.
    """
    if is_open(window, at):
        return at
    clock = zone(window.time_zone)
    instant = instant_seconds(at)
    while True:
        segment = clock.segment(instant)
        wall = instant + segment.offset
        if _shows(window, wall):
            return datetime.fromtimestamp(instant, UTC)
        opening = instant + (window.from_minute * 60 - wall) % DAY
        instant = min(opening, segment.end)


def _shows(window: Window, wall: int) -> bool:
    minute = wall // 60 % 1440
    if window.from_minute < window.to_minute:
        return window.from_minute <= minute < window.to_minute
    return minute >= window.from_minute or minute < window.to_minute

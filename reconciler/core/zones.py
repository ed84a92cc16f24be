"""Time zones as integer arithmetic: which offset holds at an instant, and which wall time it shows.

Wall times are counted like instants, in seconds since 1970-01-01T00:00, but on the zone's own clock.
"""

from __future__ import annotations

import functools
import math
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY: Final = 86400
EPOCH_ORDINAL: Final = 719163
"""The proleptic Gregorian ordinal of 1970-01-01."""

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2200
"""The years that a document may name."""

_CHUNK_BITS: Final = 25
_LOOK_BACK: Final = 3 * DAY
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall time


class Segment(NamedTuple):
    """A stretch [start, end) of instants with one UTC offset.

    `seen` is the latest wall time shown before `start`. When the clock goes forward, the wall times between
    `seen` and `start + offset` do not exist; when it goes back, those from `start + offset` to `seen` are
    shown again. Some boundaries only bound our tables; there the wall time goes on without a break.
    """

    start: int
    end: int
    offset: int
    seen: int


class Zone:
    """The offsets of one zone, found by bisection over its tzinfo and kept, about a year at a time."""

    __slots__ = ("_chunks", "_tz", "name")

    def __init__(self, name: str, tz: tzinfo) -> None:
        self.name = name
        self._tz = tz
        self._chunks: dict[int, tuple[Segment, ...]] = {}

    def segment(self, instant: int) -> Segment:
        """The segment that contains `instant`."""
        number = instant >> _CHUNK_BITS
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._chunks[number] = self._survey(number << _CHUNK_BITS, (number + 1) << _CHUNK_BITS)
        for segment in chunk:
            if instant < segment.end:
                return segment
        raise AssertionError("segments cover their chunk")

    def wall(self, instant: int) -> int:
        """The wall time that the zone's clock shows at `instant`."""
        return instant + self.segment(instant).offset

    def instant_of(self, wall: int) -> int:
        """The first instant at which the zone's clock shows `wall` or later: in a gap, its end."""
        instant = wall - DAY - DAY
        while True:
            segment = self.segment(instant)
            if wall < segment.end + segment.offset:
                return max(wall - segment.offset, segment.start)
            instant = segment.end

    def local(self, instant: int) -> datetime:
        """The same moment as an aware datetime of this zone."""
        return datetime.fromtimestamp(instant, UTC).astimezone(self._tz)

    def _offset(self, instant: int) -> int:
        offset = datetime.fromtimestamp(instant, self._tz).utcoffset()
        return int((offset or timedelta(0)).total_seconds())

    def _survey(self, start: int, end: int) -> tuple[Segment, ...]:
        """Find the segments of [start, end). One look a day finds all: no zone changes twice in one."""
        since = start - _LOOK_BACK
        offset = self._offset(since)
        seen = since + offset - 1
        segments: list[Segment] = []
        for low in range(since, end, DAY):
            high = min(low + DAY, end)
            later = self._offset(high)
            if later == offset and high < end:
                continue
            change = high if later == offset else self._bisect(low, high, offset)
            if change > start:
                begin = max(since, start)
                segments.append(
                    Segment(begin, change, offset, max(seen, begin - 1 + offset) if begin > since else seen)
                )
            seen = max(seen, change - 1 + offset)
            since, offset = change, later
        if since < end:
            segments.append(Segment(since, end, offset, seen))
        return tuple(segments)

    def _bisect(self, low: int, high: int, offset: int) -> int:
        """The first instant in (low, high] where `offset` no longer holds."""
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == offset:
                low = middle
            else:
                high = middle
        return high


@functools.cache
def zone(name: str) -> Zone:
    """The table of an IANA zone; raise KeyError for a name that the tz database does not know."""
    try:
        return Zone(name, ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise KeyError(name) from error


def instant_seconds(moment: datetime) -> int:
    """An aware datetime as whole epoch seconds, rounded down."""
    return math.floor(moment.timestamp())


def wall_seconds(moment: datetime) -> int:
    """A naive datetime as a wall time."""
    return (moment.replace(microsecond=0) - _EPOCH) // timedelta(seconds=1)


def wall_text(wall: int) -> str:
    """The time of day of a wall time: `02:30`, or `02:30:15` when it has seconds."""
    hours, rest = divmod(wall % DAY, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours:02d}:{minutes:02d}" + (f":{seconds:02d}" if seconds else "")


def wall_moment(wall: int) -> datetime:
    """A wall time as a naive datetime; the inverse of `wall_seconds`."""
    return _EPOCH + timedelta(seconds=wall)

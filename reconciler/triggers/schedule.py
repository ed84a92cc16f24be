"""A compiled schedule: a pattern of wall times, laid over a zone's clock by a rule for its changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from reconciler.core.units import format_duration
from reconciler.core.zones import DAY, Segment, Zone, wall_text
from reconciler.triggers.calendars import Calendars
from reconciler.triggers.pattern import Pattern

_FAR: Final = 2 * DAY
"""More than any zone ever moves its clock: a leap that stays this far from a match misses none."""

FIRST_INSTANT: Final = -30_000_000_000
LAST_INSTANT: Final = 250_000_000_000
"""Years 1019 to 9892: what lies beyond never comes."""


class Dst(StrEnum):
    """What happens to wall times that a clock change leaves out or repeats (CONTRACT.md 1, `dst`)."""

    ONCE = "once"
    SKIP = "skip"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class CompiledSchedule:
    """The slots of a schedule block; the `Schedule` of the core. Instants are epoch seconds, UTC.

    Slots include those that a calendar leaves out; `left_out` tells them.
    """

    pattern: Pattern
    zone: Zone
    dst: Dst
    jitter: int = 0
    from_instant: int = FIRST_INSTANT
    """The first instant that counts."""
    until_instant: int = LAST_INSTANT
    """The first instant that does not count any more."""
    catch_up: str = "latest"
    starting_deadline_seconds: int | None = None
    calendars: Calendars | None = None
    _repeats: bool = field(init=False, repr=False)
    _fills_gaps: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Settle what the clock's changes mean for this pattern."""
        follows_clock = self.pattern.follows_clock
        repeats = self.dst is Dst.BOTH or (self.dst is Dst.ONCE and follows_clock)
        object.__setattr__(self, "_repeats", repeats)
        object.__setattr__(self, "_fills_gaps", self.dst is not Dst.SKIP and not follows_clock)

    @property
    def text(self) -> str:
        """The schedule in a few words, for lists."""
        return self.pattern.text

    @property
    def time_zone(self) -> str:
        """The zone whose clock it follows."""
        return self.zone.name

    def next_after(self, instant: int) -> int | None:
        """The first slot later than `instant`, or None when there is none any more."""
        at = instant + 1 if instant >= self.from_instant else self.from_instant
        searched, named = 1, 0
        while at < self.until_instant:
            start, end, offset, seen = self.zone.segment(at)
            wall = at + offset
            if wall <= seen:
                if not self._repeats:
                    wall = seen + 1
            elif at == start and self._fills_gaps:
                wall = seen + 1
            # What was found from an earlier wall time on is still the first, unless the clock went back over it.
            if not searched <= wall <= named:
                match = self.pattern.at_or_after(wall)
                if match is None:
                    return None
                searched, named = wall, match
            found = named - offset
            if found < end:
                found = max(found, start)
                return found if found < self.until_instant else None
            at = end if end - at < _FAR else max(end, found - _FAR)
        return None

    def last_until(self, instant: int, after: int) -> int | None:
        """The last slot in (after, instant], or None."""
        earliest = max(after + 1, self.from_instant)
        at = min(instant, self.until_instant - 1)
        while at >= earliest:
            start, _, offset, seen = self.zone.segment(at)
            lowest = start + offset
            if lowest <= seen:
                if not self._repeats:
                    lowest = seen + 1
            elif self._fills_gaps:
                lowest = seen + 1
            named = self.pattern.at_or_before(at + offset)
            if named is None:
                return None
            found = max(named - offset, start)
            if named >= lowest:
                return found if found >= earliest else None
            at = start - 1 if at - start < _FAR else min(start - 1, named - offset + _FAR)
        return None

    def count(self, after: int, until: int, limit: int) -> int:
        """How many slots lie in (after, until], counting no further than `limit`."""
        number = 0
        slot = self.next_after(after)
        while slot is not None and slot <= until and number < limit:
            number += 1
            slot = self.next_after(slot)
        return number

    def left_out(self, slot: int) -> str | None:
        """Why a calendar leaves this slot out (`skipped: closures`), or None when it stands."""
        return None if self.calendars is None else self.calendars.left_out(slot)

    def jitter_seconds(self, target: str) -> int:
        """How much later than its slot this target runs: 0 to `jitter`, always the same for one target."""
        if not self.jitter:
            return 0
        digest = hashlib.blake2b(target.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % (self.jitter + 1)

    def notes(self, slot: int, target: str = "") -> tuple[str, ...]:
        """What is special about a slot: `jitter +2m10s`, `DST gap: 03:00 ...`, `DST repeat: first pass`."""
        notes: list[str] = []
        segment = self.zone.segment(slot)
        wall = slot + segment.offset
        if slot == segment.start and self._fills_gaps:
            missing = self._named(segment.seen + 1, wall)
            if missing:
                notes.append(f"DST gap: {wall_text(wall)} instead of {', '.join(map(wall_text, missing))}")
        if wall <= segment.seen:
            notes.append("DST repeat: second pass")
        elif self._comes_again(segment, wall):
            notes.append("DST repeat: first pass")
        jitter = self.jitter_seconds(target) if target else 0
        if jitter:
            notes.append(f"jitter +{format_duration(jitter)}")
        return tuple(notes)

    def gaps(self, after: int, until: int) -> Iterator[tuple[int, str]]:
        """Under `dst: skip`, where in (after, until] the clock leaves out named times, and which."""
        if self.dst is not Dst.SKIP:
            return
        at = max(after + 1, self.from_instant)
        first = at
        while at <= min(until, self.until_instant - 1):
            start, end, offset, seen = self.zone.segment(at)
            missing = self._named(seen + 1, start + offset) if start >= first else []
            if missing:
                rest = f" and {len(missing) - 1} more do" if len(missing) > 1 else " does"
                yield start, f"DST gap: {wall_text(missing[0])}{rest} not exist"
            at = end

    def _named(self, first: int, end: int) -> list[int]:
        """The named wall times in [first, end)."""
        named: list[int] = []
        wall = self.pattern.at_or_after(first) if first < end else None
        while wall is not None and wall < end:
            named.append(wall)
            wall = self.pattern.at_or_after(wall + 1)
        return named

    def _comes_again(self, segment: Segment, wall: int) -> bool:
        """Whether the clock is about to be set back over `wall`."""
        slot = wall - segment.offset
        while segment.end - slot < _FAR:
            segment = self.zone.segment(segment.end)
            if segment.start + segment.offset <= wall <= segment.seen:
                return True
        return False

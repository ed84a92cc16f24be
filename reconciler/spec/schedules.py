"""Schedules of plans, compiled when first asked, each distinct one once: a restart needs few of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from reconciler.core.units import parse_duration
from reconciler.triggers import CompiledSchedule, compile_schedule


class LazySchedule:
    """A schedule block that was checked when its document was loaded, compiled at its first question."""

    __slots__ = (
        "__weakref__",
        "_calendars",
        "_compiled",
        "_spec",
        "_zone",
        "catch_up",
        "starting_deadline_seconds",
    )

    def __init__(
        self, spec: Mapping[str, Any], zone: str, calendars: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._spec = spec
        self._zone = zone
        self._calendars = calendars
        self._compiled: CompiledSchedule | None = None
        self.catch_up: str = spec.get("catchUp", "latest")
        deadline = spec.get("startingDeadline")
        self.starting_deadline_seconds = int(parse_duration(deadline)) if deadline else None

    @property
    def compiled(self) -> CompiledSchedule:
        """The schedule itself."""
        if self._compiled is None:
            self._compiled = compile_schedule(self._spec, self._zone, self._calendars)
        return self._compiled

    @property
    def text(self) -> str:
        """The schedule in a few words, for lists."""
        cron = self._spec.get("cron")
        return cron if isinstance(cron, str) else self.compiled.text

    @property
    def time_zone(self) -> str:
        """The zone whose clock it follows."""
        return self._zone

    def next_after(self, instant: int) -> int | None:
        """The first slot later than `instant`, or None when there is none any more."""
        return _next_after(self, instant)

    def last_until(self, instant: int, after: int) -> int | None:
        """The last slot in (after, instant], or None."""
        return _last_until(self, instant, after)

    def left_out(self, slot: int) -> str | None:
        """Why a calendar leaves this slot out, or None when it stands."""
        return self.compiled.left_out(slot) if "calendars" in self._spec else None

    def jitter_seconds(self, target: str) -> int:
        """How much later than its slot this target runs; always the same for one target."""
        return self.compiled.jitter_seconds(target) if "jitter" in self._spec else 0

    def notes(self, slot: int, target: str = "") -> tuple[str, ...]:
        """What is special about a slot: jitter, or a change of the clock."""
        return self.compiled.notes(slot, target)

    def gaps(self, after: int, until: int) -> Iterator[tuple[int, str]]:
        """Under `dst: skip`, where the clock leaves out times of this schedule, and which."""
        return self.compiled.gaps(after, until)


@lru_cache(maxsize=256)
def _next_after(schedule: LazySchedule, instant: int) -> int | None:
    """A decision asks the same several times, and many targets of one schedule ask the same at once."""
    return schedule.compiled.next_after(instant)


@lru_cache(maxsize=256)
def _last_until(schedule: LazySchedule, instant: int, after: int) -> int | None:
    return schedule.compiled.last_until(instant, after)


_PROBE_START = 1_767_225_600
"""2026-01-01: from here the distance of slots is measured."""
_PROBE_SLOTS = 400


def shortest_interval(spec: Mapping[str, Any], at_most: float) -> float:
    """Measure the least distance of two slots in seconds, on a clock that never changes.

    Only distances below `at_most` are of interest; where there can be none, `at_most` is returned at once.
    """
    if "every" in spec:
        return parse_duration(spec["every"])
    if at_most <= 60 and len(str(spec.get("cron", "")).split()) < 6:
        return at_most
    bare = {key: spec[key] for key in ("weekly", "cron") if key in spec}
    return min(at_most, _shortest_interval(json.dumps(bare)))


@lru_cache(maxsize=2048)
def _shortest_interval(text: str) -> float:
    schedule = compile_schedule(json.loads(text), "UTC")
    least = float("inf")
    slot = schedule.next_after(_PROBE_START)
    for _ in range(_PROBE_SLOTS):
        following = schedule.next_after(slot) if slot is not None else None
        if slot is None or following is None:
            break
        least = min(least, float(following - slot))
        slot = following
    return least

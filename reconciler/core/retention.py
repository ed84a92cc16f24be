"""Which of a target's runs go: by number, age and size. What runs or waits never goes, nor what people look for first.

The last run that started, the last success and the last failure of a target always stay, however old or large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.core.model import State
from reconciler.core.plan import Retention

UNSTARTED_PER_RUN: Final = 10
"""Entries that never started (skipped, missed) are bounded too: so many for each started run that may stay."""
GRACE_SECONDS: Final = 5.0
"""What ended just now is still being told of: it stays so long in any case."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One run, or stretch of slots, of a target as far as retention looks at it. Times in epoch seconds."""

    run: str
    state: State
    started: bool
    over_at: float | None
    """None while it is queued or running."""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Going:
    """What goes, oldest first, and the rule that says so: `runs`, `age` or `total`."""

    entry: Entry
    rule: str


def pinned(entries: Sequence[Entry]) -> set[str]:
    """The names of those that always stay. `entries` newest first."""
    stay: set[str] = set()
    for wanted in (
        tuple(State),
        (State.SUCCESS, State.WARNING),
        (State.FAILURE, State.INTERRUPTED),
    ):
        last = next(
            (e.run for e in entries if e.started and e.over_at is not None and e.state in wanted), None
        )
        if last is not None:
            stay.add(last)
    return stay


def what_goes(entries: Sequence[Entry], rules: Retention, now: float) -> list[Going]:
    """Choose by the rules of one target; `total` bounds the target alone here. `entries` newest first."""
    stay = pinned(entries)
    started = unstarted = size = 0
    going: list[Going] = []
    for entry in entries:
        if entry.over_at is None:
            # What goes on needs no permission, and takes its place among those that may stay.
            started += entry.started
            size += entry.size_bytes
            continue
        rule = ""
        if entry.started:
            started += 1
            size += entry.size_bytes
            rule = "runs" if started > rules.runs else "total" if size > rules.total_bytes else ""
        else:
            unstarted += 1
            rule = "runs" if unstarted > rules.runs * UNSTARTED_PER_RUN else ""
        if now - entry.over_at > rules.age_seconds:
            rule = "age"
        if rule and entry.run not in stay and now - entry.over_at >= GRACE_SECONDS:
            going.append(Going(entry, rule))
            if entry.started:
                size -= entry.size_bytes
    going.reverse()
    return going

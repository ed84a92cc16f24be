"""The sentences of a test: `at 2026-10-25T00:30Z expect backup run`, `down from T to T`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from reconciler.core.diagnostics import suggest
from reconciler.core.model import Reason, State, Trigger
from reconciler.core.zones import FIRST_YEAR, LAST_YEAR, wall_seconds, zone
from reconciler.rehearsal.script import STRETCHES, Doing, Event, Expectation

MINUTE: Final = 60
SNAPSHOTS: Final = ("queued", "running", "overdue")
"""What is so at a moment; all else happens in a stretch of time."""
OUTCOMES: Final = ("run", "nothing", *SNAPSHOTS, *(state.value for state in State if state.is_over))
_DETAILS: Final = {
    "run": tuple(trigger.value for trigger in Trigger),
    **dict.fromkeys(OUTCOMES[1:], tuple(reason.value for reason in Reason if reason)),
    "nothing": (),
    "overdue": (),
}
_WHEN: Final = ("at", "on", "from")
_TIME = re.compile(r"(?:(\d{4}-\d\d-\d\d)(?:T(?=\d))?)?(\d\d:\d\d(?::\d\d)?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)


class NotUnderstood(ValueError):
    """A sentence that says nothing; `help` is what to write instead."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


@dataclass(slots=True)
class _When:
    start: int
    end: int
    word: str


class Reader:
    """Reads the sentences of one test in order; a time without a date is on the day named last."""

    def __init__(self, time_zone: str) -> None:
        self._zone = time_zone
        self._day = ""

    def sentences(self, text: str, line: int) -> Iterator[Event | Expectation]:
        """Read the sentences of a text, separated by `;`. Raise NotUnderstood."""
        for part in text.split(";"):
            if part.strip():
                yield self._sentence(part.strip(), line)

    def instant(self, text: str) -> int:
        """Read one time."""
        return self._time(text)[0]

    def _sentence(self, text: str, line: int) -> Event | Expectation:
        words = text.split()
        at = next((n for n, word in enumerate(words) if word in _WHEN), None)
        if at is None:
            raise NotUnderstood(
                f"`{text}` does not say when",
                "write `at 2026-10-25T00:30Z`, `on 2026-10-25` or `from ... to ...`",
            )
        when, used = self._when(words[at:])
        rest = [*words[:at], *words[at + used :]]
        if not rest:
            raise NotUnderstood(f"`{text}` says when, and not what", "go on with `expect backup run`")
        if rest[0] == "expect":
            return _expectation(rest[1:], when, text, line)
        return _event(rest, when, text, line)

    def _when(self, words: list[str]) -> tuple[_When, int]:
        """The time at the beginning of some words, and how many of them it takes."""
        word = words[0]
        if word == "from":
            if len(words) < 4 or words[2] != "to":
                raise NotUnderstood("`from` needs two times", "write `from T to T`")
            start, end = self._time(words[1])[0], self._time(words[3])[0]
            if end <= start:
                raise NotUnderstood(f"`{words[3]}` is not later than `{words[1]}`")
            return _When(start, end, word), 4
        if len(words) < 2:
            raise NotUnderstood(f"`{word}` needs a time", "write it as `2026-10-25T00:30Z`")
        start, length = self._time(words[1])
        if (word == "on") != (length > MINUTE):
            raise NotUnderstood(f"`{word} {words[1]}`", "write `at` before a time, and `on` before a date")
        return _When(start, start + length, word), 2

    def _time(self, text: str) -> tuple[int, int]:
        """An instant, and how long what it names lasts: a second, a minute, a day."""
        match = _TIME.fullmatch(text)
        if match is None or not (match[1] or match[2]):
            raise NotUnderstood(
                f"`{text}` is not a time",
                "write it as `2026-10-25T00:30Z`, or `2026-10-25` for the whole day",
            )
        day, clock, offset = match.groups()
        if day is None and not self._day:
            raise NotUnderstood(f"`{text}` has no date, and none was named before")
        self._day = day = day or self._day
        if not FIRST_YEAR < int(day[:4]) < LAST_YEAR:
            raise NotUnderstood(f"`{text}` is not between {FIRST_YEAR + 1} and {LAST_YEAR - 1}")
        try:
            if clock is None:
                first = date.fromisoformat(day)
                start, end = (
                    self._instant(f"{each}T00:00", "") for each in (first, first + timedelta(days=1))
                )
                return start, end - start
            return self._instant(f"{day}T{clock}", offset or ""), MINUTE if len(clock) == 5 else 1
        except ValueError as error:
            if isinstance(error, NotUnderstood):
                raise
            raise NotUnderstood(f"`{text}` is not a time: {error}") from None

    def _instant(self, text: str, offset: str) -> int:
        moment = datetime.fromisoformat(text + offset)
        if moment.tzinfo is not None:
            return int(moment.timestamp())
        clock, wall = zone(self._zone), wall_seconds(moment)
        instant = clock.instant_of(wall)
        if clock.wall(instant) != wall and not text.endswith("T00:00"):
            raise NotUnderstood(
                f"{self._zone} has no {text}: the clock is put forward then", "write it with its offset"
            )
        return instant


def _expectation(words: list[str], when: _When, text: str, line: int) -> Expectation:
    target, count = "", None
    if words and words[0] not in OUTCOMES and not words[0].isdigit() and words[0] != "runs":
        target, words = words[0], words[1:]
    if words and words[0].isdigit():
        count, words = int(words[0]), words[1:]
    what = words[0] if words else ""
    what = "run" if what == "runs" else what
    if what not in OUTCOMES:
        if not what and target:
            what, target = target, ""
        raise NotUnderstood(
            f"`{what}` cannot be expected" if what else "nothing is expected",
            suggest(what, OUTCOMES) or "expect one of " + ", ".join(OUTCOMES),
        )
    detail = words[1] if len(words) > 1 else ""
    if detail and detail not in _DETAILS[what]:
        raise NotUnderstood(
            f"`{detail}` does not go with `{what}`", suggest(detail, _DETAILS[what]) or "leave it out"
        )
    if len(words) > 2:
        raise NotUnderstood(f"`{' '.join(words[2:])}` is too much", "put `;` between two sentences")
    if what in SNAPSHOTS and when.word != "at":
        raise NotUnderstood(f"`{what}` is so at a time, not in a stretch of it", "write `at T`")
    if count is not None and what in (*SNAPSHOTS, "nothing"):
        raise NotUnderstood(f"`{what}` cannot be counted")
    return Expectation(when.start, when.end, what, target, count, detail, text, line)


def _event(words: list[str], when: _When, text: str, line: int) -> Event:
    if words[0] == "reconciler":
        words = words[1:]
    name = {"ran": "run", "sleep": "asleep", "cancelled": "cancel"}.get(words[0], words[0]) if words else ""
    if name not in list(Doing):
        raise NotUnderstood(
            f"`{name}` cannot happen", suggest(name, [*Doing, "expect"]) or "one of " + ", ".join(Doing)
        )
    doing, rest = Doing(name), words[1:]
    if doing in STRETCHES and when.word == "at":
        raise NotUnderstood(f"`{doing}` takes some time", f"write `{doing} from T to T`")
    if doing not in STRETCHES and when.word != "at":
        raise NotUnderstood(f"`{doing}` happens at a time", f"write `{doing} ... at T`")
    if doing in (Doing.DOWN, Doing.ASLEEP, Doing.OFF):
        if rest:
            raise NotUnderstood(f"`{' '.join(rest)}` is too much")
        return Event(when.start, when.end, doing, line=line)
    if not rest:
        raise NotUnderstood(f"`{doing}` needs a name", f"write `{doing} backup at T`")
    if len(rest) > 1 and doing is not Doing.PAUSE:
        raise NotUnderstood(f"`{' '.join(rest[1:])}` is too much")
    return Event(when.start, when.end, doing, rest[0], " ".join(rest[1:]), line)

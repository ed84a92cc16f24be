"""What a test of schedules says: documents, what happens besides time passing, and what is expected when.

All instants are epoch seconds, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.core.diagnostics import Diagnostic


class Doing(StrEnum):
    """What may happen to an installation besides time passing."""

    DOWN = "down"
    """The reconciler is not there; what runs goes on."""
    ASLEEP = "asleep"
    """The machine sleeps; both clocks go on."""
    OFF = "off"
    """The machine is off; what runs is lost."""
    PAUSE = "pause"
    RESUME = "resume"
    RUN = "run"
    CANCEL = "cancel"
    CHANGE = "change"
    REMOVE = "remove"


STRETCHES = (Doing.DOWN, Doing.ASLEEP, Doing.OFF, Doing.PAUSE)
"""What takes from one time to another; all else happens at a time."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens; `target` is a target, or for REMOVE a `Kind/name`."""

    at: int
    until: int
    doing: Doing
    target: str = ""
    text: str = ""
    """Why it is paused."""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected in [at, until) of one target ("" all of them)."""

    at: int
    until: int
    what: str
    """A state of a run, `run`, `nothing` or `overdue`."""
    target: str = ""
    count: int | None = None
    """Exactly so many; None: at least one."""
    detail: str = ""
    """A reason, or for runs what triggered them; "" any."""
    text: str = ""
    """As it is written."""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Fate:
    """What the runs of a job are like: how long they take, and how each attempt ends (the last one for all later)."""

    seconds: float = 0.0
    ends: tuple[str | int, ...] = ("success",)
    """`success`, `warning`, `failure` or an exit code."""
    probe: int = 1
    """The exit code of its probe: 0 run, 1 nothing to do."""


@dataclass(frozen=True, slots=True)
class Page:
    """One document of jobs.d as the test writes it, in force from `since` (None: from the beginning)."""

    content: bytes
    """At its line of the test file; what stands before it is blank."""
    line: int
    domain: str = ""
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One test."""

    name: str
    path: str
    line: int
    pages: tuple[Page, ...] = ()
    applied: int | None = None
    """When the documents are applied; None: a day before the first time that is named."""
    time_zone: str = "UTC"
    """In which times are shown again."""
    events: tuple[Event, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    fates: Mapping[str, Fate] = field(default_factory=dict)

    @property
    def times(self) -> list[int]:
        """When something happens, or is expected."""
        return [each.at for each in self.events] + [each.at for each in self.expectations]


@dataclass(frozen=True, slots=True)
class Script:
    """The tests of one file, and what is wrong with it (then there is none to play)."""

    path: str
    cases: tuple[Case, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

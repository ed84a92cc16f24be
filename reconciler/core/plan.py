"""How a job runs for the targets that share a plan: when, how often again, what is normal, who hears of it.

Plans are made by `reconciler.spec.resolve` out of validated documents and are immutable. Nothing here is expanded: argv
and environment exist only in the order of one attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from reconciler.core.model import Mode, State
from reconciler.core.units import format_duration


class Concurrency(StrEnum):
    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"


class CatchUp(StrEnum):
    LATEST = "latest"
    NONE = "none"
    ALL = "all"


class Schedule(Protocol):
    """A compiled schedule (made by `reconciler.triggers.compile_schedule`). Instants are epoch seconds, UTC."""

    @property
    def catch_up(self) -> str: ...
    @property
    def starting_deadline_seconds(self) -> int | None: ...
    @property
    def text(self) -> str: ...
    @property
    def time_zone(self) -> str: ...

    def next_after(self, instant: int) -> int | None:
        """The first slot later than `instant`, or None when there is none any more."""

    def last_until(self, instant: int, after: int) -> int | None:
        """The last slot in (after, instant], or None."""

    def left_out(self, slot: int) -> str | None:
        """Why a calendar leaves this slot out (`skipped: closures`), or None when it stands."""

    def jitter_seconds(self, target: str) -> int:
        """How much later than its slot this target runs; always the same for one target (`str(TargetId)`)."""

    def notes(self, slot: int, target: str = "") -> tuple[str, ...]:
        """What is special about a slot, in words: `jitter +2m10s`, `DST repeat: first pass`."""

    def gaps(self, after: int, until: int) -> Iterator[tuple[int, str]]:
        """Where in (after, until] the clock leaves out times of this schedule so that nothing runs, and which."""


@dataclass(frozen=True, slots=True)
class Pause:
    """No schedule and no criteria until `until` (None: until removed). `source` says where it is written."""

    until: datetime | None
    reason: str = ""
    source: str = ""

    def holds(self, at: datetime) -> bool:
        """Whether what is due at `at` (for a slot: with its jitter) does not start because of this pause."""
        return self.until is None or at < self.until


@dataclass(frozen=True, slots=True)
class Probe:
    command: tuple[str, ...]
    every_seconds: float


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes of the day (local, `time_zone`) between which automatic runs may start; may cross midnight."""

    from_minute: int
    to_minute: int
    time_zone: str

    @property
    def text(self) -> str:
        """As it is written: `22:00-06:00`."""
        minutes = (self.from_minute, self.to_minute)
        return "-".join(f"{minute // 60:02d}:{minute % 60:02d}" for minute in minutes)


@dataclass(frozen=True, slots=True)
class Criteria:
    """A job's own criteria; any one of them starts it (CONTRACT.md, Job.spec.automatic)."""

    every_seconds: float | None = None
    on_change: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    probe: Probe | None = None
    window: Window | None = None

    @property
    def text(self) -> str:
        """The criteria in a few words, for lists: `every 4h or after domain-sync, 22:00-06:00`."""
        words = []
        if self.every_seconds is not None:
            words.append(f"every {format_duration(self.every_seconds)}")
        words.extend(f"after {job}" for job in self.after)
        if self.on_change:
            words.append(f"on change of {self.on_change[0]}" + (", ..." if len(self.on_change) > 1 else ""))
        if self.probe is not None:
            words.append(f"when {self.probe.command[0].rpartition('/')[2]} says so")
        text = " or ".join(words)
        return f"{text}, {self.window.text}" if self.window is not None else text


@dataclass(frozen=True, slots=True)
class Retry:
    attempts: int
    delay_seconds: float = 30.0
    backoff: float = 2.0
    max_delay_seconds: float = 600.0
    exit_codes: tuple[int, ...] = ()
    states: tuple[State, ...] = (State.FAILURE,)

    def delay_before(self, attempt: int) -> float:
        """Seconds to wait before `attempt` (2 is the first retry)."""
        return float(min(self.max_delay_seconds, self.delay_seconds * self.backoff ** max(0, attempt - 2)))


@dataclass(frozen=True, slots=True)
class Expect:
    start_within_seconds: float | None = None
    duration_min_seconds: float | None = None
    duration_max_seconds: float | None = None
    output_lines_min: int | None = None
    success_every_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Warnings:
    exit_codes: tuple[int, ...] = ()
    level: str = "error"
    """The least severity of a log line that makes a success a warning: `error`, `warning` or `never`."""


@dataclass(frozen=True, slots=True)
class Report:
    """Who hears about a target's outcomes, merged Installation < Domain < Job < Planning, field by field."""

    send: bool = False
    recipients: tuple[str, ...] = ()
    when: tuple[str, ...] = ("failure", "interrupted", "missed", "overdue", "recovered")
    attach_log: int = 0
    level: str = "info"
    digest: str = ""
    repeat_seconds: float | None = None
    after: int = 1
    webhooks: tuple[str, ...] = ()
    added: tuple[AddedReport, ...] = ()
    """What domain areas add: recipients of their own, with their own `send` and `when`."""
    origins: tuple[tuple[str, str], ...] = ()
    """(field, `path` of the document that decided it), for `describe`."""


@dataclass(frozen=True, slots=True)
class AddedReport:
    recipients: tuple[str, ...]
    send: bool = True
    when: tuple[str, ...] = ("failure", "interrupted", "missed", "overdue", "recovered")
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Retention:
    runs: int = 100
    age_seconds: float = 90 * 86400.0
    log_bytes: int = 64 << 20
    total_bytes: int = 10 << 30


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run asks of this machine beyond what any process has: an account, and limits that not everyone may set."""

    user: str | None = None
    default_user: str | None = None
    """The Installation's, which counts where the reconciler is root."""
    group: str | None = None
    limits: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """How a job runs for the targets that share this plan; compared and found again by its digests."""

    job: str
    scope: str
    """`installation` or `domain`."""
    mode: Mode
    digest: str
    """Of everything that a run of it depends on (command, environment, user, limits, ...)."""
    schedule_digest: str
    """Of mode, schedule, zone, calendars and criteria: when it changes, settle, then swap."""
    schedule: Schedule | None = None
    criteria: Criteria | None = None
    pauses: tuple[Pause, ...] = ()
    concurrency: Concurrency = Concurrency.SKIP
    locks: tuple[str, ...] = ()
    retry: Retry | None = None
    timeout_seconds: float | None = None
    expect: Expect = Expect()
    warnings: Warnings = Warnings()
    report: Report = Report()
    executor: str = "local"
    description: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    path: str = ""
    """Where the Job is written, `file:line`."""
    planning_path: str = ""
    """Where its mode was decided, `file:line`."""
    secrets: tuple[str, ...] = ()
    needs: Needs = Needs()
    retention: Retention = Retention()
    prunable: bool = True
    renamed_from: str = ""
    whole: Callable[[], Plan] | None = field(default=None, compare=False, repr=False)
    """Makes the rest of a plan that was `begun`; None when nothing is missing."""

    @classmethod
    def begun(cls, whole: Callable[[], Plan], **known: Any) -> Plan:
        """A plan of which only `known` is there; the first question for more fills it from `whole()`.

        A start asks thousands of plans for little: who waits for a success, who needs an account. Any thread may ask,
        since all that fill it write the same.
        """
        plan = object.__new__(cls)
        for name, value in known.items():
            object.__setattr__(plan, name, value)
        object.__setattr__(plan, "whole", whole)
        return plan

    if not TYPE_CHECKING:  # which would take any name for a field

        def __getattr__(self, name: str) -> Any:
            # Only a field that is not there yet comes here.
            whole: Callable[[], Plan] | None = object.__getattribute__(self, "whole")
            if whole is not None:
                made = whole()
                for each in _FIELDS:
                    object.__setattr__(self, each, getattr(made, each))
                object.__setattr__(self, "whole", None)
            return object.__getattribute__(self, name)

    def is_paused(self, at: datetime) -> bool:
        """Whether a pause that is written in the source holds at `at`."""
        return any(pause.holds(at) for pause in self.pauses)

    @property
    def planning_text(self) -> str:
        """The planning in a few words, for lists: `30 2 * * *`, `every 4h`, `disabled`."""
        if self.mode is Mode.SCHEDULED and self.schedule is not None:
            return self.schedule.text
        if self.mode is Mode.AUTOMATIC and self.criteria is not None:
            return self.criteria.text
        return self.mode.value


_FIELDS: Final = tuple(each.name for each in fields(Plan) if each.name != "whole")

"""What an installation is made of: targets, the plan that each follows, and the words for what happens to them.

Plans are made by `reconciler.spec.resolve` out of validated documents, are immutable and are shared by all targets
that resolve alike. Nothing here is expanded: argv and environment exist only in the order of one attempt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from reconciler.core.icons import ICONS
from reconciler.core.units import format_duration

INSTALLATION = "_installation"
"""What stands for the missing domain of an installation job in paths and labels."""


class TargetId(NamedTuple):
    """One thing that runs: a job for a domain, or (domain "") a job for the installation. Written `job@domain`."""

    job: str
    domain: str = ""

    def __str__(self) -> str:
        return f"{self.job}@{self.domain}" if self.domain else self.job

    @property
    def folder(self) -> str:
        """The path of the target below `status/` and `runs/`: `<domain|_installation>/<job>`."""
        return f"{self.domain or INSTALLATION}/{self.job}"

    @classmethod
    def parse(cls, text: str) -> TargetId:
        """Read `job` or `job@domain`."""
        job, _, domain = text.partition("@")
        return cls(job, domain)


class Instant(NamedTuple):
    """One reading of the clock: wall time (aware, UTC), seconds of CLOCK_BOOTTIME, and the id of this boot."""

    wall: datetime
    boot: float
    boot_id: str


class Mode(StrEnum):
    AUTOMATIC = "automatic"
    SCHEDULED = "scheduled"
    DISABLED = "disabled"


class Concurrency(StrEnum):
    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"


class CatchUp(StrEnum):
    LATEST = "latest"
    NONE = "none"
    ALL = "all"


class State(StrEnum):
    """The states of a run (CONTRACT.md 2)."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    MISSED = "missed"

    @property
    def icon(self) -> str:
        return ICONS[self]

    @property
    def is_over(self) -> bool:
        return self not in (State.QUEUED, State.RUNNING)

    @property
    def is_good(self) -> bool:
        return self in (State.SUCCESS, State.WARNING)


class Trigger(StrEnum):
    """What started a run."""

    SCHEDULE = "schedule"
    AUTOMATIC = "automatic"
    REQUEST = "request"
    CATCH_UP = "catch-up"


class Reason(StrEnum):
    """Why a run is in its state. The values are stable: they are metric labels and `explain` documents each."""

    NONE = ""
    EXIT_CODE = "ExitCode"
    SIGNAL = "Signal"
    TIMED_OUT = "TimedOut"
    OUT_OF_MEMORY = "OutOfMemory"
    START_FAILED = "StartFailed"
    SECRET_MISSING = "SecretMissing"  # noqa: S105
    LOG_ERRORS = "LogErrors"
    WARNING_EXIT_CODE = "WarningExitCode"
    EXPECTATION = "ExpectationBroken"
    EXIT_UNKNOWN = "ExitUnknown"
    MACHINE_RESTARTED = "MachineRestarted"
    FORGOTTEN = "ForgottenByExecutor"
    STILL_RUNNING = "StillRunning"
    LOCKS_BUSY = "LocksBusy"
    NO_PLACE = "NoPlace"
    RETRY_DELAY = "RetryDelay"
    OUTSIDE_WINDOW = "OutsideWindow"
    QUEUE_FULL = "QueueFull"
    NOT_READY = "NotReady"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    RECONCILER_DOWN = "ReconcilerDown"
    SUPERSEDED = "Superseded"
    PAUSED = "Paused"
    DISABLED = "Disabled"
    REMOVED = "Removed"
    CALENDAR = "Calendar"
    CANCELLED_BY = "CancelledByRequest"
    REPLACED = "Replaced"
    SCHEDULE_CHANGED = "ScheduleChanged"
    CLOCK_STEPPED = "ClockStepped"


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
class Limits:
    """What admission has to keep: runs at once on this machine, and of any one domain (None: no own limit)."""

    max_parallel: int = 16
    max_parallel_per_domain: int | None = None

    def domain_full(self, domain: str, running: int) -> bool:
        """Whether `running` runs are all that the domain may have; the installation's own jobs have no such limit."""
        most = self.max_parallel_per_domain
        return bool(domain) and most is not None and running >= most


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

    @property
    def planning_text(self) -> str:
        """The planning in a few words, for lists: `30 2 * * *`, `every 4h`, `disabled`."""
        if self.mode is Mode.SCHEDULED and self.schedule is not None:
            return self.schedule.text
        if self.mode is Mode.AUTOMATIC and self.criteria is not None:
            return self.criteria.text
        return self.mode.value


@dataclass(frozen=True, slots=True)
class Revision:
    """Which state of the source something speaks of: commit (or content digest), and whether it had local edits."""

    commit: str = ""
    dirty: bool = False
    signer: str = ""

    def __str__(self) -> str:
        return (self.commit[:12] or "none") + ("+dirty" if self.dirty else "")


@dataclass(frozen=True, slots=True)
class RunNow:
    """A `reconciler/run-requested-at` annotation found on a Job or a Planning."""

    token: str
    """Unique: the identity of the annotated object and the annotation's text."""
    kind: str
    domain: str
    name: str
    value: str
    requested_at: datetime | None


@dataclass(frozen=True, slots=True)
class Request:
    """A RunRequest document."""

    domain: str
    """The domain area it stands in, "" for the system area."""
    name: str
    targets: tuple[str, ...]
    requested_at: datetime
    expires_after: timedelta
    parameters: Mapping[str, Any]
    reason: str
    digest: str
    path: str
    requester: str = ""

    @property
    def token(self) -> str:
        return f"{self.domain or INSTALLATION}/{self.name}"


@dataclass(frozen=True, slots=True)
class DomainInfo:
    name: str
    labels: tuple[tuple[str, str], ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who may see and do what (CONTRACT.md, Administrator)."""

    name: str
    role: str
    domains: tuple[str, ...] = ()
    email: str = ""
    identities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything that the source asks for, resolved. Targets that share a plan share the object."""

    targets: Mapping[TargetId, Plan] = field(default_factory=dict)
    domains: Mapping[str, DomainInfo] = field(default_factory=dict)
    administrators: Mapping[str, Administrator] = field(default_factory=dict)
    requests: Sequence[Request] = ()
    run_now: Sequence[RunNow] = ()
    limits: Limits = Limits()
    retention: Retention = Retention()
    prune_max_targets: int = 10
    approved_digest: str = ""
    hosts: tuple[str, ...] | None = None
    default_zone: str = "UTC"
    mail: Mapping[str, Any] | None = None
    revision: Revision = Revision()

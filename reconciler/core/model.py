"""The words for what is run and what happens to it: targets, states, triggers, reasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from reconciler.core.icons import ICONS

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


@dataclass(frozen=True, slots=True)
class Revision:
    """Which state of the source something speaks of: commit (or content digest), and whether it had local edits."""

    commit: str = ""
    dirty: bool = False
    signer: str = ""

    def __str__(self) -> str:
        return (self.commit[:12] or "none") + ("+dirty" if self.dirty else "")

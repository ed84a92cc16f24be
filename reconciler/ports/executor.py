"""What carries out attempts: it is told to start one, once by its name, and says what became of it.

Every executor, the simulated one too, promises: an attempt starts at most once whatever is called how often;
every attempt that was started or adopted gets exactly one `Ended` (after a restart again, if adopted again);
nothing here blocks; the world's faults are events, not exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from reconciler.core.model import INSTALLATION, Reason, TargetId


class AttemptId(NamedTuple):
    """The name of an attempt. `folder` is `TargetId.folder`, so `path` is its directory below `runs/`."""

    folder: str
    run: str
    attempt: int

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.run}/{self.attempt}"

    @property
    def target(self) -> TargetId:
        """Whose attempt it is."""
        domain, _, job = self.folder.partition("/")
        return TargetId(job, "" if domain == INSTALLATION else domain)

    @classmethod
    def of(cls, target: TargetId, run: str, attempt: int) -> AttemptId:
        """Name the attempt of a target's run."""
        return cls(target.folder, run, attempt)

    @classmethod
    def parse(cls, path: str) -> AttemptId:
        """Read the form that `path` writes."""
        folder, run, attempt = path.rsplit("/", 2)
        return cls(folder, run, int(attempt))


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Limits of one run. Memory: of its tree with cgroups, else of each process's data (RLIMIT_DATA)."""

    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    open_files: int | None = None
    file_size_bytes: int | None = None
    nice: int | None = None
    io_priority: str | None = None
    """`idle`, `best-effort:0` to `best-effort:7`, `realtime:0` to `realtime:7`."""


@dataclass(frozen=True, slots=True)
class Order:
    """All that the start of one attempt needs, but no value of a secret: those are read at the start."""

    attempt: AttemptId
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    """Exactly what the run gets, besides its secrets. Its RECONCILE_* tell its processes from others."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Variable: name of a file in `secrets_folder`."""
    secrets_folder: str = ""
    working_directory: str = "/"
    user: str | None = None
    group: str | None = None
    umask: int = 0o022
    limits: ProcessLimits | None = None
    timeout_seconds: float | None = None
    stop_signal: str = "TERM"
    stop_grace_seconds: float = 10.0
    log_bytes: int | None = None
    """The log's bound on disk; its head and tail are kept."""

    def document(self) -> dict[str, Any]:
        """Return what `order.json` holds (without the format version)."""
        limits = self.limits
        return {
            "argv": self.argv, "environment": dict(self.environment), "secrets": dict(self.secrets),
            "secretsFolder": self.secrets_folder, "workingDirectory": self.working_directory,
            "user": self.user, "group": self.group, "umask": self.umask, "timeout": self.timeout_seconds,
            "stopSignal": self.stop_signal, "stopGrace": self.stop_grace_seconds, "logBytes": self.log_bytes,
            "limits": limits and {
                "memory": limits.memory_bytes, "cpuTime": limits.cpu_seconds, "openFiles": limits.open_files,
                "fileSize": limits.file_size_bytes, "nice": limits.nice, "ioPriority": limits.io_priority,
            },
        }  # fmt: skip


def script_argv(shell: Sequence[str], text: str, job: str) -> tuple[str, ...]:
    """Return the argv that runs a script's text; `$0`, and so the shell's own messages, name the job."""
    return (*shell, "-c", text, job)


@dataclass(frozen=True, slots=True)
class Started:
    attempt: AttemptId
    at: datetime
    pid: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an attempt. `reason` is NONE for exit code 0; StartFailed comes without code and signal."""

    attempt: AttemptId
    at: datetime
    exit_code: int | None
    signal: int | None
    reason: Reason
    message: str = ""
    stopped_by: str = ""
    max_rss_bytes: int | None = None
    """Of the leader and its children; never less than the runner's own 12 MB, in whose memory the run begins."""
    cpu_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The answer to `adopt`: of this attempt nothing was ever begun, so `start` it (again)."""

    attempt: AttemptId


ExecutorEvent = Started | Ended | NotStarted


class Executor(Protocol):
    def start(self, order: Order) -> None:
        """Start this attempt, unless it was started before; what came of it is an event."""

    def stop(self, attempt: AttemptId, reason: Reason, by: str = "") -> None:
        """End the attempt's whole tree (stop signal, grace, KILL); its `Ended` carries the reason."""

    def adopt(self, attempt: AttemptId, boot_id: str) -> None:
        """Take over an attempt claimed under `boot_id`: NotStarted, Ended, or Started and later Ended follow."""

    def poll(self) -> list[ExecutorEvent]:
        """Return what happened since; never waits."""

    def fileno(self) -> int:
        """Return the descriptor that is readable when `poll` has something to do; it stays the same."""

    def wake_in(self) -> float | None:
        """Return the seconds after which `poll` wants to be called even if nothing is readable."""

    def close(self) -> None:
        """Let go; the attempts run on."""

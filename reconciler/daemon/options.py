"""What `serve` and `apply` are told; never read from the files that they reconcile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """Of one installation on one machine."""

    directory: Path
    """The folder that holds `jobs.d`."""
    state: Path
    secrets: Path
    """The folder of secrets, a file each."""
    host: str = ""
    """The name that `Installation.hosts` is compared with; "" is this machine's."""
    ref: str = ""
    """A git ref to read instead of the folder, such as `refs/heads/main`."""
    remote: str = ""
    interval_seconds: float = 30.0
    """Between two looks at the whole source, besides the file events; with `remote`, between two fetches."""
    allowed_signers: Path | None = None
    transactional: bool = False


@dataclass(frozen=True, slots=True)
class ServeOptions(Options):
    """Of the daemon."""

    listen: str = "127.0.0.1:9099"
    once: bool = False
    metrics_max_targets: int = 10_000

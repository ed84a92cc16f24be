"""The machine's clocks. Wall time, boot time and sleeping live here and nowhere else."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from reconciler.core.model import Instant


def boot_id() -> str:
    """The kernel's id of this boot; a container restored on another machine has another."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class SystemClock:
    """Reads the machine's clocks."""

    def __init__(self) -> None:
        self._boot_id = boot_id()

    def now(self) -> Instant:
        return Instant(datetime.now(UTC), time.clock_gettime(time.CLOCK_BOOTTIME), self._boot_id)


def wall() -> datetime:
    """The time of day, aware, UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds of CLOCK_MONOTONIC, for measuring how long something took."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait; for loops of the command line that follow something."""
    time.sleep(seconds)

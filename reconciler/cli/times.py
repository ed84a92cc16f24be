"""Instants and durations as people read them; filters such as `--since 2h` as epoch seconds."""

from __future__ import annotations

import time
from datetime import datetime

from reconciler.cli.exits import Exit, Failure


def now() -> float:
    """The wall time at which something is shown or asked. `reconciler.clock` would load the model for it."""
    return time.clock_gettime(time.CLOCK_REALTIME)


def epoch_of(text: str) -> float:
    """Epoch seconds of an RFC 3339 instant as the views write it."""
    return datetime.fromisoformat(text).timestamp()


def ago(text: str | None, at: float) -> str:
    """How far an instant is from `at`, in one or two units: `5m ago`, `in 2h10m`."""
    if not text:
        return "–"
    delta = epoch_of(text) - at
    words = span(abs(delta))
    if delta > 0.5:
        return f"in {words}"
    return f"{words} ago" if delta < -0.5 else "now"


def span(seconds: float | None) -> str:
    """A duration in at most two units: `3.2s`, `4m10s`, `2h5m`, `3d4h`."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f}s"
    rest = round(seconds)
    if rest < 60:
        return f"{rest}s"
    if rest < 3600:
        return f"{rest // 60}m{rest % 60}s" if rest < 600 and rest % 60 else f"{rest // 60}m"
    if rest < 86400:
        minutes = rest % 3600 // 60
        return f"{rest // 3600}h{minutes}m" if minutes else f"{rest // 3600}h"
    hours = rest % 86400 // 3600
    return f"{rest // 86400}d{hours}h" if hours and rest < 864000 else f"{rest // 86400}d"


def local(text: str | None) -> str:
    """An instant in the time of this terminal, with its offset."""
    if not text:
        return "–"
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S%z")


def instant_option(text: str, at: float) -> float | None:
    """Read an option such as `2h` (that long ago), a date, or an RFC 3339 time; None when it is left out."""
    if not text:
        return None
    if text[0].isdigit() and text[-1] in "wdhms" and "T" not in text:
        from reconciler.core.units import parse_duration

        try:
            return at - parse_duration(text)
        except ValueError as error:
            raise Failure(Exit.USAGE, str(error)) from None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(
            Exit.USAGE, f"`{text}` is not a time: write `2h`, `2026-11-22` or `2026-11-22T10:30:00Z`"
        ) from None
    return (instant if instant.tzinfo else instant.astimezone()).timestamp()

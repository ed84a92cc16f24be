"""Dates and times as people write them in documents: `2026-12-01`, `2026-12-01T08:00`, with or without an offset."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Final

from reconciler.spec.fields import bad

_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_OFFSET = r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_DAY = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
DATE_PATTERN: Final = f"^{_DAY}$"
DATE_OR_TIME_PATTERN: Final = f"^{_DAY}(T{_CLOCK}{_OFFSET}?)?$"
INSTANT_PATTERN: Final = f"^{_DAY}T{_CLOCK}{_OFFSET}$"
_HELP: Final = "write it as `2026-12-01` or `2026-12-01T08:00`"


def check_date(text: str) -> str:
    """Check a date."""
    if re.fullmatch(DATE_PATTERN[1:-1], text):
        try:
            date.fromisoformat(text)
            return text
        except ValueError as error:
            raise bad("E116", f"`{text}` is not a date: {error}") from None
    raise bad("E116", f"`{text}` is not a date", "write it as `2026-12-25`")


def check_date_or_time(text: str) -> str:
    """Check a date or a time, local or with an offset."""
    return _check(text, DATE_OR_TIME_PATTERN, _HELP)


def check_instant(text: str) -> str:
    """Check a time with its offset (RFC 3339)."""
    return _check(text, INSTANT_PATTERN, "write it with its offset, such as `2026-11-22T10:30:00Z`")


def _check(text: str, pattern: str, help: str) -> str:
    if not re.fullmatch(pattern[1:-1], text):
        raise bad("E116", f"`{text}` is not a time", help)
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise bad("E116", f"`{text}` is not a time: {error}") from None
    return text

"""What is wrong with a schedule, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ScheduleError(ValueError):
    """A schedule block that cannot be used: `message`, the `field` within the block (dotted), and `help`."""

    def __init__(self, message: str, field: str, help: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.help = help


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """The help for an unknown word: the known one most like it, or `otherwise`."""
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return f"did you mean `{by_folded[close[0]]}`?" if close else otherwise

"""What takes a report out of the house. One file in `reconciler/notifiers` is one more of them.

A notifier is called in a thread of its own; it may wait, within its time limits. It never raises for what the world
does: every parcel gets a receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

TIMEOUT_SECONDS = 30.0
"""For each step of a conversation with a server."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A letter to be sent: all that is needed, in JSON values."""

    id: int
    medium: str
    recipient: str
    message_id: str
    created: float
    """Epoch seconds; the same whenever it is sent again."""
    body: Mapping[str, Any]
    """`style` (run, group, digest, test), `items`, and what goes with the style (core/report_page.py)."""


class Outcome(StrEnum):
    SENT = "sent"
    LATER = "later"
    """Not taken now; this letter is tried again."""
    REFUSED = "refused"
    """Never will be taken; trying again is pointless."""
    UNREACHABLE = "unreachable"
    """Nothing at all can be sent at the moment: no connection, wrong credentials, a sender that is not accepted."""


class Receipt(NamedTuple):
    parcel: int
    outcome: Outcome
    message: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a notifier is made with, anew for every batch."""

    mail: Mapping[str, Any] | None
    """`Installation.spec.mail`."""
    secrets: Path
    host: str
    """This machine's name."""
    installation: str = ""
    """The installation's uid: names what comes from it."""
    author_of: Callable[[str, str], str] = field(default=lambda commit, path: "")
    """Who wrote what stands in a file (`jobs.d/x.yaml:3`) at a commit, "" when that cannot be told."""


class Notifier(Protocol):
    """A module of `reconciler.notifiers` with `make(setting) -> Notifier` and `SCHEMES`."""

    def send(self, parcels: Sequence[Parcel], address: str) -> Iterator[Receipt]:
        """Send all of them, one receipt each. `address`: of a webhook, from its secret; mail has its recipients."""

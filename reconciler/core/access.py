"""Who may see and do what (CONTRACT.md 2, Access). One place, default deny: what is not listed is refused.

To a domain administrator everything outside the own domains is unknown, not forbidden: an answer that tells
"there is such a thing, but not for you" from "there is none" would already say too much.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

SYSTEM: Final = "system"
DOMAIN: Final = "domain"

SEES: Final = frozenset(
    ("get", "describe", "logs", "history", "events", "forecast", "status", "explain", "validate")
)
"""Verbs that only read."""
ACTS: Final = frozenset(("run", "cancel", "mark_read", "pause", "resume", "schedule", "delete_runs"))
"""Verbs on one target or its runs."""
INSTALLATION: Final = frozenset(
    (
        "apply",
        "approve",
        "sync",
        "plan",
        "serve",
        "doctor",
        "pause_local",
        "import",
        "impersonate",
    )
)
"""Verbs on the whole, or on what only its operators answer for."""


class Viewer(NamedTuple):
    """Someone who looks or asks; `domains` counts for the role `domain` only."""

    name: str
    role: str
    domains: tuple[str, ...] = ()

    @property
    def is_system(self) -> bool:
        return self.role == SYSTEM

    def sees(self, domain: str) -> bool:
        """Tell whether targets of this domain exist for the viewer; "" is the installation."""
        return self.is_system or (self.role == DOMAIN and domain != "" and domain in self.domains)


class Thing(NamedTuple):
    """An object of the source, as far as access depends on it."""

    kind: str
    name: str
    domain: str = ""


NOBODY: Final = Viewer("", "")


def may(viewer: Viewer, verb: str, on: str | Thing | None = None) -> bool:
    """Decide one question.

    `on` is the domain of a target ("" for an installation job), an object, or None for the whole.
    """
    if verb not in SEES and verb not in ACTS and verb not in INSTALLATION:
        return False
    if viewer.role == SYSTEM:
        return True
    if viewer.role != DOMAIN or verb in INSTALLATION:
        return False
    if on is None:
        # A list: the rows that come back are the ones that the viewer sees.
        return verb in SEES
    if isinstance(on, Thing):
        return verb in SEES and _sees_object(viewer, on)
    return viewer.sees(on)


def _sees_object(viewer: Viewer, thing: Thing) -> bool:
    if thing.domain:
        return viewer.sees(thing.domain)
    if thing.kind == "Domain":
        return viewer.sees(thing.name)
    return thing.kind == "Administrator" and thing.name == viewer.name


def viewer_of(name: str, spec: Mapping[str, Any]) -> Viewer:
    """Make the viewer out of the spec of an Administrator document."""
    return Viewer(name, str(spec.get("role", "")), tuple(str(d) for d in spec.get("domains") or ()))


def owner(user: str, administrators: Iterable[tuple[str, Mapping[str, Any]]]) -> Viewer:
    """Who a user is to whom the state belongs: the Administrator (name, spec) with `unix:<user>`, else just the user.

    Whatever role that Administrator has: who can write the files of the state can do everything.
    """
    listed = identified(f"unix:{user}", administrators)
    return Viewer(listed.name if listed is not None else user, SYSTEM)


def identified(identity: str, administrators: Iterable[tuple[str, Mapping[str, Any]]]) -> Viewer | None:
    """Find the Administrator (name, spec) who lists this identity, such as `unix:alice`. None: forbidden.

    An identity that two of them list identifies nobody.
    """
    found = [
        viewer_of(name, spec) for name, spec in administrators if identity in (spec.get("identities") or ())
    ]
    return found[0] if len(found) == 1 else None

"""Who asks: the users of this machine as the Administrators of the documents in force."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from reconciler.core.access import Viewer, identified, may, owner, viewer_of
from reconciler.daemon.http import CommandError


class Viewers:
    """Finds viewers. `listed` gives name and spec of each Administrator in force."""

    def __init__(self, state: Path, listed: Callable[[], Iterable[tuple[str, Mapping[str, Any]]]]) -> None:
        self._state, self._listed = state, listed

    def of_user(self, uid: int) -> Viewer | None:
        """Who the user of a socket's peer is: root and the state's owner are system; None: nobody here."""
        if uid in (0, self._state.stat().st_uid):
            return self.owner(uid)
        return identified(f"unix:{_name_of(uid)}", self._listed())

    def owner(self, uid: int) -> Viewer:
        """Who a user is that the state belongs to, or that could open it."""
        return owner(_name_of(uid), self._listed())

    def impersonate(self, viewer: Viewer, name: str) -> Viewer:
        """Let a system administrator look and act as another one. Raises CommandError."""
        if not may(viewer, "impersonate"):
            if name == viewer.name:
                return viewer
            raise CommandError(403, f"{viewer.name} may not act as another administrator")
        # Also of the own name: who owns the state may be listed as an Administrator that sees less.
        for known, spec in self._listed():
            if known == name:
                return viewer_of(name, spec)
        raise CommandError(404, f"there is no administrator `{name}`")


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

"""Who calls, for verbs that work on files: what concerns a target or the whole is decided by `core.access` alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.reading import DATABASE, read, repository_of, state_of

if TYPE_CHECKING:
    from reconciler.cli.frame import Call
    from reconciler.core.access import Viewer


def acting(call: Call) -> Viewer:
    """Who calls: as the state knows them; before there is one, as the files say."""
    from reconciler.core.access import SYSTEM, Viewer

    try:
        me = read(call, "me")
    except Failure as failure:
        if failure.exit_code is not Exit.NO_DAEMON or os.path.exists(os.path.join(state_of(call), DATABASE)):
            raise
        return _in_files(call) if call.as_name else Viewer("system", SYSTEM)
    return Viewer(me["name"], me["role"], tuple(me["domains"]))


def _in_files(call: Call) -> Viewer:
    from reconciler.cli.tree import validated
    from reconciler.core.access import Viewer

    listed = validated(repository_of(call)).desired.administrators.get(call.as_name)
    if listed is None:
        raise Failure(Exit.NOT_FOUND, f"there is no Administrator `{call.as_name}`") from None
    return Viewer(listed.name, listed.role, listed.domains)


def for_system_only(call: Call, verb: str) -> None:
    """Refuse a verb about the whole to those who answer for domains only. Raise Failure."""
    if not call.as_name:
        # Whoever may read the whole state, or has none yet, acts for the system; the socket decides for the others.
        return
    from reconciler.core.access import may

    who = acting(call)
    if not may(who, verb):
        raise Failure(Exit.FORBIDDEN, f"{who.name} may not {verb}: that is for system administrators")

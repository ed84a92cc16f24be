"""Where the state is, and how a verb reads it: the file itself where it may, else through the daemon."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from reconciler.cli.exits import Exit, Failure
from reconciler.ports.database import opened

if TYPE_CHECKING:
    import sqlite3

    from reconciler.cli.frame import Call
    from reconciler.core.access import Viewer

SOURCE = "jobs.d"
DATABASE = "state.db"


def repository_of(call: Call) -> str:
    """The folder that has `jobs.d`: `-C` (it or `jobs.d` itself), else searched upwards as git does."""
    if call.directory:
        here = os.path.abspath(call.directory)
        if os.path.isdir(os.path.join(here, SOURCE)):
            return here
        if os.path.basename(here) == SOURCE and os.path.isdir(here):
            return os.path.dirname(here)
        raise Failure(
            Exit.NOT_FOUND, f"there is no {SOURCE} in {here}", f"`reconcile init {call.directory}` makes one"
        )
    try:
        here = os.getcwd()
    except FileNotFoundError:
        raise Failure(Exit.NOT_FOUND, "the current folder was removed", "change to another one") from None
    while not os.path.isdir(os.path.join(here, SOURCE)):
        above = os.path.dirname(here)
        if above == here:
            raise Failure(
                Exit.NOT_FOUND,
                f"there is no {SOURCE} in {os.getcwd()} or above it",
                "`reconcile init` makes one here; -C DIR says where it is",
            )
        here = above
    return here


def state_of(call: Call) -> str:
    """The state directory, whether or not it exists yet."""
    return os.path.abspath(call.state) if call.state else os.path.join(repository_of(call), ".reconcile")


def read(call: Call, view: str, /, **query: Any) -> dict[str, Any]:
    """Look at one view as this caller may. Raise Failure where there is nothing to read or to find."""
    words = {key: str(value) for key, value in query.items() if value not in (None, "", False)}
    if call.domain:
        words.setdefault("domain", call.domain)
    if call.labels:
        words.setdefault("label", ",".join(call.labels))
    state = state_of(call)
    if not os.access(state, os.X_OK | os.R_OK):
        if not os.path.exists(state):
            raise Failure(
                Exit.NO_DAEMON,
                f"nothing has been applied yet: there is no state in {state}",
                "`reconcile apply` or `reconcile serve` begins; --state DIR says where it is",
            )
        return _asked(call, state, view, words)
    path = os.path.join(state, DATABASE)
    if not os.path.exists(path):
        raise Failure(
            Exit.NO_DAEMON,
            f"nothing has been applied yet: there is no {DATABASE} in {state}",
            "`reconcile apply` or `reconcile serve` begins",
        )
    if not os.access(path, os.R_OK):
        return _asked(call, state, view, words)
    return _looked(call, path, view, words)


def _asked(call: Call, state: str, view: str, words: dict[str, str]) -> dict[str, Any]:
    from reconciler.cli.client import ask

    if call.as_name:
        words["as"] = call.as_name
    return ask(state, f"/v1/{view}", words)


def _looked(call: Call, path: str, view: str, words: dict[str, str]) -> dict[str, Any]:
    import sqlite3

    from reconciler.views import BadQuery, UnknownName, look

    try:
        with opened(path) as connection:
            return look(view, connection, viewer(call, connection), words)
    except UnknownName as error:
        raise Failure(Exit.NOT_FOUND, str(error), error.hint) from None
    except BadQuery as error:
        raise Failure(Exit.USAGE, str(error)) from None
    except sqlite3.DatabaseError as error:
        raise Failure(
            Exit.FAILED, f"could not read {path}: {error}", "`reconcile doctor` says what is wrong with it"
        ) from None


def viewer(call: Call, connection: sqlite3.Connection) -> Viewer:
    """Who looks: with `--as` that Administrator; who may read the state itself sees everything."""
    from reconciler.core.access import owner, viewer_of
    from reconciler.views.administrators import documents

    if call.as_name:
        from reconciler.views.names import did_you_mean

        known = dict(documents(connection))
        if call.as_name not in known:
            raise Failure(
                Exit.NOT_FOUND,
                f"there is no Administrator `{call.as_name}`",
                did_you_mean(call.as_name, known),
            )
        return viewer_of(call.as_name, known[call.as_name])
    return owner(user_name(), documents(connection))


def user_name() -> str:
    """The name of the user whose process this is."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def complete(call: Call, of: str, text: str) -> list[str]:
    """Names that begin with the text; none when nothing can be read, for a completion never complains."""
    if call.domain and of == "domains":
        call.domain = ""
    try:
        items = read(call, "completion", of=of, prefix=text)["items"]
    except Failure:
        return []
    return [str(name) for name in items]

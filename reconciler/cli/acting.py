"""Commands: what concerns a run, an approval, a mark or a local override goes to the daemon, or is done in-process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.cli.client import EXITS
from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call
from reconciler.cli.reading import repository_of, state_of
from reconciler.ports.control import connected

if TYPE_CHECKING:
    from reconciler.daemon.options import Options


def perform(
    call: Call, command: str, payload: dict[str, Any], options: Options | None = None
) -> dict[str, Any]:
    """Have one command done by whoever holds the state; return its answer."""
    from reconciler.daemon.commands import perform as do
    from reconciler.daemon.http import CommandError
    from reconciler.daemon.lock import StateUnusable
    from reconciler.daemon.reconciler import HostMismatch
    from reconciler.store.opening import StoreError

    if call.as_name:
        payload = {**payload, "as": call.as_name}
    try:
        return do(state_of(call), command, payload, directory=repository_of(call), options=options)
    except CommandError as error:
        raise Failure(EXITS.get(error.status, Exit.FAILED), str(error), error.hint) from None
    except HostMismatch as error:
        raise Failure(Exit.BLOCKED, str(error)) from None
    except (StateUnusable, StoreError) as error:
        raise Failure(Exit.FAILED, str(error)) from None


def daemon_answers(state: str) -> bool:
    """Whether a daemon listens for this state."""
    try:
        with connected(state, 5.0):
            return True
    except OSError:
        return False

"""Commands: what concerns a run, an approval, a mark or a local override goes to the daemon, or is done in-process."""

from __future__ import annotations

from typing import Any

from reconciler.cli.frame import Call
from reconciler.cli.reading import repository_of, state_of


def perform(call: Call, command: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Have one command done by whoever holds the state; return its answer."""
    from reconciler.daemon.commands import perform as do

    if call.as_name:
        payload = {**payload, "as": call.as_name}
    answer: dict[str, Any] = do(state_of(call), command, payload, directory=repository_of(call))
    return answer

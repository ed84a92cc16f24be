"""Look whether state, machine and jobs are well; say what to do where they are not.

Exits 1 when something is an error. With --rebuild, runs whose directories the state does not know are taken into the
history: after a lost or restored state.db. Nothing is started or caught up by that.
"""

from __future__ import annotations

import os
import time
from typing import Any

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import DOCUMENT_FORMATS, Call, say, verb
from reconciler.cli.out import colored, document, emit, paint
from reconciler.cli.reading import repository_of, state_of
from reconciler.cli.serving import SECRETS
from reconciler.cli.who import for_system_only

_ICONS = {
    "ok": ("✔", "success"),
    "info": ("–", "progress"),
    "warning": ("⚠", "warning"),
    "error": ("✘", "failure"),
}


@verb(formats=DOCUMENT_FORMATS)
@click.option("--rebuild", is_flag=True, help="Take runs that the state does not know into the history.")
@click.option(
    "--secrets",
    default="",
    envvar="RECONCILE_SECRETS",
    metavar="DIR",
    help="Where the daemon has its secrets.",
)
def command(call: Call, rebuild: bool, secrets: str) -> int:
    for_system_only(call, "doctor")
    state = state_of(call)
    if os.path.exists(state) and not os.access(state, os.R_OK | os.X_OK):
        raise Failure(
            Exit.FORBIDDEN, f"{state} may not be read by you", "doctor is for root and the state's owner"
        )
    if rebuild:
        _rebuild(state)
        return Exit.OK
    from reconciler.cli.doctoring import SEVERITIES, Subject, examine

    folder = secrets or os.environ.get("CREDENTIALS_DIRECTORY") or SECRETS
    subject = Subject(
        state, _repository(call), os.path.abspath(folder), time.clock_gettime(time.CLOCK_REALTIME)
    )
    try:
        found = examine(subject)
    finally:
        subject.close()
    found.sort(key=lambda each: -SEVERITIES.index(each.severity))
    items = [
        {"check": each.check, "severity": each.severity, "message": each.message, "help": each.help}
        for each in found
    ]
    if call.output == "table":
        emit("".join(_lines(call, each) for each in items))
    else:
        emit(document(call.output, {"items": items}))
    return Exit.FAILED if any(each.severity == "error" for each in found) else Exit.OK


def _repository(call: Call) -> str:
    try:
        return repository_of(call)
    except Failure:
        return ""


def _lines(call: Call, item: dict[str, Any]) -> str:
    icon, kind = _ICONS[item["severity"]]
    head = f"{paint(icon, kind, colored(call))} {item['check']:<16} {item['message']}\n"
    return head + (f"{'':<19}-> {item['help']}\n" if item["help"] and item["severity"] != "ok" else "")


def _rebuild(state: str) -> None:
    from pathlib import Path

    from reconciler.daemon.lock import StateHeld, StateLock, StateUnusable, prepare
    from reconciler.daemon.rebuilding import rebuild
    from reconciler.store.opening import StoreError

    try:
        prepare(Path(state))
        with StateLock(Path(state), "doctor --rebuild"):
            taken = rebuild(Path(state))
    except StateHeld as error:
        raise Failure(Exit.BLOCKED, str(error), "stop it first: one process writes the state") from None
    except (StateUnusable, StoreError) as error:
        raise Failure(Exit.FAILED, str(error)) from None
    for path in taken.unreadable:
        say(f"left out, for it says nothing of a run: {path}")
    say(
        f"{taken.runs} runs of {taken.targets} targets taken into the history, {taken.running} of them still running"
    )

"""What a person may have done besides editing files: commands, through the daemon or, without one, in-process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.clock import monotonic, sleep
from reconciler.core import facts as f
from reconciler.core.access import Viewer, may
from reconciler.core.model import TargetId
from reconciler.daemon import planfiles
from reconciler.daemon.folders import put_aside, run_folder, size_of
from reconciler.daemon.http import CommandError
from reconciler.daemon.lock import PRIVATE_UMASK, StateHeld, StateLock, prepare
from reconciler.daemon.options import Options
from reconciler.ports.control import SOCKET, connected

if TYPE_CHECKING:
    from reconciler.core.changes_file import PlanFile
    from reconciler.daemon.reconciler import Look, Reconciler

LOCK_SECONDS = 10.0
"""How long a verb waits for another one that has the state for a moment."""

MOST_DELETED = 500
"""Runs that one command removes at most."""
COMMANDS: dict[str, Callable[[Reconciler, Mapping[str, Any], Viewer], dict[str, Any]]] = {}


def _command(function: Callable[[Reconciler, Mapping[str, Any], Viewer], dict[str, Any]]) -> Any:
    COMMANDS[function.__name__] = function
    return function


Decide = Callable[[Callable[[], Any]], Any]
"""Has a call carried out by the thread that decides, and gives its result."""


def carry_out(
    reconciler: Reconciler, name: str, payload: Mapping[str, Any], who: Viewer, decide: Decide
) -> dict[str, Any]:
    """Carry out one command; any thread may ask. Raises CommandError with what to do."""
    if name == "apply":
        return _apply(reconciler, payload, who, decide)
    function = COMMANDS.get(name)
    if function is None:
        raise CommandError(404, f"there is no command `{name}`")
    answer: dict[str, Any] = decide(lambda: function(reconciler, payload, who))
    return answer


def _target(reconciler: Reconciler, payload: Mapping[str, Any], who: Viewer, verb: str) -> TargetId:
    """The target that is named, if it exists for this person: what may not be seen is unknown, not forbidden."""
    target = TargetId.parse(str(payload.get("target", "")))
    known = target in reconciler.engine.board.desired.targets or reconciler.store.seen(target) is not None
    if not known or not may(who, "get", target.domain):
        raise CommandError(404, f"there is no target `{target}`")
    if not may(who, verb, target.domain):
        raise CommandError(403, f"{who.name} may not {verb.replace('_', ' ')} {target}")
    return target


@_command
def cancel(reconciler: Reconciler, payload: Mapping[str, Any], who: Viewer) -> dict[str, Any]:
    """Stop one run of a target (`run`), or all of its runs that are not over."""
    target = _target(reconciler, payload, who, "cancel")
    run = payload.get("run")
    names = reconciler.engine.request_cancel(target, str(run) if run else None, who.name)
    if not names:
        what = f"run {run} of {target} is" if run else f"no run of {target} is"
        raise CommandError(404, f"{what} queued or running" if not run else f"{what} not queued or running")
    return {"target": str(target), "runs": names}


@_command
def mark_read(reconciler: Reconciler, payload: Mapping[str, Any], who: Viewer) -> dict[str, Any]:
    """Note that this administrator has opened the logs of a target."""
    target = _target(reconciler, payload, who, "mark_read")
    reconciler.store.mark_read(who.name, target)
    return {"target": str(target)}


@_command
def delete_runs(reconciler: Reconciler, payload: Mapping[str, Any], who: Viewer) -> dict[str, Any]:
    """Remove `runs` of a target from the history, or those over `before` (epoch seconds), some hundred at a time."""
    target = _target(reconciler, payload, who, "delete_runs")
    names = [str(name) for name in payload.get("runs") or ()]
    before = payload.get("before")
    if bool(names) == (before is not None) or len(names) > MOST_DELETED:
        raise CommandError(400, f"name up to {MOST_DELETED} runs, or give `before`")
    store = reconciler.store
    found = store.runs_to_remove(target, names, before, MOST_DELETED)
    for name in names:
        if name not in found:
            raise CommandError(404, f"{target} has no run {name}")
        if not found[name].over:
            raise CommandError(409, f"{target}/{name} is not over", "`reconcile cancel` ends it")
    if not found:
        return {"target": str(target), "runs": []}
    state = reconciler.options.state
    size = sum(size_of(run_folder(state, target, name), each.attempts) for name, each in found.items())
    chosen = list(found)
    why = f.HistoryRemoved(
        reconciler.clock.now().wall, len(chosen), size, "by hand", chosen[0], chosen[-1], who.name
    )
    put_aside(state, target, chosen)
    reconciler.engine.remove_runs(target, chosen, why)
    reconciler.put_aside()
    return {"target": str(target), "runs": chosen, "bytes": size}


@_command
def pause_local(reconciler: Reconciler, payload: Mapping[str, Any], who: Viewer) -> dict[str, Any]:
    """Pause a target on this machine for `forSeconds`, or (with 0) end that."""
    target = _target(reconciler, payload, who, "pause_local")
    seconds = float(payload.get("forSeconds", 0))
    until = reconciler.clock.now().wall + timedelta(seconds=seconds) if seconds > 0 else None
    reconciler.engine.pause_locally(target, until, str(payload.get("reason", "")), who.name)
    return {"target": str(target), "until": until.isoformat() if until else None}


def _apply(reconciler: Reconciler, payload: Mapping[str, Any], who: Viewer, decide: Decide) -> dict[str, Any]:
    """Look at the source now, without holding up decisions, and have it applied."""
    if not may(who, "apply"):
        raise CommandError(403, f"{who.name} may not apply: that is for system administrators")
    approve = str(payload.get("approve") or "")
    if approve and not may(who, "approve"):
        raise CommandError(403, f"{who.name} may not approve removals")
    plan = planfiles.plan_of(payload.get("plan"))
    if plan is not None:
        approve = plan.approval
    reconciler.source.sync()
    look = reconciler.look_patiently(approve)
    while not decide(partial(_take, reconciler, look, plan)):
        look = reconciler.look_patiently(approve)
    return {"held": look.held.message if look.held else ""}


def _take(reconciler: Reconciler, look: Look, plan: PlanFile | None) -> bool:
    """Apply a look; with a plan only if it is what the plan shows, and the plan is used up."""
    if plan is not None and look.held is None:
        planfiles.check(reconciler, plan, look)
        planfiles.note(reconciler, plan)
    return reconciler.take(look)


def perform(
    state: Path | str,
    command: str,
    payload: Mapping[str, Any],
    *,
    directory: Path | str,
    options: Options | None = None,
) -> dict[str, Any]:
    """Have a command carried out: by the daemon if one holds the state, else here, with its lock for a moment.

    Raises CommandError, StateUnusable, StoreError.
    """
    state = Path(state)
    answer = _ask_daemon(state, command, payload)
    if answer is not None:
        return answer
    prepare(state)
    lock = _lock(state, command)
    if lock is None:
        return perform(state, command, payload, directory=directory, options=options)
    from reconciler.daemon.reconciler import Reconciler

    with lock, _privately():
        told = options or Options(Path(directory), state, state / "secrets")
        reconciler = Reconciler(told, starts=False)
        try:
            who = _impersonated(reconciler, str(payload.get("as", "") or ""))
            answer = carry_out(reconciler, command, payload, who, lambda call: call())
            reconciler.write_outputs()
            return answer
        finally:
            reconciler.close()


@contextmanager
def _privately() -> Iterator[None]:
    before = os.umask(PRIVATE_UMASK)
    try:
        yield
    finally:
        os.umask(before)


def _lock(state: Path, command: str) -> StateLock | None:
    """The state's lock, once the verb that has it is done; None when a daemon has begun to listen meanwhile."""
    end = monotonic() + LOCK_SECONDS
    while True:
        try:
            return StateLock(state, command)
        except StateHeld as error:
            if _listens(state):
                return None
            if monotonic() > end:
                raise CommandError(503, str(error), "wait until it is done, and try again") from error
        sleep(0.05)


def _listens(state: Path) -> bool:
    try:
        connected(str(state), 1.0).close()
    except OSError:
        return False
    return True


def _impersonated(reconciler: Reconciler, name: str) -> Viewer:
    owner = reconciler.viewers.owner(os.geteuid())
    return reconciler.viewers.impersonate(owner, name) if name else owner


def _ask_daemon(state: Path, command: str, payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """POST to the control socket; None when nobody listens there."""
    body = json.dumps(payload).encode()
    head = f"POST /v1/{command} HTTP/1.1\r\nHost: reconcile\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    try:
        link = connected(str(state), 120.0)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        return None
    except PermissionError as error:
        hint = "ask for an Administrator with `unix:<you>`"
        raise CommandError(403, f"{state / SOCKET} may not be used by you", hint) from error
    with link:
        link.sendall(head.encode() + body)
        parts = []
        while part := link.recv(1 << 16):
            parts.append(part)
    header, _, content = b"".join(parts).partition(b"\r\n\r\n")
    status = int(header.split(b" ", 2)[1])
    answer: dict[str, Any] = json.loads(content)
    if status != 200:
        raise CommandError(status, str(answer.get("error", "")), str(answer.get("hint", "")))
    return answer

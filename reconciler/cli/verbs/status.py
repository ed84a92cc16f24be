"""Say how the installation fares: source, rejected files, what runs, fails or is overdue."""

from __future__ import annotations

from typing import Any

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import DOCUMENT_FORMATS, Call, say, verb
from reconciler.cli.out import colored, document, paint, watched
from reconciler.cli.reading import read, state_of
from reconciler.cli.times import ago, now


@verb(formats=DOCUMENT_FORMATS, watches=True)
@click.option(
    "--wait-revision",
    metavar="SHA",
    default="",
    help="Wait until this commit is applied; the exit code says how.",
)
@click.option("--timeout", metavar="T", default="2m", show_default=True, help="How long to wait.")
def command(call: Call, wait_revision: str, timeout: str) -> int:
    code = _wait(call, wait_revision, timeout) if wait_revision else Exit.OK

    def render() -> str:
        status = read(call, "status")
        return _text(call, status) if call.output == "table" else document(call.output, status)

    watched(call, render)
    if code is Exit.KEPT_LAST_GOOD:
        say("applied, but for the rejected files, which stay at their last good version")
    return code


def _wait(call: Call, revision: str, timeout: str) -> Exit:
    """Wait until a commit, or one that contains it, was looked at; give how far it is applied. Raise Failure."""
    from reconciler.cli.serving import seconds_of
    from reconciler.cli.waiting import pause

    end = now() + seconds_of(timeout)
    reached: dict[str, bool] = {}
    while True:
        status = read(call, "status")
        source = status["source"]
        at = str(source.get("observedRevision") or source.get("revision") or "")
        if at not in reached:
            reached[at] = at.startswith(revision) or _contains(call, at, revision)
        held = source.get("held") or {}
        if held.get("approval") or (reached[at] and (source.get("refused") or source.get("prune"))):
            raise Failure(
                Exit.BLOCKED, f"{revision} is not applied as a whole", "`reconcile status` says why"
            )
        if reached[at] and not held:
            return Exit.KEPT_LAST_GOOD if status["rejectedFiles"] else Exit.OK
        if now() > end:
            raise Failure(Exit.TIMEOUT, f"{revision} was not applied within {timeout}; {at or 'nothing'} is")
        pause(0.3)


def _contains(call: Call, commit: str, revision: str) -> bool:
    """Whether a commit has the revision behind it: more may have been pushed meanwhile."""
    if not commit:
        return False
    from reconciler.cli.reading import repository_of
    from reconciler.sources import git

    try:
        return git.attempt(repository_of(call), "merge-base", "--is-ancestor", revision, commit).code == 0
    except (git.GitError, Failure):
        return False


def _text(call: Call, status: dict[str, Any]) -> str:
    from reconciler.cli.acting import daemon_answers

    color, at = colored(call), now()
    source, counts, daemon = status["source"], status["targets"], status["daemon"]
    lines = []
    if daemon_answers(state_of(call)):
        said = daemon or {}
        pid = f", pid {said['pid']}" if said.get("pid") else ""
        listen = f", http://{said['listen']}" if said.get("listen") else ""
        lines.append(("Daemon", "success", f"running {said.get('version', '')}{pid}{listen}"))
    else:
        lines.append(("Daemon", "missed", "not running: nothing starts; `reconcile serve` starts it"))
    revision = (source["revision"] or "none")[:12] + ("+dirty" if source.get("dirty") else "")
    applied = ago(source["appliedAt"], at) if source.get("appliedAt") else "never"
    lines.append(("Source", "", f"{source.get('mode') or 'unknown'}, revision {revision}, applied {applied}"))
    for key, title in (("held", "Held"), ("refused", "Refused"), ("prune", "Prune")):
        blocked = source.get(key)
        if blocked:
            digest = blocked.get("digest") or blocked.get("approval")
            hint = f"; `reconcile apply --approve {digest}` lets it happen" if digest else ""
            lines.append((title, "failure", f"{blocked.get('message') or blocked.get('reason')}{hint}"))
    for problem in (status.get("reports") or {}).get("problems", {}).values():
        since = ago(problem["since"], at)
        lines.append(("Reports", "failure", f"cannot be sent since {since}: {problem['message']}"))
    lines += [("Notice", "warning", notice) for notice in source.get("notices") or ()]
    lines += [("Rejected", "failure", _rejected(file)) for file in status["rejectedFiles"]]
    lines.append(("Targets", "", f"{counts['targets']}: {_counts(counts)}"))
    for key, kind in (
        ("failing", "failure"),
        ("overdue", "failure"),
        ("notReady", "failure"),
        ("drifted", "warning"),
    ):
        if counts[key]:
            word = {"notReady": "not ready"}.get(key, key)
            option = {"failing": "failure,interrupted", "notReady": "not-ready"}.get(key, key)
            lines.append((word.capitalize(), kind, f"{counts[key]}: `reconcile get jobs --status {option}`"))
    return "".join(f"{title:<10}{paint(text, kind, color)}\n" for title, kind, text in lines)


def _rejected(file: dict[str, Any]) -> str:
    first = file["errors"][0] if file["errors"] else {}
    place = f"{file['path']}:{first['line']}" if first.get("line") else file["path"]
    return f"{place}: {first.get('code', '')} {first.get('message', '')}"


def _counts(counts: dict[str, int]) -> str:
    words = {"running": "running", "queued": "queued", "warning": "in warning", "paused": "paused",
             "neverRan": "never ran"}  # fmt: skip
    return (
        ", ".join(f"{counts[key]} {word}" for key, word in words.items() if counts[key]) or "none is running"
    )

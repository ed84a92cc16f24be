"""Check all files, offline: every error of every file at once.

PATH is a repository, its jobs.d or one file of it; one file is checked within its repository.
"""

from __future__ import annotations

import os
from dataclasses import replace

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, say, verb
from reconciler.cli.out import colored, emit
from reconciler.cli.reading import SOURCE, repository_of
from reconciler.cli.who import acting
from reconciler.ports.source import area_of

FOR_FORGES = ("github", "sarif")
"""Forms whose paths a forge reads, from the top of the git repository."""
FORMS = ("full", "concise", "json", "github", "sarif")


@verb(formats=FORMS)
@click.argument("path", required=False, type=click.Path(exists=True))
def command(call: Call, path: str | None) -> int:
    from reconciler.cli.tree import validated
    from reconciler.core.diagnostics import render, summary

    only = ""
    if path and os.path.isfile(path):
        call.directory, only = _repository_of_file(path)
    elif path:
        call.directory = path
    repository = repository_of(call)
    result = validated(repository)
    found = [each for each in result.diagnostics if not only or each.path == only]
    if call.as_name:
        who = acting(call)
        found = [each for each in found if who.sees(area_of(each.path) or "")]
    if call.output in FOR_FORGES:
        below = _below_git(repository)
        found = [replace(each, path=f"{below}{each.path}") for each in found]
    emit(render(found, call.output, colour=colored(call)))  # type: ignore[arg-type]
    counts = ", ".join(f"{count} {kind}" for kind, count in result.counts.items() if kind != "files")
    files = result.counts.get("files", 0)
    if any(each.severity == "error" for each in found):
        say(f"{summary(found)}; `reconcile explain CODE` tells more")
        return Exit.INVALID
    if not files:
        say(f"no documents in {os.path.join(repository, SOURCE)}: `reconcile init` writes a first job")
    elif call.output in ("full", "concise"):
        words = summary(found) or "valid"
        say(words if call.as_name else f"{words}: {files} file{'s' if files != 1 else ''} ({counts})")
        _say_not_ready(call)
    return Exit.OK


def _say_not_ready(call: Call) -> None:
    """Where these files are applied on this machine, say what it cannot run as it is."""
    from reconciler.cli.reading import DATABASE, state_of
    from reconciler.cli.verbs.apply import say_not_ready

    if os.access(os.path.join(state_of(call), DATABASE), os.R_OK):
        call.domain, call.labels = "", ()
        say_not_ready(call)


def _below_git(repository: str) -> str:
    """The path of the repository below the top of its git repository, with a slash at its end; else ""."""
    top = repository
    while not os.path.exists(os.path.join(top, ".git")):
        above = os.path.dirname(top)
        if above == top:
            return ""
        top = above
    below = os.path.relpath(repository, top)
    return "" if below == "." else f"{below.replace(os.sep, '/')}/"


def _repository_of_file(path: str) -> tuple[str, str]:
    full = os.path.abspath(path)
    parts = full.split(os.sep)
    if SOURCE not in parts[:-1]:
        raise Failure(
            Exit.USAGE, f"{path} is in no {SOURCE}", f"give the repository, or a file below its {SOURCE}"
        )
    root = os.sep.join(parts[: len(parts) - 1 - parts[::-1].index(SOURCE)])
    return root, os.path.relpath(full, root)

"""Show what apply would do: objects, targets, and runs added, removed or moved.

With --from and --to two git revisions are compared, without any state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, say, verb
from reconciler.cli.out import colored, emit
from reconciler.cli.reading import repository_of
from reconciler.cli.serving import options_of, source_options
from reconciler.cli.who import for_system_only

if TYPE_CHECKING:
    from reconciler.core.changes import Changes, Version
    from reconciler.ports.source import Snapshot


@verb(formats=("table", "wide", "json", "markdown"))
@click.option("--from", "from_", metavar="REV", default="", help="Compare from this git revision...")
@click.option("--to", metavar="REV", default="", help="...to this one (HEAD).")
@click.option(
    "--days", type=click.IntRange(1, 366), default=14, show_default=True, help="How far to look ahead."
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there are changes.")
@click.option("--out", metavar="FILE", default="", help="Keep the plan, to do exactly this: apply FILE.")
@source_options
def command(
    call: Call, from_: str, to: str, days: int, detailed_exitcode: bool, out: str, **source: Any
) -> int:
    from reconciler.cli.proposing import changes_in, proposal_of

    for_system_only(call, "plan")
    if from_ or to:
        if out:
            raise click.UsageError("--out keeps what would be applied here, not a comparison of revisions")
        changes = _between(call, from_ or "HEAD", to or "HEAD", days)
    else:
        options = options_of(call, source)
        proposal = proposal_of(options)
        changes = changes_in(str(options.state), proposal, days)
    show(call, changes)
    if out:
        _keep(out, changes, proposal.before, proposal.wanted)
    errors = [each for each in changes.diagnostics if each.severity == "error"]
    if errors:
        say("files with errors stay at their last good version; `reconcile validate` shows them")
    if detailed_exitcode and not changes.is_empty:
        return Exit.CHANGES
    return Exit.INVALID if errors and (from_ or to) else Exit.OK


def _keep(path: str, changes: Changes, before: Version, wanted: Version) -> None:
    """Write the plan file."""
    import uuid

    from reconciler.core.changes_file import write_plan

    text = write_plan(changes, before, wanted, uuid.uuid4().hex)
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Failure(Exit.FAILED, f"could not write {path}: {error.strerror}") from None
    say(f"kept in {path}: `reconcile apply {path}` does exactly this, once")


def show(call: Call, changes: Changes) -> None:
    """Write changes in the form that was asked for."""
    if call.output == "json":
        from reconciler.core.changes_json import render_json

        emit(render_json(changes))
    elif call.output == "markdown":
        from reconciler.core.changes_markdown import render_markdown

        emit(render_markdown(changes))
    else:
        from reconciler.core.changes_text import MAX_ROWS, render_text

        emit(render_text(changes, colour=colored(call), rows=None if call.output == "wide" else MAX_ROWS))


def _between(call: Call, old: str, new: str, days: int) -> Changes:
    """What applying one revision would change where the other one was applied."""
    from reconciler.clock import wall
    from reconciler.spec.loading import loader_of
    from reconciler.spec.proposal import compare
    from reconciler.spec.resolve import ResolveCache

    repository = repository_of(call)
    before, after = (_snapshot_of(repository, name) for name in (old, new))
    return compare(before, after, loader_of(ResolveCache(), clock=wall), wall()).changes(days)


def _snapshot_of(repository: str, name: str) -> Snapshot:
    """The files of a revision, as the source reads them."""
    from reconciler.sources import git
    from reconciler.sources.tree import read_revision

    try:
        commit = git.commit_of(repository, name)
        if not commit:
            raise Failure(Exit.NOT_FOUND, f"there is no revision `{name}` in {repository}")
        return read_revision(repository, commit)
    except git.GitError as error:
        raise Failure(Exit.FAILED, f"could not read `{name}` of {repository}: {error}") from None

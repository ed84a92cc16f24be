"""List the runs of one job, the newest first; `--blame` finds what broke it, `--delete` removes runs.

--delete takes runs out of the history with their logs, by name or (`--before`) all that were over by then. It changes
nothing about what runs when, is kept in `reconcile events` with your name, and nothing brings them back.
"""

from __future__ import annotations

from typing import Any

import click

from reconciler.cli.exits import Exit
from reconciler.cli.frame import TABLE_FORMATS, Call, complete_targets, say, verb


@verb(formats=TABLE_FORMATS, watches=True)
@click.argument("name", shell_complete=complete_targets)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--status", default="", help="Only these: failure,missed,...")
@click.option("--contains", default="", metavar="WORD", help="In message or note.")
@click.option("--since", default="", metavar="T", help="Since then: 2h, 2026-11-22, ...")
@click.option("--limit", default="", metavar="N", help="At most so many (50; 0 for all).")
@click.option(
    "--blame", is_flag=True, help="The first failing run beside the commit that changed the job before it."
)
@click.option("--delete", is_flag=True, help="Remove the runs that are named, or those --before.")
@click.option(
    "--before", default="", metavar="T", help="With --delete: what was over then: 30d, 2026-11-22, ..."
)
def command(
    call: Call, name: str, runs: tuple[str, ...], blame: bool, delete: bool, before: str, **filters: str
) -> int:
    if delete:
        return _delete(call, name, runs, before)
    if runs or before:
        raise click.UsageError("runs to remove, and --before, go with --delete")
    if blame:
        return _blame(call, name)
    from reconciler.cli.verbs.get import show

    show(call, "runs", name=name, **filters)
    return Exit.OK


def _blame(call: Call, name: str) -> int:
    from reconciler.cli.blaming import blame
    from reconciler.cli.out import document, emit

    answer = blame(call, name)
    if call.output in ("json", "yaml"):
        emit(document(call.output, answer))
        return Exit.OK
    lines = [_told("First failure", answer["firstFailure"]), _told("Last good", answer["lastGood"])]
    for each in answer["commits"]:
        lines.append(
            f"{'Changed by':<14} {each['commit'][:12]} {each['at']} {each['author']}: {each['subject']}\n"
        )
        lines += [f"{'':<14} {what}\n" for what in each["changed"]]
    if answer["firstFailure"] and not answer["failing"]:
        lines.append("It does not fail any more.\n")
    if answer["note"]:
        lines.append(f"{'Note':<14} {answer['note']}\n")
    emit("".join(lines))
    return Exit.OK


def _told(title: str, run: dict[str, Any] | None) -> str:
    if run is None:
        return f"{title:<14} none is known\n"
    at = run.get("startedAt") or run.get("queuedAt")
    revision = run.get("revision", "")[:12] or "no revision"
    dirty = "+dirty" if run.get("dirty") else ""
    why = " ".join(part for part in (run.get("reason", ""), run.get("message", "")) if part)
    digest = run.get("digest", "")[:12]
    words = f"{run['name']} {run['state']} {at}" + (f" ({why})" if why else "")
    return f"{title:<14} {words}, {revision}{dirty}, digest {digest}\n"


def _delete(call: Call, name: str, runs: tuple[str, ...], before: str) -> int:
    from reconciler.cli.acting import perform
    from reconciler.cli.reading import read
    from reconciler.cli.times import instant_option, now

    if bool(runs) == bool(before):
        raise click.UsageError("--delete wants runs by name, or --before T")
    target = read(call, "describe", type="job", name=name)["item"]["target"]
    names = [run.rpartition("/")[2] for run in runs]
    chosen: dict[str, object] = {"runs": names} if names else {"before": instant_option(before, now())}
    count = 0
    while removed := perform(call, "delete_runs", {"target": target, **chosen})["runs"]:
        count += len(removed)
        if names:
            break
    say(f"removed {count} run{'s' if count != 1 else ''} of {target} from the history")
    return Exit.OK

"""List the runs of one job, the newest first; `--blame` finds what broke it, `--delete` removes runs.

--delete takes runs out of the history with their logs, by name or (`--before`) all that were over by then. It changes
nothing about what runs when, is kept in `reconcile events` with your name, and nothing brings them back.
"""

from __future__ import annotations

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
@click.option("--delete", is_flag=True, help="Remove the runs that are named, or those --before.")
@click.option(
    "--before", default="", metavar="T", help="With --delete: what was over then: 30d, 2026-11-22, ..."
)
def command(call: Call, name: str, runs: tuple[str, ...], delete: bool, before: str, **filters: str) -> int:
    if delete:
        return _delete(call, name, runs, before)
    if runs or before:
        raise click.UsageError("runs to remove, and --before, go with --delete")
    from reconciler.cli.verbs.get import show

    show(call, "runs", name=name, **filters)
    return Exit.OK


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

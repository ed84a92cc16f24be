"""List the runs of one job, the newest first."""

from __future__ import annotations

import click

from reconciler.cli.frame import TABLE_FORMATS, Call, complete_targets, verb


@verb(formats=TABLE_FORMATS, watches=True)
@click.argument("name", shell_complete=complete_targets)
@click.option("--status", default="", help="Only these: failure,missed,...")
@click.option("--contains", default="", metavar="WORD", help="In message or note.")
@click.option("--since", default="", metavar="T", help="Since then: 2h, 2026-11-22, ...")
@click.option("--limit", default="", metavar="N", help="At most so many (50; 0 for all).")
def command(call: Call, name: str, **filters: str) -> None:
    from reconciler.cli.verbs.get import show

    show(call, "runs", name=name, **filters)

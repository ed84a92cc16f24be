"""List jobs, runs, domains, requests or administrators.

A job of scope `domain` is one line for each domain. Without WHAT, jobs are listed.
"""

from __future__ import annotations

from typing import Any, Final

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import TABLE_FORMATS, Call, complete_targets, say, verb
from reconciler.cli.out import listing, watched
from reconciler.cli.reading import read

KINDS: Final = ("jobs", "runs", "domains", "requests", "administrators")
_SHORT: Final = {
    "job": "jobs", "target": "jobs", "targets": "jobs", "run": "runs", "domain": "domains", "request": "requests",
    "administrator": "administrators", "admins": "administrators", "runrequests": "requests",
}  # fmt: skip


@verb(formats=TABLE_FORMATS, watches=True)
@click.argument("what", required=False, default="jobs")
@click.argument("name", required=False, shell_complete=complete_targets)
@click.option("--status", default="", help="Only these: running,failure,never,overdue,paused,unread...")
@click.option("--contains", default="", metavar="WORD", help="In name, description or domain.")
@click.option("--since", default="", metavar="T", help="Runs since then: 2h, 2026-11-22, ...")
@click.option("--limit", default="", metavar="N", help="At most so many (runs: 50; 0 for all).")
def command(call: Call, what: str, name: str, **filters: str) -> None:
    kind = _SHORT.get(what, what)
    if kind not in KINDS:
        from reconciler.views.names import did_you_mean

        hint = did_you_mean(what, KINDS) or f"there are {', '.join(KINDS)}"
        raise Failure(Exit.USAGE, f"`get` knows no `{what}`", hint)
    show(call, kind, name=name, **filters)


def show(call: Call, kind: str, since: str = "", **query: Any) -> None:
    """Print one list, again and again with `--watch`."""
    from reconciler.cli.columns import KEYS, columns
    from reconciler.cli.times import instant_option, now

    if kind == "jobs" and call.output in ("table", "wide", "name"):
        query["brief"] = "1"

    def render() -> str:
        at = now()
        items = read(call, kind, since=instant_option(since, at), **query)["items"]
        if not items and call.output in ("table", "wide"):
            say(_nothing(call, kind, query))
        return listing(call, items, columns(kind, at, call.output == "wide"), KEYS[kind])

    watched(call, render)


def _nothing(call: Call, kind: str, query: dict[str, Any]) -> str:
    filtered = call.domain or call.labels or any(value for key, value in query.items() if key != "brief")
    if filtered:
        return f"no {kind} match"
    if kind == "jobs":
        return "no jobs yet: write one below jobs.d/ (`reconcile init` shows how) and `reconcile apply`"
    return f"no {kind} yet"

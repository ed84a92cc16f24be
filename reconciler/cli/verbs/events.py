"""Show what happened: the recorded facts, the newest last.

With -w, what happens next is added as it comes; `-o json` is then one object a line.
"""

from __future__ import annotations

import json
from typing import Any

import click

from reconciler.cli.frame import TABLE_FORMATS, Call, complete_targets, say, verb
from reconciler.cli.out import emit, listing
from reconciler.cli.reading import read


@verb(formats=TABLE_FORMATS, watches=True)
@click.argument("name", required=False, shell_complete=complete_targets)
@click.option("--since", default="", metavar="T", help="Since then: 2h, 2026-11-22, ...")
@click.option("--limit", default="", metavar="N", help="At most so many (50; 0 for all).")
def command(call: Call, name: str, since: str, limit: str) -> None:
    from reconciler.cli.columns import KEYS, columns
    from reconciler.cli.times import instant_option, now

    if call.watch and call.output in ("yaml", "markdown"):
        raise click.UsageError(
            f"what goes on is no {call.output} document: -w has the outputs table, wide, json, name"
        )
    items = read(call, "events", name=name, since=instant_option(since, now()), limit=limit)["items"]
    if not items and call.output in ("table", "wide"):
        say("nothing has happened yet")
    if call.watch and call.output == "json":
        emit("".join(f"{_line(item, call.output)}\n" for item in items))
    else:
        emit(listing(call, items, columns("events", now(), call.output == "wide"), KEYS["events"]))
    seen = items[-1]["seq"] if items else 0
    while call.watch:
        from reconciler.cli.waiting import pause

        pause(1.0)
        for item in read(call, "events", name=name, after=str(seen), limit="500")["items"]:
            emit(_line(item, call.output))
            seen = item["seq"]


def _line(item: dict[str, Any], form: str) -> str:
    match form:
        case "json":
            return json.dumps(item, ensure_ascii=False)
        case "name":
            return str(item["seq"])
    return f"{item['at']}  {item['target']}  {item['kind']}  {item['text']}"

"""Stop schedule and criteria of a target for a while: edits its Planning file in place, comments kept.

`reconcile run` still works, and what is skipped is not caught up. Without --until or --for it lasts until `resume`.
With --local nothing is written to files: this machine alone pauses, for a limited time, and shows it as drift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.exits import Exit
from reconciler.cli.frame import Call, complete_targets, say, verb

if TYPE_CHECKING:
    from reconciler.cli.planning import Fields


@verb()
@click.argument("target", shell_complete=complete_targets)
@click.option("--until", metavar="T", default="", help="2027-01-04T08:00, in the planning's zone, or a date.")
@click.option("--for", "for_", metavar="T", default="", help="So long: 2h, 3d.")
@click.option("--reason", default="", help="Why, for those who wonder.")
@click.option("--local", is_flag=True, help="Only on this machine, and only for a while.")
@click.option("-A", "--all-domains", is_flag=True, help="For every domain that the job has.")
@click.option("--commit", is_flag=True, help="Commit the file, and push it where there is a remote.")
def command(
    call: Call,
    target: str,
    until: str,
    for_: str,
    reason: str,
    local: bool,
    all_domains: bool,
    commit: bool,
) -> int:
    if until and for_:
        raise click.UsageError("say --until or --for, not both")
    if local:
        if commit or until or all_domains or not for_:
            raise click.UsageError("--local takes a target and --for T, and writes no file")
        return _locally(call, target, for_, reason)
    from reconciler.cli.planning import Tree, finish

    pause = {
        **({"until": until or _after(for_)} if until or for_ else {}),
        **({"reason": reason} if reason else {}),
    }
    tree = Tree(call)
    chosen = tree.choose(call, target, "pause", all_domains)
    if chosen.planning is not None:
        fields = _fields(chosen.planning.spec.get("pause"), pause)
        path = tree.change(chosen.planning, fields)
    else:
        path = tree.create(chosen, {"pause": pause})
    if not path:
        say(f"{chosen} is paused like that already")
        return Exit.OK
    words = f" until {pause['until']}" if "until" in pause else ""
    finish(
        call, tree.repository, path, f"pause: {chosen}{words}" + (f" ({reason})" if reason else ""), commit
    )
    return Exit.OK


def _fields(old: dict[str, str] | None, pause: dict[str, str]) -> Fields:
    """A pause in the place of another, field by field, so that comments beside them stay."""
    from reconciler.spec.edits import REMOVED

    if not old or not pause:
        return {("spec", "pause"): pause}
    fields: dict[tuple[str | int, ...], Any] = {("spec", "pause", key): value for key, value in pause.items()}
    return {**fields, **{("spec", "pause", key): REMOVED for key in old if key not in pause}}


def _after(text: str) -> str:
    from reconciler.cli.serving import seconds_of
    from reconciler.cli.times import now
    from reconciler.views.rows import iso

    return str(iso(now() + seconds_of(text)))


def _locally(call: Call, target: str, for_: str, reason: str) -> int:
    from reconciler.cli.acting import perform
    from reconciler.cli.reading import read
    from reconciler.cli.serving import seconds_of
    from reconciler.cli.times import local as in_words

    found = read(call, "describe", type="job", name=target)["item"]
    payload = {"target": found["target"], "forSeconds": seconds_of(for_), "reason": reason}
    answer = perform(call, "pause_local", payload)
    say(f"{answer['target']} is paused on this machine until {in_words(answer['until'])}; it shows as drift")
    return Exit.OK

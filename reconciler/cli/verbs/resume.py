"""End a pause: edits the file in which it stands, comments kept; with --local, ends the pause of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, complete_targets, say, verb

if TYPE_CHECKING:
    from reconciler.cli.planning import Choice


@verb()
@click.argument("target", shell_complete=complete_targets)
@click.option("--local", is_flag=True, help="The pause of this machine alone.")
@click.option("-A", "--all-domains", is_flag=True, help="For every domain that the job has.")
@click.option("--commit", is_flag=True, help="Commit the file, and push it where there is a remote.")
def command(call: Call, target: str, local: bool, all_domains: bool, commit: bool) -> int:
    if local:
        if commit or all_domains:
            raise click.UsageError("--local takes a target, and writes no file")
        return _locally(call, target)
    from reconciler.cli.planning import Tree, finish
    from reconciler.cli.who import acting
    from reconciler.spec.edits import REMOVED

    tree = Tree(call)
    chosen = tree.choose(call, target, "resume", all_domains)
    documents = list(chosen.exact)
    elsewhere = [each for each in chosen.others if "pause" in _planning(each)]
    if not chosen.domain and acting(call).is_system:
        # The job's own pause is about all its targets, and so is this.
        documents += [each for each in elsewhere if each.kind == "Job"]
        elsewhere = [each for each in elsewhere if each.kind != "Job"]
    paths = []
    for each in documents:
        above = ("spec", "planning") if each.kind == "Job" else ("spec",)
        path = tree.change(each, {(*above, "pause"): REMOVED})
        if path:
            paths.append(path)
            finish(call, tree.repository, path, f"resume: {chosen}", commit)
    if elsewhere:
        raise Failure(
            Exit.BLOCKED if paths else Exit.USAGE,
            f"{chosen} is{' still' if paths else ''} paused by {_places(chosen)}",
            "that is about more targets than this one: edit it there, or resume all with -A",
        )
    if not paths:
        say(f"{chosen} is not paused in any file")
    return Exit.OK


def _planning(document: object) -> dict[str, object]:
    spec: dict[str, object] = document.spec  # type: ignore[attr-defined]
    found = spec.get("planning") if document.kind == "Job" else spec  # type: ignore[attr-defined]
    return found if isinstance(found, dict) else {}


def _places(chosen: Choice) -> str:
    return ", ".join(each.place for each in chosen.others if "pause" in _planning(each))


def _locally(call: Call, target: str) -> int:
    from reconciler.cli.acting import perform
    from reconciler.cli.reading import read

    found = read(call, "describe", type="job", name=target)["item"]
    if not found["drift"]:
        say(f"{found['target']} is not paused on this machine")
        return Exit.OK
    perform(call, "pause_local", {"target": found["target"], "forSeconds": 0})
    say(f"{found['target']} goes on as its files say")
    return Exit.OK

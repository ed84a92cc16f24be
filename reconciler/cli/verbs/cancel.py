"""Stop runs: one run, or all of a target that are queued or running.

Their state becomes `cancelled`; the whole process tree gets the stop signal, then KILL after the grace time.
"""

from __future__ import annotations

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, complete_targets, say, verb
from reconciler.cli.reading import read


@verb()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_targets)
def command(call: Call, names: tuple[str, ...]) -> int:
    from reconciler.cli.acting import perform

    for name in names:
        found = read(call, "describe", type="job", name=name)["item"]
        payload = {"target": found["target"]}
        if "run" in found:
            payload["run"] = found["run"]
        elif not found["running"] and not found["queued"]:
            raise Failure(Exit.NOT_FOUND, f"no run of `{found['target']}` is queued or running")
        runs = perform(call, "cancel", payload).get("runs", [])
        for run in runs:
            say(f"stopping {found['target']}/{run}; `reconcile logs -f {found['target']}/{run}` follows")
    return Exit.OK

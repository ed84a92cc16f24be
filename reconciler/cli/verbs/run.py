"""Run targets now: writes the RunRequest file that asks for it.

A job of scope `domain` needs -n DOMAIN, job@DOMAIN or -A. Concurrency and locks hold for it too.
"""

from __future__ import annotations

import os

import click

from reconciler.cli import requesting
from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, complete_targets, say, verb
from reconciler.cli.out import emit
from reconciler.cli.reading import repository_of, state_of


@verb()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...", shell_complete=complete_targets)
@click.option("-A", "--all-domains", is_flag=True, help="For every domain that the job has.")
@click.option("--param", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the job.")
@click.option("--reason", default="", help="Why; kept with the runs.")
@click.option("--expires-after", default="", metavar="T", help="Not started by then, it is refused (1h).")
@click.option("--wait", is_flag=True, help="Wait for the runs; the exit code is their outcome.")
@click.option("--timeout", default="", metavar="T", help="With --wait: no longer than this.")
@click.option("--commit", is_flag=True, help="Commit the file, and push it where there is a remote.")
def command(
    call: Call,
    targets: tuple[str, ...],
    all_domains: bool,
    parameters: tuple[str, ...],
    reason: str,
    expires_after: str,
    wait: bool,
    timeout: str,
    commit: bool,
) -> int:
    from reconciler.cli.acting import daemon_answers
    from reconciler.cli.planning import reads_commits, warn_uncommitted
    from reconciler.cli.serving import seconds_of
    from reconciler.cli.times import now

    repository, at = repository_of(call), now()
    given = _given(parameters)
    listens = daemon_answers(state_of(call))
    if wait and not listens:
        raise Failure(
            Exit.NO_DAEMON, "no daemon is running, so nothing would ever end", "`reconcile serve` starts one"
        )
    if wait and not commit and reads_commits(call):
        raise Failure(
            Exit.USAGE,
            "the reconciler reads a git ref, so this would wait for ever",
            "add --commit to --wait",
        )
    patience = seconds_of(timeout) if timeout else None
    spec = {"reason": reason} if reason else {}
    if expires_after:
        seconds_of(expires_after)
        spec["expiresAfter"] = expires_after
    written = []
    for wanted in requesting.targets_wanted(call, targets, all_domains):
        values = requesting.parameters_of(call, wanted, given)
        path, name = requesting.write(
            repository, wanted, at, {**({"parameters": values} if values else {}), **spec}
        )
        relative = os.path.relpath(path)
        say(f"asked for {', '.join(wanted.words)}: {relative}")
        if commit:
            from reconciler.cli.committing import commit as commit_file

            why = f" ({reason})" if reason else ""
            commit_file(repository, path, f"run: {', '.join(wanted.words)}{why}")
        emit(name)
        written.append((wanted, name))
    requesting.delete_expired(repository, at)
    if not commit:
        warn_uncommitted(call)
    if not wait:
        follow = f"`reconcile logs -f {written[0][0].words[0].replace('@*', '')}` follows"
        say(follow if listens else "no daemon is running: `reconcile serve --once` carries it out")
        return Exit.OK
    codes = [requesting.wait_for(call, wanted, name, patience) for wanted, name in written]
    order = (Exit.RUN_FAILED, Exit.RUN_WARNING, Exit.RUN_INTERRUPTED, Exit.RUN_REFUSED)
    return next((code for code in order if code in codes), Exit.OK)


def _given(parameters: tuple[str, ...]) -> dict[str, str]:
    given = {}
    for text in parameters:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise click.UsageError(f"`{text}` is not a parameter: write NAME=VALUE")
        given[name] = value
    return given

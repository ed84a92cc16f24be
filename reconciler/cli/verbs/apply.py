"""Reconcile now: through the running daemon, else in this process; never waits for runs.

PLANFILE is what `reconcile plan --out FILE` kept: exactly that is done, with its approval, or nothing (exit code 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, say, verb
from reconciler.cli.reading import read
from reconciler.cli.serving import options_of, source_options
from reconciler.cli.who import for_system_only

if TYPE_CHECKING:
    from reconciler.daemon.options import Options


@verb(formats=("table", "wide", "json", "markdown"))
@click.argument("planfile", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--approve", metavar="DIGEST", default="", help="Let the removals of this digest happen.")
@source_options
def command(call: Call, planfile: str | None, dry_run: bool, approve: str, **source: Any) -> int:
    from reconciler.cli.acting import daemon_answers, perform

    for_system_only(call, "apply")
    options = options_of(call, source)
    payload: dict[str, Any] = {"approve": approve}
    if planfile:
        if dry_run or approve:
            raise click.UsageError("a plan file says all: it goes with neither --dry-run nor --approve")
        payload = {"plan": _plan_in(planfile)}
    else:
        _show(call, options, approve, dry_run)
    if dry_run:
        return Exit.OK
    perform(call, "apply", payload, options)
    code = outcome(call)
    if code == Exit.OK and not daemon_answers(str(options.state)):
        say("applied; nothing runs before `reconcile serve` does")
    return code


def _plan_in(path: str) -> dict[str, str]:
    from reconciler.core.changes_file import StalePlan, read_plan
    from reconciler.daemon.planfiles import sent_of

    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return sent_of(read_plan(file.read()))
    except StalePlan as error:
        raise Failure(Exit.STALE, str(error)) from None
    except OSError as error:
        raise Failure(Exit.FAILED, f"could not read {path}: {error.strerror}") from None


def _show(call: Call, options: Options, approve: str, dry_run: bool) -> None:
    from reconciler.cli.proposing import changes_of
    from reconciler.cli.verbs.plan import show

    try:
        show(call, changes_of(options, 14, (approve,) if approve else ()))
    except Failure as failure:
        # Who goes through the socket may not read the state; the daemon looks for itself. And what holds the
        # source may be what is approved now.
        held = failure.exit_code is Exit.BLOCKED and approve
        if dry_run or not (held or failure.exit_code is Exit.FORBIDDEN):
            raise


def outcome(call: Call) -> int:
    """Say what was not applied, and the exit code for it."""
    status = read(call, "status")
    source = status["source"]
    for key in ("held", "refused", "prune"):
        blocked = source.get(key)
        if blocked:
            say(f"{'not applied' if key != 'prune' else 'removals are held'}: {_words(blocked)}")
            if blocked.get("digest") or blocked.get("approval"):
                say(
                    f"  `reconcile apply --approve {blocked.get('digest') or blocked['approval']}` lets it happen"
                )
            return Exit.BLOCKED
    rejected = status["rejectedFiles"]
    if rejected:
        say("these files stay at their last good version; `reconcile validate` shows why:")
        for file in rejected[:10]:
            say(f"  {file['path']}")
    say_not_ready(call)
    return Exit.KEPT_LAST_GOOD if rejected else Exit.OK


def say_not_ready(call: Call) -> None:
    """Warn of targets that this machine cannot run as it is; they wait until it can."""
    found = read(call, "jobs", status="not-ready")["items"]
    reasons: dict[str, list[str]] = {}
    for item in found:
        reasons.setdefault(item["notReady"], []).append(item["target"])
    for reason, targets in list(reasons.items())[:10]:
        more = f" and {len(targets) - 3} more" if len(targets) > 3 else ""
        say(f"warning: not ready: {', '.join(targets[:3])}{more}: {reason}")
    if len(reasons) > 10:
        say(f"  and {len(reasons) - 10} more reasons; `reconcile get jobs --status not-ready` lists all")


def _words(blocked: dict[str, Any]) -> str:
    return str(blocked.get("message") or blocked.get("reason") or "")

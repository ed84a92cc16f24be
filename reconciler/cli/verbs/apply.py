"""Reconcile now: through the running daemon, else in this process; never waits for runs."""

from __future__ import annotations

from typing import Any

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, say, verb
from reconciler.cli.reading import read
from reconciler.cli.serving import options_of, source_options


@verb(formats=("table", "wide", "json", "markdown"))
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--approve", metavar="DIGEST", default="", help="Let the removals of this digest happen.")
@source_options
def command(call: Call, dry_run: bool, approve: str, **source: Any) -> int:
    from reconciler.cli.acting import daemon_answers, perform
    from reconciler.cli.proposing import changes_of
    from reconciler.cli.verbs.plan import show

    options = options_of(call, source)
    changes = None
    try:
        changes = changes_of(options, 14, (approve,) if approve else ())
    except Failure as failure:
        # Who goes through the socket may not read the state; the daemon looks for itself.
        if failure.exit_code is not Exit.FORBIDDEN or dry_run:
            raise
    if changes is not None:
        show(call, changes)
    if dry_run:
        return Exit.OK
    perform(call, "apply", {"approve": approve}, options)
    code = outcome(call)
    if code == Exit.OK and not daemon_answers(str(options.state)):
        say("applied; nothing runs before `reconcile serve` does")
    return code


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

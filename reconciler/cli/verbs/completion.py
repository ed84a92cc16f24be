"""Print the completion script of a shell: eval "$(reconcile completion bash)"."""

from __future__ import annotations

import click

from reconciler.cli.frame import Call, verb
from reconciler.cli.out import emit


@verb()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(call: Call, shell: str) -> None:
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}")
    group = click.get_current_context().find_root().command
    if shell == "bash":
        # Its check of bash's version runs bash; whoever asks for the script runs one that is new enough.
        kind._check_version = staticmethod(lambda: None)  # type: ignore[attr-defined]
    emit(kind(group, {}, "reconcile", "_RECONCILE_COMPLETE").source())

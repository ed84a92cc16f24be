"""Turn existing schedules into documents: crontab, systemd, kubernetes or bluemind.

The documents go to stdout, what could not be carried over to stderr. FILE may be - for stdin.
"""

from __future__ import annotations

from typing import IO

import click

from reconciler.cli.exits import Exit
from reconciler.cli.frame import Call, say, verb
from reconciler.cli.out import emit


def _kinds(context: click.Context, _: click.Parameter, text: str) -> list[str]:
    from reconciler.spec.imports import kinds

    return [kind for kind in kinds() if kind.startswith(text)]


@verb()
@click.argument("kind", shell_complete=_kinds)
@click.argument("files", nargs=-1, required=True, type=click.File("r", encoding="utf-8", errors="replace"))
@click.option("--time-zone", metavar="Z", default="", help="The zone that the schedules were written for.")
@click.option(
    "--user-column/--no-user-column", default=None, help="crontab: whether a user stands after the time."
)
def command(
    call: Call, kind: str, files: tuple[IO[str], ...], time_zone: str, user_column: bool | None
) -> int:
    from reconciler.spec.imports import File, Options, convert, kinds

    if kind not in kinds():
        from reconciler.views.names import did_you_mean

        hint = did_you_mean(kind, kinds()) or f"there are {', '.join(kinds())}"
        raise click.UsageError(f"nothing is known of `{kind}`; {hint}")
    read = [File(file.name, file.read()) for file in files]
    imported = convert(kind, read, Options(time_zone=time_zone, user_column=user_column))
    emit(imported.documents_yaml)
    for remark in imported.remarks:
        say(f"warning: {remark}")
    return Exit.OK

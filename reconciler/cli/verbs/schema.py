"""Print the JSON Schema of a kind, or of all, or write them all into a folder."""

from __future__ import annotations

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, say, verb
from reconciler.cli.out import emit


@verb()
@click.argument("kind", required=False, default="")
@click.option("--write", "folder", metavar="DIR", default="", help="Write all of them there.")
def command(call: Call, kind: str, folder: str) -> None:
    from reconciler.spec.schema import ALL, schema_text, schemas

    if folder:
        from pathlib import Path

        from reconciler.spec.schema import write_schemas

        write_schemas(Path(folder))
        say(f"wrote the schemas to {folder}")
        return
    known = schemas()
    name = f"{kind.lower()}.json" if kind else ALL
    if name not in known:
        from reconciler.views.names import did_you_mean

        kinds = [each.removesuffix(".json") for each in known]
        hint = did_you_mean(kind, kinds) or f"there are {', '.join(kinds)}"
        raise Failure(Exit.NOT_FOUND, f"there is no kind `{kind}`", hint)
    emit(schema_text(known[name]))

"""Make a working repository: a first job, comments, settings for editors.

Nothing that is there is touched. DIR is made if it is missing.
"""

from __future__ import annotations

import os
from typing import Final

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, say, verb
from reconciler.cli.reading import SOURCE

SCHEMAS: Final = ".reconcile-schemas"
"""Beside jobs.d and committed with it, so that every editor finds it without a network."""

_MODELINE: Final = f"# yaml-language-server: $schema=../{SCHEMAS}/reconciler.json\n"

_INSTALLATION: Final = """\
# What holds for the whole installation. `reconcile explain installation.spec` lists all there is.
apiVersion: reconciler/v1
kind: Installation
metadata: {name: installation}
spec:
  timeZone: UTC
  # Name your machines here, and a clone elsewhere will run nothing:
  # hosts: [server1.example.net]
  maxParallel: 4
"""

_JOB: Final = """\
# A first job: it runs when the reconciler first sees it, then every hour.
# `reconcile explain job.spec` lists all there is; every file below jobs.d/ counts, whatever its name.
apiVersion: reconciler/v1
kind: Job
metadata: {name: hello}
spec:
  description: Say hello, to see that everything works
  command: [echo, "hello from reconcile"]
  automatic: {every: 1h}
  timeout: 1m
  # On a schedule instead of `automatic`:
  # planning: {mode: scheduled, schedule: {cron: "30 2 * * *", timeZone: Europe/Paris}}
"""

_IGNORED: Final = ".reconcile/\n"


@verb()
@click.argument("folder", required=False, default="", metavar="[DIR]", type=click.Path(file_okay=False))
def command(call: Call, folder: str) -> int:
    top = os.path.abspath(folder or call.directory or ".")
    source = os.path.join(top, SOURCE)
    if os.path.isdir(source) and any(name.endswith((".yaml", ".yml")) for name in os.listdir(source)):
        raise Failure(Exit.FAILED, f"{source} has documents already", "`reconcile validate` checks them")
    try:
        os.makedirs(source, exist_ok=True)
        _create(os.path.join(source, "installation.yaml"), _MODELINE + _INSTALLATION)
        _create(os.path.join(source, "hello.yaml"), _MODELINE + _JOB)
        _ignore(os.path.join(top, ".gitignore"))
    except OSError as error:
        raise Failure(Exit.FAILED, f"could not write {error.filename or top}: {error.strerror}") from None
    from pathlib import Path

    from reconciler.spec.schema import write_schemas

    schemas = Path(top) / SCHEMAS
    schemas.mkdir(exist_ok=True)
    write_schemas(schemas)
    shown = os.path.relpath(top)
    enter = "" if shown == "." else f"cd {shown} && "
    say(f"made {os.path.join(shown, SOURCE)} with a first job; now:")
    say(
        f"  {enter}reconcile serve --once   # run what is due, once\n  reconcile get jobs       # what became of it"
    )
    return Exit.OK


def _create(path: str, text: str) -> None:
    with open(path, "x", encoding="utf-8") as file:
        file.write(text)


def _ignore(path: str) -> None:
    """Add our state to what git ignores."""
    try:
        with open(path, encoding="utf-8") as file:
            before = file.read()
    except FileNotFoundError:
        before = ""
    if _IGNORED.strip() not in before.split():
        with open(path, "a", encoding="utf-8") as file:
            file.write(("" if not before or before.endswith("\n") else "\n") + _IGNORED)

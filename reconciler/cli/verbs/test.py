"""Test schedules: play what tests say on the real engine, and compare what runs when with what they expect.

FILES are tests or folders of tests; left out, tests/*.yaml and tests/*.md beside jobs.d. A test is a YAML document:

\b
  test: the autumn night
  timeZone: Europe/Paris          # of times without offset (UTC)
  runs: {backup: {takes: 20m}}    # default: at once, in success
  history:
    - down from 2026-10-24T00:00 to 2026-10-24T05:00
  steps:
    - at 2026-10-25T00:30Z expect backup run; at 01:30Z expect nothing
    - on 2026-10-24 expect backup run catch-up

It uses the documents of jobs.d, or those with a `kind` in its own file (`at: T` in one changes it then, `domain: D`
puts it in the folder of that domain). `reconcile explain E402` tells all words.

A thousand runs take about a second: name short times for dense schedules, and `applied: T` for when it begins.

Exit code: 0 all as expected, 1 not, 3 where a test or a document is invalid.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, say, verb
from reconciler.cli.out import emit
from reconciler.cli.reading import SOURCE, repository_of

if TYPE_CHECKING:
    from reconciler.rehearsal.judging import Verdict
    from reconciler.rehearsal.script import Script

FOLDER: Final = "tests"
SUFFIXES: Final = (".yaml", ".yml", ".md")
FORMS: Final = ("text", "json", "github", "junit")


@verb(formats=FORMS)
@click.argument("files", nargs=-1, type=click.Path(exists=True), metavar="[FILES]...")
def command(call: Call, files: tuple[str, ...]) -> int:
    from reconciler.clock import monotonic
    from reconciler.rehearsal.rendering import summary

    begun = monotonic()
    scripts = [_read(path) for path in (_listed(files) if files else _beside(call))]
    verdicts = list(_shown(call, _verdicts(call, scripts)))
    if not verdicts:
        where = ", ".join(files) or f"{FOLDER}/ beside {SOURCE}"
        raise Failure(Exit.NOT_FOUND, f"there are no tests in {where}", "`reconcile test --help` shows one")
    say(f"{summary(verdicts)} in {monotonic() - begun:.1f}s")
    if any(each.diagnostics for each in verdicts):
        return Exit.INVALID
    return Exit.FAILED if any(each.misses for each in verdicts) else Exit.OK


def _shown(call: Call, verdicts: Iterator[Verdict]) -> Iterator[Verdict]:
    """Write the verdicts, for people one by one as they come."""
    from reconciler.rehearsal import rendering

    if call.output == "text":
        for verdict in verdicts:
            emit(rendering.render_text([verdict]))
            yield verdict
        return
    found = list(verdicts)
    match call.output:
        case "json":
            emit(rendering.render_json(found))
        case "github":
            emit(rendering.render_github(found))
        case "junit":
            emit(rendering.render_junit(found))
    yield from found


def _verdicts(call: Call, scripts: list[Script]) -> Iterator[Verdict]:
    from reconciler.cli.tree import files_of
    from reconciler.rehearsal.judging import invalid, judge

    known: list[tuple[str, bytes]] = []

    def repository() -> list[tuple[str, bytes]]:
        if not known:
            known.extend(files_of(repository_of(call)))
        return known

    for script in scripts:
        if script.diagnostics:
            yield invalid(script)
        for case in script.cases:
            yield judge(case, repository)


def _read(path: str) -> Script:
    from reconciler.rehearsal.reading import read_script

    try:
        with open(path, "rb") as file:
            return read_script(os.path.relpath(path), file.read())
    except OSError as error:
        raise Failure(Exit.FAILED, f"could not read {path}: {error.strerror}") from None


def _beside(call: Call) -> Iterator[str]:
    folder = os.path.join(repository_of(call), FOLDER)
    return _listed((folder,)) if os.path.isdir(folder) else iter(())


def _listed(paths: tuple[str, ...]) -> Iterator[str]:
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        for name in sorted(os.listdir(path)):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(path, name)

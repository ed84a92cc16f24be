"""Show the log of a job's newest run, or of one run.

NAME is a job, job@domain, job@domain/run or job@domain/run/attempt. Times are when a line was first seen; `~` marks
what was first seen late, because nothing of ours ran when it was written.
"""

from __future__ import annotations

import time
from typing import Any

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, complete_targets, say, verb
from reconciler.cli.out import colored, document, emit, paint
from reconciler.cli.reading import read
from reconciler.cli.times import instant_option, now
from reconciler.cli.waiting import pause
from reconciler.core.icons import ICONS

_ICONS = {"warning": ICONS["warning"], "error": ICONS["failure"]}


@verb(formats=("table", "wide", "json", "yaml"))
@click.argument("name", shell_complete=complete_targets)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@click.option(
    "--since", default="", metavar="T", help="What was first seen since then: 10m, 2026-11-22T10:30Z."
)
@click.option("--tail", type=click.IntRange(0), metavar="N", help="The last N lines.")
@click.option("--level", default="", metavar="LEVEL", help="At least: progress, info, warning or error.")
@click.option("--grep", default="", metavar="REGEX", help="Lines that match.")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Another than the last attempt.")
@click.option("--mark-read", is_flag=True, help="Note that you have read it.")
def command(call: Call, name: str, follow: bool, mark_read: bool, since: str, **filters: Any) -> None:
    query = {**filters, "name": name, "since": instant_option(since, now())}
    printer = _Printer(call)
    first = _first(call, query, follow)
    if first.get("unmasked"):
        names = ", ".join(first["unmasked"])
        say(
            f"warning: the run was given secrets that cannot be read now, so their values are not masked: {names}"
        )
    for answer in _pieces(call, query, first, follow):
        printer.take(answer["items"])
    printer.end()
    if not follow and answer["attempts"] > 1 and answer["attempt"] == answer["attempts"]:
        say(f"attempt {answer['attempt']} of {answer['attempts']}; --attempt shows another")
    if mark_read:
        from reconciler.cli.acting import perform

        perform(call, "mark_read", {"target": answer["target"]})


def _first(call: Call, query: dict[str, Any], follow: bool) -> dict[str, Any]:
    """The first piece; with `--follow` of a run that may only begin later."""
    said = False
    while True:
        answer = read(call, "log", **query)
        if answer["run"] and (answer["attempts"] or answer.get("over")):
            if not answer["attempts"]:
                raise Failure(Exit.NOT_FOUND, f"`{answer['target']}/{answer['run']}` never started: no log")
            return answer
        waiting = f": {answer['waiting']}" if answer.get("waiting") else ""
        if not follow:
            what = f"`{answer['target']}`" + (f" waits{waiting}" if answer["run"] else " has never run")
            raise Failure(
                Exit.NOT_FOUND, f"{what}: there is no log yet", "-f waits for it; `reconcile run` starts it"
            )
        if not said:
            say(f"waiting for a run of {answer['target']} to start{waiting}")
            said = True
        pause(0.3)


def _pieces(call: Call, query: dict[str, Any], answer: dict[str, Any], follow: bool) -> Any:
    """Yield answers until the log is over, or without `--follow` until there is no more."""
    query = {
        **query,
        "name": f"{answer['target']}/{answer['run']}",
        "attempt": answer["attempt"],
        "tail": None,
    }
    while True:
        yield answer
        moved = answer["next"] != query.get("offset", 0)
        query["offset"] = answer["next"]
        if answer["over"]:
            if not follow or not _next_attempt(call, query, answer):
                return
        elif not moved:
            if not follow:
                return
            pause(0.2)
        answer = read(call, "log", **query)


def _next_attempt(call: Call, query: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Wait for the attempt after one that is over; False when the run has ended."""
    while True:
        if answer["attempts"] > answer["attempt"]:
            query["attempt"], query["offset"] = answer["attempt"] + 1, 0
            say(f"attempt {query['attempt']}")
            return True
        if answer["state"] not in ("queued", "running"):
            return False
        pause(0.3)
        answer = read(call, "log", **query)


class _Printer:
    """Write items as they come; documents only at the end."""

    def __init__(self, call: Call) -> None:
        self.form = call.output
        self.color = colored(call)
        self.items: list[dict[str, Any]] = []

    def take(self, items: list[dict[str, Any]]) -> None:
        if self.form in ("json", "yaml"):
            self.items.extend(items)
            return
        if items:
            emit("".join(self._line(item) for item in items))
            import sys

            sys.stdout.flush()

    def end(self) -> None:
        if self.form in ("json", "yaml"):
            emit(document(self.form, {"items": [{**item, "at": _iso(item["at"])} for item in self.items]}))

    def _line(self, item: dict[str, Any]) -> str:
        level = item["level"]
        text = paint(item["text"], level, self.color)
        icon = paint(_ICONS.get(level, " "), level, self.color)
        when = self._when(item["at"], item["late"])
        return f"{paint(when, 'progress', self.color)} {icon} {text}\n"

    def _when(self, at: float | None, late: bool) -> str:
        form = "%Y-%m-%d %H:%M:%S%z" if self.form == "wide" else "%H:%M:%S"
        text = time.strftime(form, time.localtime(at or 0.0))
        return ("~" if late else " ") + (text if at is not None else " " * len(text))


def _iso(at: float | None) -> str | None:
    from reconciler.views.rows import iso

    return iso(at)

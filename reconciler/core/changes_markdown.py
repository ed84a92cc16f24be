"""Changes for a pull request: a short table, the rest folded, and never more than a comment may hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from reconciler.core.changes import Changes
from reconciler.core.changes_words import (
    about,
    next_text,
    place_text,
    planning_text,
    runs_text,
    summary,
    zone_of,
)
from reconciler.core.diagnostics import visible
from reconciler.core.units import plural

OPEN_ROWS: Final = 15
MAX_CHARACTERS: Final = 60_000
"""A comment on GitHub holds 65,536."""


def render_markdown(changes: Changes) -> str:
    """Show changes as Markdown (GitHub's and GitLab's), with as many rows as fit a comment."""
    text = ""
    for rows in (200, 60, 20, 5):
        text = "".join(f"{line}\n" for line in _lines(changes, rows))
        if len(text) < MAX_CHARACTERS:
            break
    return text


def _lines(changes: Changes, most: int) -> Iterator[str]:
    between = " .. ".join(each for each in (changes.before, changes.after) if each)
    yield "### Reconcile plan" + (f" `{between}`" if between else "")
    yield ""
    yield f"**{_escaped(summary(changes))}**"
    checked = changes.guard
    if checked.pending:
        yield ""
        yield "> [!CAUTION]"
        for reason in checked.reasons:
            yield f"> {_escaped(reason)}"
        yield f"> Approve with `reconcile apply --approve {checked.digest}`, or with the annotation"
        yield f"> `reconciler/approve: {checked.digest}` on the Installation."
        rows = [f"- `{item.target}`: {_escaped(item.why)}" for item in checked.pending]
        yield from _folded("What waits for approval", rows, most)
    if changes.warnings:
        yield ""
        yield "> [!WARNING]"
        for warning in changes.warnings:
            yield f"> - {_escaped(warning)}"
    if changes.diagnostics:
        rows = [
            f"- `{each.place}` {_escaped(f'[{each.code}] {each.message}')}" for each in changes.diagnostics
        ]
        yield from _folded("Rejected", rows, most)
    if changes.objects:
        rows = []
        for each in changes.objects:
            rows.append(f"| `{each.action}` | {_escaped(str(each))} | {_code(place_text(each))} |")
            cell = "<br>".join(_field(field.path, field.old_shown, field.new_shown) for field in each.fields)
            if cell or each.note:
                rows.append(f"| | {_escaped(each.note)} | {cell} |")
        yield from _table("Documents", ("", "Document", "Where"), rows, most)
    if changes.targets:
        rows = [
            f"| `{each.action}` | {_code(str(each.target))} | {_code(planning_text(each))} | {next_text(each)} "
            f"| {runs_text(each.runs, zone_of(each)) if each.runs else ''} | {_escaped(about(each))} |"
            for each in changes.targets
        ]
        heads = ("", "Target", "Planning", "Next run", f"Runs in {plural(changes.days, 'day')}", "")
        yield from _table("Targets", heads, rows, most)
    if changes.drift:
        rows = [f"- {_code(name)}: {_escaped(what)}" for name, what in changes.drift]
        yield from _folded("Drift: overridden on that machine", rows, most)
    if changes.held:
        rows = [f"- {_escaped(f'{name}: {why}')}" for name, why in changes.held]
        yield from _folded("Kept at the last good version", rows, most)


def _field(path: str, old: str, new: str) -> str:
    return f"{_code(path)}: {_code(old)} → {_code(new)}"


def _table(title: str, heads: Iterable[str], rows: list[str], most: int) -> Iterator[str]:
    names = list(heads)
    table = [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}", *rows[:most]]
    yield ""
    if len(rows) > OPEN_ROWS:
        yield f"<details><summary>{title}</summary>"
        yield ""
        yield from table
        yield ""
        yield "</details>"
    else:
        yield f"#### {title}"
        yield ""
        yield from table
    if len(rows) > most:
        yield ""
        yield f"... and {len(rows) - most:,} more rows"


def _folded(title: str, rows: list[str], most: int) -> Iterator[str]:
    yield ""
    yield f"<details><summary>{title} ({len(rows):,})</summary>"
    yield ""
    yield from rows[:most]
    if len(rows) > most:
        yield f"- ... and {len(rows) - most:,} more"
    yield ""
    yield "</details>"


def _code(text: str) -> str:
    """Text as code within a table's cell."""
    if not text:
        return ""
    shown = visible(text.replace("\n", "⏎"), 200).replace("|", "\\|")
    fence = "``" if "`" in shown else "`"
    pad = " " if "`" in shown else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _escaped(text: str) -> str:
    """Text that came from files, without a chance to be markup."""
    shown = visible(text, 400)
    for sign in "\\*_[]|<>#":
        shown = shown.replace(sign, f"\\{sign}")
    return shown.replace("@", "@\u200b")

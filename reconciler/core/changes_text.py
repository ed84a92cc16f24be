"""Changes for a terminal: readable without colour, pleasant with it, and bounded however much changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.core.changes import Action, Changes, ObjectChange, TargetChange
from reconciler.core.changes_fields import FieldChange
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

MAX_ROWS: Final = 50
_OFF: Final = "\033[0m"
_BOLD: Final = "\033[1m"
_DIM: Final = "\033[2m"
_TINTS: Final = {
    Action.ADD: "\033[32m",
    Action.CHANGE: "\033[33m",
    Action.REMOVE: "\033[31m",
    Action.REPLACE: "\033[35m",
    Action.MOVE: "\033[36m",
}


def render_text(changes: Changes, *, colour: bool = False, rows: int | None = MAX_ROWS) -> str:
    """Show changes; `rows` bounds each list (None: everything)."""
    return "".join(f"{line}\n" for line in _Text(changes, colour, rows).lines())


class _Text:
    def __init__(self, changes: Changes, colour: bool, rows: int | None) -> None:
        self._changes, self._colour, self._rows = changes, colour, rows

    def lines(self) -> Iterator[str]:
        changes = self._changes
        if changes.objects:
            yield from self._block("Documents", self._objects())
        if changes.targets:
            yield from self._block("Targets", self._targets())
        if any(each.runs and not each.runs.is_empty for each in changes.targets):
            yield from self._block(f"Runs in the next {plural(changes.days, 'day')}", self._runs())
        if changes.warnings:
            yield from self._block(
                "Look out", (f"  {self._paint(_BOLD, '!')} {each}" for each in changes.warnings)
            )
        if changes.drift:
            yield from self._block("Drift: overridden on this machine", self._drift())
        if changes.held:
            yield from self._block("Kept at the last good version", self._held())
        if changes.guard.pending:
            yield from self._block("Needs approval", self._guard())
        yield self._paint(_BOLD, summary(changes))

    def _block(self, title: str, lines: Iterator[str]) -> Iterator[str]:
        yield self._paint(_BOLD, title)
        yield from lines
        yield ""

    def _paint(self, tint: str, text: str) -> str:
        return f"{tint}{text}{_OFF}" if self._colour else text

    def _sign(self, action: Action) -> str:
        return self._paint(_TINTS[action], f"{action:>3}")

    def _bounded(self, items: Sequence[ObjectChange] | Sequence[TargetChange]) -> tuple[list[object], str]:
        shown = items if self._rows is None else items[: self._rows]
        left = len(items) - len(shown)
        return list(shown), f"      ... and {left:,} more" if left else ""

    def _objects(self) -> Iterator[str]:
        shown, more = self._bounded(self._changes.objects)
        width = min(48, max((len(str(each)) for each in shown), default=0))
        for each in shown:
            assert isinstance(each, ObjectChange)
            place = self._paint(_DIM, visible(place_text(each)))
            yield f"{self._sign(each.action)} {each!s:{width}}  {place}".rstrip()
            if each.note:
                yield f"      {visible(each.note)}"
            names = max((len(field.path) for field in each.fields), default=0)
            for field in each.fields:
                yield from self._field(field, min(names, 40))
        if more:
            yield more

    def _field(self, field: FieldChange, width: int) -> Iterator[str]:
        old, new = field.old_shown, field.new_shown
        if "\n" not in old and "\n" not in new and len(old) + len(new) < 160:
            yield f"      {visible(field.path):{width}}  {_value(old)} -> {_value(new)}"
            return
        yield f"      {visible(field.path)}"
        for tint, sign, text in ((Action.REMOVE, "-", field.old), (Action.ADD, "+", field.new)):
            lines = text.splitlines()
            for line in lines[:20]:
                yield f"        {self._paint(_TINTS[tint], f'{sign} {visible(line, 120)}')}"
            if len(lines) > 20:
                yield f"        {sign} ... and {len(lines) - 20} more lines"

    def _targets(self) -> Iterator[str]:
        shown, more = self._bounded(self._changes.targets)
        changes = [each for each in shown if isinstance(each, TargetChange)]
        width = min(60, max((len(str(each.target)) for each in changes), default=0))
        plans = min(60, max((len(planning_text(each)) for each in changes), default=0))
        for each in changes:
            coming = next_text(each)
            line = f"{self._sign(each.action)} {each.target!s:{width}}  {planning_text(each):{plans}}"
            yield (line + (f"  next {coming}" if coming else "")).rstrip()
            if note := about(each):
                yield f"      {visible(note)}"
        if more:
            yield more

    def _runs(self) -> Iterator[str]:
        changed = [each for each in self._changes.targets if each.runs and not each.runs.is_empty]
        shown, more = self._bounded(changed)
        for each in shown:
            assert isinstance(each, TargetChange)
            if each.runs is not None:
                yield f"      {each.target}: {runs_text(each.runs, zone_of(each))}"
        if more:
            yield more

    def _held(self) -> Iterator[str]:
        for name, why in self._changes.held[: self._rows]:
            yield f"      {name}: {visible(why)}"

    def _drift(self) -> Iterator[str]:
        for name, what in self._changes.drift[: self._rows]:
            yield f"      {name}: {visible(what)}"

    def _guard(self) -> Iterator[str]:
        checked = self._changes.guard
        for reason in checked.reasons:
            yield f"      {reason}"
        for item in checked.pending[: self._rows]:
            yield f"      {item.target}: {item.why}"
        left = len(checked.pending) - (self._rows or len(checked.pending))
        if left > 0:
            yield f"      ... and {left:,} more"
        yield f"      everything else is applied; to do this too: reconcile apply --approve {checked.digest}"


def _value(text: str) -> str:
    return visible(text) if text.startswith("(") else f'"{visible(text)}"'

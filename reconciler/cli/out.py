"""How results are written: tables for people, the same rows as JSON, YAML, names or Markdown for the rest."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from reconciler.core.icons import ICONS, NEVER

if TYPE_CHECKING:
    from reconciler.cli.frame import Call

_COLORS: Final = {
    "success": "32",
    "warning": "33",
    "failure": "31",
    "interrupted": "31",
    "missed": "31",
    "running": "36",
    "queued": "36",
    "cancelled": "90",
    "skipped": "90",
    "never": "90",
    "error": "31",
    "progress": "90",
    "bold": "1",
}


_OURS: Final = str.maketrans(dict.fromkeys("".join(ICONS.values()) + "–×…", "x"))
"""What we print ourselves is known to be one cell wide; `unicodedata` takes a while to load."""


class Column(NamedTuple):
    """One column: its title, the text of a row, whether only `-o wide` shows it, and the state that colours it."""

    title: str
    text: Callable[[dict[str, Any]], str]
    wide: bool = False
    color: Callable[[dict[str, Any]], str] | None = None
    right: bool = False


def status_text(state: str) -> str:
    """The state with its icon, readable without colour."""
    return f"{ICONS.get(state, NEVER)} {state}"


def colored(call: Call) -> bool:
    """Whether to use colour: on a terminal, unless somebody said no."""
    return (
        not call.no_color
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
        and sys.stdout.isatty()
    )


def paint(text: str, kind: str, on: bool = True) -> str:
    """The text in the colour of a state or a severity."""
    code = _COLORS.get(kind) if on else None
    return f"\033[{code}m{text}\033[0m" if code else text


def width_of(text: str) -> int:
    """How many cells a terminal gives to a text."""
    if text.translate(_OURS).isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, cells: int) -> str:
    """The text in at most so many cells, with `…` for what does not fit."""
    if width_of(text) <= cells:
        return text
    kept = ""
    for character in text:
        if width_of(kept + character) > cells - 1:
            break
        kept += character
    return kept + "…"


def emit(text: str) -> None:
    """Write a result to stdout."""
    try:
        sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
    except UnicodeEncodeError:
        # A terminal in the C locale: better a `?` for an icon than no answer.
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")


def listing(call: Call, items: Sequence[dict[str, Any]], columns: Sequence[Column], key: str = "name") -> str:
    """A list in the form that was asked for; `key` is what `-o name` prints."""
    match call.output:
        case "json" | "yaml":
            return document(call.output, {"items": list(items)})
        case "name":
            return "".join(f"{item[key]}\n" for item in items)
        case "markdown":
            return _markdown(items, columns)
    shown = [column for column in columns if call.output == "wide" or not column.wide]
    if not items:
        return ""
    return table(items, shown, colored(call), _terminal_cells() if call.output != "wide" else 0)


def document(form: str, value: Any) -> str:
    """One JSON or YAML document."""
    if form == "yaml":
        from reconciler.core.yamlout import dump

        return dump(value)
    import json

    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def table(
    items: Sequence[dict[str, Any]], columns: Sequence[Column], color: bool = False, cells: int = 0
) -> str:
    """Aligned columns; lines are cut to `cells` unless that is 0."""
    by_column = [_aligned(column, [column.text(item) or "–" for item in items]) for column in columns]
    by_column[-1] = [text if text.rstrip() != "–" else "" for text in by_column[-1]]
    lines = ["  ".join(row).rstrip() for row in zip(*by_column, strict=True)]
    if cells:
        lines = [cut(line, cells) for line in lines]
    if color:
        lines[1:] = [_painted(line, item, columns) for line, item in zip(lines[1:], items, strict=True)]
        lines[0] = paint(lines[0], "bold")
    return "\n".join(lines) + "\n"


def _aligned(column: Column, texts: list[str]) -> list[str]:
    """The title and the texts of one column, all of the same width."""
    if not "".join(texts).isprintable():
        from reconciler.core.logs import shown

        texts = [shown(text) for text in texts]
    texts.insert(0, column.title)
    widths = {text: width_of(text) for text in set(texts)}
    widest = max(widths.values())
    if column.right:
        return [" " * (widest - widths[text]) + text for text in texts]
    return [text + " " * (widest - widths[text]) for text in texts]


def _painted(line: str, item: dict[str, Any], columns: Sequence[Column]) -> str:
    for column in columns:
        text = column.text(item) if column.color is not None else ""
        if column.color is not None and text and text in line:
            line = line.replace(text, paint(text, column.color(item)), 1)
    return line


def _markdown(items: Sequence[dict[str, Any]], columns: Sequence[Column]) -> str:
    shown = [column for column in columns if not column.wide]

    def row(texts: Sequence[str]) -> str:
        return "| " + " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in texts) + " |"

    head = [row([column.title for column in shown]), "|" + "---|" * len(shown)]
    return "\n".join([*head, *(row([column.text(item) for column in shown]) for item in items)]) + "\n"


def _terminal_cells() -> int:
    if not sys.stdout.isatty():
        return 0
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except OSError:
        return 0


def watched(call: Call, render: Callable[[], str]) -> None:
    """Write what `render` gives; with `--watch` again whenever it changed, in place on a terminal."""
    text = render()
    if not call.watch:
        emit(text)
        return
    from reconciler.cli.waiting import pause

    in_place = sys.stdout.isatty()
    emit("\033[2J\033[H" + text if in_place else text)
    while True:
        pause(1.0)
        again = render()
        if again == text:
            continue
        text = again
        if in_place:
            # Home, each line cleared to its end, then what is below: nothing flickers.
            emit("\033[H" + text.replace("\n", "\033[K\n") + "\033[J")
        else:
            emit(text)

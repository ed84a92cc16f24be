"""What is wrong with something that a user wrote: one value per finding, and the forms in which it is
shown.

Diagnostics are values, never exceptions: all errors of all files are collected and shown at once.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from reconciler.core.codes import CODES, Code

Severity = Literal["error", "warning"]
Form = Literal["full", "concise", "json", "github", "sarif"]
FORMS: Final[tuple[Form, ...]] = ("full", "concise", "json", "github", "sarif")

_RED, _YELLOW, _BLUE, _BOLD, _OFF = "\033[1;31m", "\033[1;33m", "\033[1;34m", "\033[1m", "\033[0m"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. Lines and columns count from 1 (columns in characters); 0 stands for unknown."""

    code: str
    message: str
    path: str = ""
    line: int = 0
    column: int = 0
    end_column: int = 0
    snippet: tuple[str, ...] = ()
    """The source lines shown; the last of them is the line that `line` names."""
    help: str = ""
    severity: Severity = "error"
    field: tuple[str | int, ...] = ()
    """Which field of the document (that begins at `line`, until the place is known) this speaks of."""

    @property
    def place(self) -> str:
        """`path:line:column`, as far as it is known."""
        known = [str(part) for part in (self.line, self.column) if part]
        return ":".join([self.path, *known]) if self.path else ""

    @property
    def sort_key(self) -> tuple[str, int, int, str, str]:
        """The order in which diagnostics are shown: by file, then by place."""
        return (self.path, self.line, self.column, self.code, self.message)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Find the choice that `word` was probably meant to be, or "" when none is near."""
    candidates = sorted(set(choices))
    if len(word) > 200:
        return ""
    folded = {choice.casefold().replace("_", "").replace("-", ""): choice for choice in candidates}
    exact = folded.get(word.casefold().replace("_", "").replace("-", ""))
    if exact is not None:
        return exact
    near = difflib.get_close_matches(word, candidates[:5000], n=1, cutoff=0.6)
    if near:
        return near[0]
    lower = word.casefold()
    starts = [
        choice
        for choice in candidates
        if len(choice) >= 3 and len(lower) >= 3 and (lower.startswith(choice) or choice.startswith(lower))
    ]
    return starts[0] if len(starts) == 1 else ""


def suggest(word: str, choices: Iterable[str]) -> str:
    """Say `did you mean ...?`, or what there is to choose from when that is short, or nothing."""
    known = sorted(set(choices))
    near = did_you_mean(word, known)
    if near:
        return f"did you mean `{near}`?"
    if known and len(known) <= 12:
        return "known: " + ", ".join(f"`{choice}`" for choice in known)
    return ""


def render(diagnostics: Iterable[Diagnostic], form: Form = "full", *, colour: bool = False) -> str:
    """Show diagnostics, ordered by file and place, in one of `FORMS`.

    `github` are workflow commands for GitHub Actions, `sarif` is a SARIF 2.1.0 log. The text ends with a
    newline unless it is empty.
    """
    ordered = sorted(diagnostics, key=lambda diagnostic: diagnostic.sort_key)
    match form:
        case "full":
            return "\n".join(_full(diagnostic, colour) for diagnostic in ordered)
        case "concise":
            return "".join(_concise(diagnostic, colour) for diagnostic in ordered)
        case "json":
            items = [_item(each) for each in ordered]
            return json.dumps({"items": items}, ensure_ascii=False, indent=2) + "\n"
        case "github":
            return "".join(_github(diagnostic) for diagnostic in ordered)
        case "sarif":
            return json.dumps(_sarif(ordered), ensure_ascii=False, indent=2) + "\n"


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """Count them in words: `2 errors in 1 file`, or "" when there are none."""
    if not diagnostics:
        return ""
    parts = []
    for severity in ("error", "warning"):
        count = sum(each.severity == severity for each in diagnostics)
        if count:
            parts.append(f"{count} {severity}{'s' if count > 1 else ''}")
    files = len({each.path for each in diagnostics})
    return f"{' and '.join(parts)} in {files} file{'s' if files > 1 else ''}"


def visible(text: str, limit: int = 300) -> str:
    """Make text of unknown origin safe for one line of a terminal: no control characters, bounded length."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(each if each.isprintable() else _escaped(each) for each in shown)


def _escaped(character: str) -> str:
    return " " if character == "\t" else character.encode("unicode_escape").decode("ascii")


def _paint(text: str, colour: str, wanted: bool) -> str:
    return f"{colour}{text}{_OFF}" if wanted else text


def _head(diagnostic: Diagnostic, colour: bool) -> str:
    tint = _RED if diagnostic.severity == "error" else _YELLOW
    label = _paint(f"{diagnostic.severity}[{diagnostic.code}]", tint, colour)
    return f"{label}{_paint(': ' + visible(diagnostic.message, 600), _BOLD, colour)}"


def _full(diagnostic: Diagnostic, colour: bool) -> str:
    lines = [_head(diagnostic, colour)]
    width = len(str(diagnostic.line)) if diagnostic.line else 1
    pad = " " * width

    def bar(margin: str, text: str = "", sign: str = "|") -> str:
        return f"{_paint(f'{margin} {sign}', _BLUE, colour)}{' ' + text if text else ''}"

    if diagnostic.place:
        lines.append(f"{pad}{_paint('-->', _BLUE, colour)} {visible(diagnostic.place, 600)}")
    if diagnostic.snippet:
        lines.append(bar(pad))
        first = diagnostic.line - len(diagnostic.snippet) + 1
        offset = _cut_before(diagnostic)
        for number, text in enumerate(diagnostic.snippet, start=first):
            lines.append(bar(str(number).rjust(width), _shown(text, offset)))
        if diagnostic.column:
            lines.append(bar(pad, _underline(diagnostic, offset, colour)))
    if diagnostic.help:
        if diagnostic.snippet and not diagnostic.column:
            lines.append(bar(pad))
        lines.append(bar(pad, f"help: {visible(diagnostic.help, 600)}", "="))
    return "\n".join(lines) + "\n"


_SNIPPET_WIDTH = 120


def _cut_before(diagnostic: Diagnostic) -> int:
    """How many characters of a very long line are left out before the place that is pointed at."""
    return max(0, diagnostic.column - 60) if diagnostic.column > _SNIPPET_WIDTH - 20 else 0


def _shown(text: str, offset: int) -> str:
    part = text[offset : offset + _SNIPPET_WIDTH]
    shown = "".join(each if each.isprintable() else " " if each == "\t" else "·" for each in part)
    return ("…" if offset else "") + shown + ("…" if len(text) > offset + _SNIPPET_WIDTH else "")


def _underline(diagnostic: Diagnostic, offset: int, colour: bool) -> str:
    before = diagnostic.column - 1 - offset + (1 if offset else 0)
    room = max(1, _SNIPPET_WIDTH - before)
    length = min(room, max(1, diagnostic.end_column - diagnostic.column))
    tint = _RED if diagnostic.severity == "error" else _YELLOW
    return " " * before + _paint("^" * length, tint, colour)


def _concise(diagnostic: Diagnostic, colour: bool) -> str:
    place = f"{visible(diagnostic.place, 600)}: " if diagnostic.place else ""
    tail = f" ({visible(diagnostic.help, 600)})" if diagnostic.help else ""
    return f"{place}{_head(diagnostic, colour)}{tail}\n"


def _item(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "path": diagnostic.path,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "endColumn": diagnostic.end_column,
        "help": diagnostic.help,
    }


def _github(diagnostic: Diagnostic) -> str:
    title = f"{diagnostic.code} {_title(diagnostic.code)}".strip()
    properties = [("file", diagnostic.path), ("title", title)]
    if diagnostic.line:
        properties.insert(1, ("line", str(diagnostic.line)))
        if diagnostic.column:
            properties.insert(2, ("col", str(diagnostic.column)))
            properties.insert(3, ("endColumn", str(max(diagnostic.column, diagnostic.end_column - 1))))
    listed = ",".join(f"{name}={_github_property(value)}" for name, value in properties if value)
    text = diagnostic.message + (f"\n{diagnostic.help}" if diagnostic.help else "")
    return f"::{diagnostic.severity} {listed}::{_github_text(text)}\n"


def _github_text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_property(text: str) -> str:
    return _github_text(text).replace(":", "%3A").replace(",", "%2C")


def _title(code: str) -> str:
    known = CODES.get(code)
    return known.title if known else ""


def _sarif(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    used = sorted({each.code for each in diagnostics})
    driver = {"name": "reconcile", "rules": [_sarif_rule(code, CODES.get(code)) for code in used]}
    results = [_sarif_result(each, used.index(each.code)) for each in diagnostics]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _sarif_rule(code: str, known: Code | None) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": code}
    if known:
        rule["shortDescription"] = {"text": known.title}
        rule["fullDescription"] = {"text": known.explanation}
    return rule


def _sarif_result(diagnostic: Diagnostic, rule_index: int) -> dict[str, Any]:
    text = diagnostic.message + (f"\n{diagnostic.help}" if diagnostic.help else "")
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule_index,
        "level": diagnostic.severity,
        "message": {"text": text},
    }
    if diagnostic.path:
        place: dict[str, Any] = {"artifactLocation": {"uri": _uri(diagnostic.path), "uriBaseId": "%SRCROOT%"}}
        if diagnostic.line:
            region = {"startLine": diagnostic.line}
            if diagnostic.column:
                region |= {"startColumn": diagnostic.column, "endColumn": diagnostic.end_column}
            place["region"] = region
        result["locations"] = [{"physicalLocation": place}]
    return result


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path)

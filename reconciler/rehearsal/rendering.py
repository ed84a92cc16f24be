"""The outcome of tests, for people, for CI systems and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from reconciler.core.diagnostics import render
from reconciler.rehearsal.judging import Miss, Verdict


def render_text(verdicts: Sequence[Verdict]) -> str:
    """A line for each test that is good, a block for each that is not."""
    return "".join(_block(each) for each in verdicts)


def _block(verdict: Verdict) -> str:
    case = verdict.case
    if verdict.is_good:
        count = len(case.expectations)
        return f"ok    {case.path}:{case.line} {case.name} ({count} expectation{'s' if count != 1 else ''})\n"
    if verdict.diagnostics:
        return render(verdict.diagnostics)
    return "".join(_miss_text(verdict, miss) for miss in verdict.misses)


def _miss_text(verdict: Verdict, miss: Miss) -> str:
    lines = [f"FAIL  {verdict.case.path}:{miss.line} {verdict.case.name}"]
    for title, texts in (
        ("expected", (miss.expected,)),
        ("happened", miss.happened),
        ("nearby", miss.nearby),
    ):
        lines += [f"      {title if not number else '':<9} {text}" for number, text in enumerate(texts)]
    return "\n".join(lines) + "\n"


def summary(verdicts: Sequence[Verdict]) -> str:
    """How many there were, in words."""
    invalid = sum(bool(each.diagnostics) for each in verdicts)
    failed = sum(bool(each.misses) for each in verdicts)
    good = len(verdicts) - failed - invalid
    parts = [(failed, "failed"), (good, "passed"), (invalid, "invalid")]
    return ", ".join(f"{count} {word}" for count, word in parts if count) or "no tests"


def render_json(verdicts: Iterable[Verdict]) -> str:
    """`{"items": [...]}`, a test each."""
    return json.dumps({"items": [_item(each) for each in verdicts]}, ensure_ascii=False, indent=2) + "\n"


def _item(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": verdict.case.name,
        "path": verdict.case.path,
        "line": verdict.case.line,
        "outcome": _outcome(verdict),
        "expectations": len(verdict.case.expectations),
        "misses": [
            {
                "line": each.line,
                "expected": each.expected,
                "happened": list(each.happened),
                "nearby": list(each.nearby),
            }
            for each in verdict.misses
        ],
        "errors": [f"{each.place}: {each.message}" for each in verdict.diagnostics],
    }


def _outcome(verdict: Verdict) -> str:
    return "passed" if verdict.is_good else "invalid" if verdict.diagnostics else "failed"


def render_github(verdicts: Iterable[Verdict]) -> str:
    """Workflow commands of GitHub Actions, an annotation for each expectation that is not met."""
    found = []
    for verdict in verdicts:
        found.append(render(verdict.diagnostics, "github"))
        for miss in verdict.misses:
            text = f"expected: {miss.expected}\nhappened: {'; '.join(miss.happened)}"
            text += f"\nnearby: {'; '.join(miss.nearby)}" if miss.nearby else ""
            found.append(
                f"::error file={_property(verdict.case.path)},line={miss.line},"
                f"title={_property(verdict.case.name)}::{_escaped(text)}\n"
            )
    return "".join(found)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def render_junit(verdicts: Sequence[Verdict]) -> str:
    """The XML that CI systems read test reports from."""
    failed = sum(bool(each.misses) for each in verdicts)
    errors = sum(bool(each.diagnostics) for each in verdicts)
    head = f'<testsuite name="reconcile test" tests="{len(verdicts)}" failures="{failed}" errors="{errors}">'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', head]
    for verdict in verdicts:
        case = verdict.case
        place = f"file={quoteattr(case.path)} line={quoteattr(str(case.line))}"
        lines.append(f"  <testcase classname={quoteattr(case.path)} name={quoteattr(case.name)} {place}>")
        for miss in verdict.misses:
            body = escape(_miss_text(verdict, miss))
            lines.append(f"    <failure message={quoteattr(miss.expected)}>{body}</failure>")
        for each in verdict.diagnostics:
            lines.append(f"    <error message={quoteattr(each.message)}>{escape(each.place)}</error>")
        lines.append("  </testcase>")
    return "\n".join([*lines, "</testsuite>"]) + "\n"

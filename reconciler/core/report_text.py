"""A report as plain text: for mail readers without HTML, and for the terminal. Pure."""

from __future__ import annotations

from textwrap import wrap
from typing import Final

from reconciler.core.report_parts import Page, Section, icon

_WIDTH: Final = 78
_MARKS: Final = {"error": "✘ ", "warning": "⚠ ", "gap": "  "}


def render(page: Page) -> str:
    """The whole page; every line ends with a line feed, none begins with what a mail reader would read as a quote."""
    parts = [_wrapped(f"{icon(page.kind)} {page.lead}")]
    parts += [_section(section) for section in page.sections]
    if page.footer:
        parts.append("-- \n" + "\n".join(_wrapped(line) for line in page.footer))
    return "\n\n".join(part for part in parts if part) + "\n"


def _wrapped(text: str) -> str:
    return "\n".join(wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False))


def _section(section: Section) -> str:
    lines = []
    if section.title:
        lines += [section.title, "-" * len(section.title)]
    if section.facts:
        width = max(len(label) for label, _ in section.facts)
        lines += [f"{label + ':':<{width + 1}} {value}" for label, value in section.facts]
    for entry in section.entries:
        lines.append(f"{icon(entry.kind)} {entry.title}" + (f"  {entry.detail}" if entry.detail else ""))
    lines += [f"  {_MARKS.get(line.level, '  ')}{line.text}" for line in section.lines]
    if section.note:
        lines.append(section.note)
    return "\n".join(lines)

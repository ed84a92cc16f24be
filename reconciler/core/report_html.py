"""A report as HTML for mail readers: inline styles only, no images, no scripts, one column that fits a phone. Pure.

Every text goes through `_t`; there is no other way into the page.
"""

from __future__ import annotations

from html import escape
from typing import Final

from reconciler.core.report_parts import Entry, Line, Page, Section, icon

_RED, _AMBER, _GREEN, _GREY = "#b42318", "#8a5a00", "#18723a", "#57606a"
_COLOURS: Final = {
    "failure": _RED, "interrupted": _RED, "overdue": _RED, "missed": _AMBER, "warning": _AMBER,
    "success": _GREEN, "recovered": _GREEN,
}  # fmt: skip
_LINES: Final = {
    "error": ("#ffebe9", _RED), "warning": ("#fff4d6", _AMBER), "progress": ("#f6f8fa", _GREY),
    "gap": ("#f6f8fa", _GREY),
}  # fmt: skip
_FONT: Final = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_MONO: Final = "font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"


def render(page: Page) -> str:
    """The whole document."""
    colour = _COLOURS.get(page.kind, _GREY)
    sections = "".join(_section(section) for section in page.sections)
    footer = "".join(f'<p style="margin:0 0 6px">{_t(line)}</p>' for line in page.footer)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light">'
        f"<title>{_t(page.subject)}</title></head>"
        f'<body style="margin:0;padding:12px;background:#f6f8fa;color:#1f2328;{_FONT};font-size:15px;line-height:1.45">'
        '<div style="max-width:680px;margin:0 auto;background:#ffffff;border:1px solid #d0d7de;border-radius:8px;'
        f'border-top:5px solid {colour};padding:16px 18px">'
        f'<h1 style="margin:0 0 6px;font-size:19px;line-height:1.3;overflow-wrap:anywhere">'
        f'<span style="color:{colour}">{_t(icon(page.kind))}</span> {_t(page.title)}</h1>'
        f'<p style="margin:0 0 12px;overflow-wrap:anywhere">{_t(page.lead)}</p>{sections}</div>'
        f'<div style="max-width:680px;margin:10px auto 0;color:{_GREY};font-size:12px;overflow-wrap:anywhere">{footer}'
        "</div></body></html>\n"
    )


def _t(text: str) -> str:
    return escape(text, quote=True)


def _section(section: Section) -> str:
    parts = []
    if section.title:
        parts.append(
            f'<h2 style="margin:16px 0 6px;font-size:15px;overflow-wrap:anywhere">{_t(section.title)}</h2>'
        )
    if section.facts:
        rows = "".join(_fact(label, value) for label, value in section.facts)
        parts.append(f'<table role="presentation" style="border-collapse:collapse;width:100%">{rows}</table>')
    if section.entries:
        rows = "".join(_entry(entry) for entry in section.entries)
        parts.append(f'<table role="presentation" style="border-collapse:collapse;width:100%">{rows}</table>')
    if section.lines:
        lines = "".join(_line(line) for line in section.lines)
        parts.append(
            f'<div style="{_MONO};font-size:12.5px;line-height:1.5;border:1px solid #d0d7de;border-radius:6px;'
            f'overflow:hidden">{lines}</div>'
        )
    if section.note:
        parts.append(f'<p style="margin:6px 0;color:{_GREY};font-size:13px">{_t(section.note)}</p>')
    return "".join(parts)


def _fact(label: str, value: str) -> str:
    return (
        f'<tr><td style="padding:3px 12px 3px 0;color:{_GREY};vertical-align:top;white-space:nowrap">{_t(label)}</td>'
        f'<td style="padding:3px 0;overflow-wrap:anywhere;word-break:break-word">{_t(value)}</td></tr>'
    )


def _entry(entry: Entry) -> str:
    colour = _COLOURS.get(entry.kind, _GREY)
    detail = (
        f'<br><span style="color:{_GREY};font-size:13px">{_t(entry.detail)}</span>' if entry.detail else ""
    )
    return (
        f'<tr><td style="padding:5px 8px 5px 0;vertical-align:top;color:{colour};width:1em">{_t(icon(entry.kind))}</td>'
        '<td style="padding:5px 0;border-bottom:1px solid #eaeef2;overflow-wrap:anywhere;word-break:break-word">'
        f"<b>{_t(entry.title)}</b>{detail}</td></tr>"
    )


def _line(line: Line) -> str:
    background, colour = _LINES.get(line.level, ("#ffffff", "#1f2328"))
    return (
        f'<div style="padding:1px 8px;background:{background};color:{colour};white-space:pre-wrap;'
        f'overflow-wrap:anywhere">{_t(line.text)}</div>'
    )

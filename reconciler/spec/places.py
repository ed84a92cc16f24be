"""Where something stands in its file: spans to diagnostics with a snippet, and fields to spans by reading again."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.diagnostics import Diagnostic
from reconciler.spec.reader import Span, read_stream
from reconciler.spec.syntax import split_lines


def source_lines(text: bytes) -> list[str]:
    """The lines of a file as the parser counts them; what is not UTF-8 is shown as U+FFFD."""
    return split_lines(text[: 1 << 20].decode("utf-8-sig", "replace"))


def diagnostic_at(
    path: str, code: str, message: str, help: str, span: Span | None, lines: list[str]
) -> Diagnostic:
    """Make a diagnostic that points at a stretch of the file."""
    if span is None or span.line >= len(lines):
        return Diagnostic(code, message, path, help=help)
    text = lines[span.line]
    end = span.end_column if span.end_line == span.line else len(text.rstrip())
    shown = (
        lines[max(0, span.line - 1) : span.line + 1]
        if span.column and not text[: span.column].strip(" -\t")
        else [text]
    )
    return Diagnostic(
        code,
        message,
        path,
        span.line + 1,
        span.column + 1,
        max(end, span.column + 1) + 1,
        tuple(shown if shown[0].strip() else [text]),
        help,
    )


def locate(diagnostic: Diagnostic, text: bytes) -> Diagnostic:
    """Complete a diagnostic that knows only its document's line and the field, by reading the file again."""
    from reconciler.spec.load import span_of

    lines = source_lines(text)
    for document in read_stream(text, places=True).documents:
        if document.line + 1 == diagnostic.line:
            span = span_of(document.marks or {}, diagnostic.field, on_key=False)
            found = diagnostic_at(
                diagnostic.path, diagnostic.code, diagnostic.message, diagnostic.help, span, lines
            )
            return replace(found, severity=diagnostic.severity, field=diagnostic.field)
    return diagnostic

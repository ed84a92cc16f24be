"""What is wrong with text that is not YAML, said so that its writer knows what to do."""

from __future__ import annotations

import codecs
import re
from typing import Any, Final

from reconciler.spec.reader import MAX_BYTES, Problem, Span

_WIDE: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")
_DIRECTIVE: Final = re.compile(rb"^%(?!YAML )[^\r\n]*", re.MULTILINE)
_LINE_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_SAVE_AS_UTF8: Final = "save it as UTF-8"


def split_lines(text: str) -> list[str]:
    """Split text where YAML does, so that line numbers agree with the parser's."""
    return _LINE_BREAK.split(text)


def unreadable(data: bytes) -> Problem | None:
    """Say why a file is refused before it is parsed: size, encoding, control characters, directives."""
    if len(data) > MAX_BYTES:
        size = f"{len(data) / MAX_BYTES:.1f} MiB"
        return Problem("E109", f"the file has {size}; at most 1 MiB is read", "split it into several files")
    for mark, name in _WIDE:
        if data.startswith(mark):
            return Problem("E108", f"the file is {name}, not UTF-8", _SAVE_AS_UTF8)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _undecodable(data, error)
    if not text.isprintable() and (match := _CONTROL.search(text)) is not None:
        return _control(text, match)
    if b"%" in data and (directive := _DIRECTIVE.search(data)) is not None:
        line = data.count(b"\n", 0, directive.start())
        shown = directive.group()[:40].decode("utf-8", "replace")
        span = Span(line, 0, line, len(shown))
        return Problem(
            "E110", f"the directive `{shown}` is not used here", "remove it, or quote the text", span
        )
    return None


def _undecodable(data: bytes, error: UnicodeDecodeError) -> Problem:
    if data[:4000].count(0) * 3 >= min(len(data), 4000):
        return Problem("E108", "the file is UTF-16 or binary, not UTF-8 text", _SAVE_AS_UTF8)
    before = data[: error.start].decode("utf-8-sig", "replace")
    line, column = _position(before, len(before))
    message = f"the byte 0x{data[error.start]:02x} (at offset {error.start}) is not UTF-8"
    return Problem("E108", message, _SAVE_AS_UTF8, Span(line, column, line, column + 1))


def _control(text: str, match: re.Match[str]) -> Problem:
    if text[:4000].count("\x00") * 3 >= min(len(text), 4000):
        return Problem("E108", "the file is UTF-16 or binary, not UTF-8 text", _SAVE_AS_UTF8)
    line, column = _position(text, match.start())
    name = "NUL" if match.group() == "\x00" else f"U+{ord(match.group()):04X}"
    message = f"the control character {name} is not allowed"
    help = 'remove it; in a value in double quotes it can be written as an escape, such as "\\x1b"'
    return Problem("E108", message, help, Span(line, column, line, column + 1))


def _position(text: str, index: int) -> tuple[int, int]:
    lines = split_lines(text[:index])
    return len(lines) - 1, len(lines[-1])


_PLAIN_WORDS: Final = (
    (
        "mapping values are not allowed",
        "a `:` where no value can begin",
        "a value that contains `: ` needs quotes",
    ),
    ("did not find expected key", "no key where one is expected", "check the indentation and the quotes"),
    ("could not find expected ':'", "a line without `:`", "write `key: value`, or indent it below its key"),
    ("did not find expected '-' indicator", "no `-` where the list goes on", "check the indentation"),
    ("unexpected end of stream", "a quote is opened and never closed", "add the closing quote"),
    ("did not find expected ',' or ']'", "a `[` is opened and not closed properly", "add `,` or `]`"),
    ("did not find expected ',' or '}'", "a `{` is opened and not closed properly", "add `,` or `}`"),
    (
        "found unknown escape character",
        "an unknown escape in double quotes",
        "double the `\\`, or use single quotes",
    ),
    (
        "block sequence entries are not allowed",
        "a `-` where no list can begin",
        "put the list on its own lines",
    ),
    ("found unexpected ':'", "a `:` in a value without quotes within `{}` or `[]`", "put the value in quotes"),
    ("found a tab character", "a tab", "indent with spaces"),
    ("expected <document start>", "text after the end of the document", "check the indentation"),
    ("did not find expected <document start>", "text after the document", "check the indentation"),
)


def explain_syntax(error: Exception, data: bytes) -> Problem:
    """Turn a parser's exception into a problem with a place and a hint."""
    text = data.decode("utf-8-sig", "replace")
    lines = split_lines(text)
    reason = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read")
    mark: Any = getattr(error, "problem_mark", None)
    if mark is None:
        return Problem("E101", f"not YAML: {reason[:200]}")
    line, column = min(mark.line, len(lines) - 1), mark.column
    rest = lines[line][column:]
    if "alphabetic or numeric" in reason and column and lines[line][column - 1] in "*&":
        column -= 1
        rest = lines[line][column:]
    span = Span(line, column, line, column + max(1, len(rest.rstrip())))
    if rest[:1] == "\t" or (rest and lines[line][:column].isspace() and "\t" in lines[line][:column]):
        return Problem("E101", "a tab cannot be used for indentation", "indent with spaces", _one(span))
    if rest[:1] in ("@", "`", "%", "*", "&", "!", "|", ">"):
        value = rest.split(" #")[0].rstrip()
        if re.search(r"[\[{]", lines[line][:column]):
            value = re.split(r"[\]}]|, ", value)[0]
        span = span._replace(end_column=column + max(1, len(value)))
        value = value.replace("\\", "\\\\").replace('"', '\\"')
        message = f"a value cannot begin with `{rest[0]}` without quotes"
        return Problem("E101", message, f'quote it: "{value[:80]}"', span)
    for part, message, help in _PLAIN_WORDS:
        if part in reason:
            return Problem("E101", f"not YAML: {message}", help, _opened(error, part, lines) or _one(span))
    return Problem("E101", f"not YAML: {reason[:200]}", "", _one(span))


def _opened(error: Exception, part: str, lines: list[str]) -> Span | None:
    """For something never closed: the place where it was opened, which is where the mistake is."""
    mark: Any = getattr(error, "context_mark", None)
    if mark is None or not ("end of stream" in part or "',' or" in part):
        return None
    line = min(mark.line, len(lines) - 1)
    return Span(line, mark.column, line, mark.column + 1)


def _one(span: Span) -> Span:
    return span._replace(end_column=span.column + 1)

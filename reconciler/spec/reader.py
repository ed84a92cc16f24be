"""YAML text to plain values: the events of ruamel.yaml's C parser into a builder of ours with limits on everything.

The C parser's own composer can crash on deep nesting and expands aliases without a bound; its events cannot. Scalars
follow the core schema of YAML 1.2: `yes`, `12:30` and dates are text. Positions are kept only when asked for, which
is when there is something to report.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 200_000
MAX_DOCUMENTS: Final = 10_000
MAX_PROBLEMS: Final = 50

Loc = tuple[str | int, ...]

ON_KEY: Final = "[key]"
"""The last part of a place that is a key itself, not its value, as pydantic says it."""


class Span(NamedTuple):
    """A stretch of text: lines and columns from 0, `end_column` only meaningful when it ends on the same line."""

    line: int
    column: int
    end_line: int
    end_column: int


class Mark(NamedTuple):
    """Where a value stands, and its key (a list item's key is the item itself)."""

    key: Span
    value: Span


class Problem(NamedTuple):
    code: str
    message: str
    help: str = ""
    span: Span | None = None


@dataclass(slots=True)
class Document:
    value: Any
    line: int
    marks: dict[Loc, Mark] | None


@dataclass(slots=True)
class Stream:
    """The documents of a file, and what is wrong with it as YAML."""

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class _Broken(Exception):
    """Reading cannot go on."""


def read_stream(data: bytes, *, places: bool = False, pure: bool = False) -> Stream:
    """Read all documents of a file; with `places` each knows where its values stand. Never raise on any input."""
    from reconciler.spec.syntax import explain_syntax, unreadable

    problem = unreadable(data)
    if problem is not None:
        return Stream(problems=[problem])
    builder = _Builder(places)
    try:
        get_event, failures = _open(data, pure)
    except Exception as error:  # the pure parser reads ahead while it is opened
        builder.stream.problems.append(explain_syntax(error, data))
        return builder.stream
    try:
        builder.run(get_event)
    except _Broken:
        pass
    except failures as error:
        if (
            not pure
            and len(data) <= _MAX_PURE_BYTES
            and str(getattr(error, "problem", "")) in _ONLY_OLD_PARSER
        ):
            return read_stream(data, places=places, pure=True)
        builder.stream.problems.append(explain_syntax(error, data))
    return builder.stream


_ONLY_OLD_PARSER: Final = ("found unexpected ':'", "found incompatible YAML document")
"""What the C parser, which knows YAML 1.1, refuses in valid YAML 1.2, such as `{at: 10:30}`: the pure one decides."""
_MAX_PURE_BYTES: Final = 64 << 10
"""It is slow: this much takes about a second."""


def _open(data: bytes, pure: bool) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    from ruamel.yaml.error import YAMLError

    failures = (
        YAMLError,
        UnicodeError,
        ValueError,
        IndexError,
        AttributeError,
        AssertionError,
        RecursionError,
    )
    if not pure:
        try:
            from _ruamel_yaml import CParser
        except ImportError:
            pass
        else:
            return CParser(data).get_event, failures
    from ruamel.yaml import YAML

    events = YAML(typ="safe", pure=True).parse(data.decode("utf-8-sig"))
    return lambda: next(events, None), failures


_CONSTANTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_START: Final = frozenset("+-.0123456789")
_INT: Final = re.compile(r"[-+]?[0-9]+", re.ASCII)
_OTHER_INT: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)


def _plain(text: str) -> Any:
    """Resolve a scalar without quotes; raise OverflowError for a number that JSON has no room for."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_START:
        return text
    if _INT.fullmatch(text) or _OTHER_INT.fullmatch(text):
        number = int(text, 0 if text[:2] in ("0o", "0x") else 10) if len(text) < 40 else 1 << 64
        if not -(1 << 63) <= number < 1 << 63:
            raise OverflowError
        return number
    if _FLOAT.fullmatch(text):
        if not math.isfinite(value := float(text)):
            raise OverflowError
        return value
    if _NOT_FINITE.fullmatch(text):
        raise OverflowError
    return text


_NO_KEY: Final = object()
_REFUSED: Final = object()
"""A key that was complained about; its value is read and dropped."""


class _Frame:
    """A mapping or list that is being filled."""

    __slots__ = ("anchor", "container", "count", "height", "key", "key_span", "loc", "span")

    def __init__(self, container: Any, anchor: str | None, count: int, loc: Loc, span: Span | None) -> None:
        self.container = container
        self.anchor = anchor
        self.count = count
        self.loc = loc
        self.span = span
        self.height = 1
        self.key: Any = _NO_KEY
        self.key_span: Span | None = None


class _Builder:
    """Fills a Stream from parser events; keeps at most MAX_DEPTH frames and MAX_VALUES values."""

    def __init__(self, places: bool) -> None:
        self.stream = Stream()
        self._places = places
        self._frames: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int, int] | None] = {}
        self._count = 0
        self._started = 0
        self._document = Document(None, 0, None)

    def run(self, get_event: Callable[[], Any]) -> None:
        while (event := get_event()) is not None:
            name = type(event).__name__
            if name == "ScalarEvent":
                if self._places or not self._word(event):
                    self._scalar(event)
            elif name == "MappingStartEvent":
                self._open({}, event)
            elif name == "MappingEndEvent" or name == "SequenceEndEvent":
                self._close(event)
            elif name == "SequenceStartEvent":
                self._open([], event)
            elif name == "AliasEvent":
                self._alias(event)
            elif name == "DocumentStartEvent":
                self._started += 1
                if self._started > MAX_DOCUMENTS:
                    self._problem(event, "E109", f"more than {MAX_DOCUMENTS:,} documents", fatal=True)
                self._anchors = {}
                self._document = Document(None, event.start_mark.line, {} if self._places else None)
            elif name == "DocumentEndEvent" and self._document.value is not None:
                self.stream.documents.append(self._document)

    def _word(self, event: Any) -> bool:
        """Take what nearly all scalars are, text with nothing special about it; False: it needs a closer look.

        This is where a source of ten thousand files spends its time.
        """
        value = event.value
        if not self._frames or event.anchor is not None or (event.tag is not None and event.tag != "!"):
            return False
        if event.implicit[0] and not event.style and (value in _CONSTANTS or value[0] in _NUMBER_START):
            return False
        frame = self._frames[-1]
        container = frame.container
        if type(container) is list:
            container.append(value)
        elif frame.key is _NO_KEY:
            if value == "<<" or value in container:
                return False
            frame.key = value
        elif frame.key is _REFUSED or frame.key in container:
            frame.key = _NO_KEY
        else:
            container[frame.key] = value
            frame.key = _NO_KEY
        self._count += 1
        if self._count > MAX_VALUES:
            self._too_many(event)
        return True

    def _problem(self, event: Any, code: str, message: str, help: str = "", *, fatal: bool = False) -> None:
        span = _span(event) if self._places else None
        self.stream.problems.append(Problem(code, message, help, span))
        if fatal or len(self.stream.problems) >= MAX_PROBLEMS:
            raise _Broken

    def _scalar(self, event: Any) -> None:
        value = event.value
        if event.implicit[0] and not event.style:
            try:
                value = _plain(value)
            except OverflowError:
                self._problem(
                    event, "E114", f"`{value[:40]}` is not a number that can be used", "write it in quotes"
                )
        elif event.tag is not None and event.tag != "!":
            self._tag(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1, 0)
        self._add(value, event, 1, 0)

    def _tag(self, event: Any) -> None:
        tag = str(event.tag)[:80].replace("tag:yaml.org,2002:", "!!")
        self._problem(
            event, "E110", f"the tag `{tag}` is not used here", "write the plain value, in quotes if need be"
        )

    def _open(self, container: Any, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            self._tag(event)
        frames = self._frames
        if frames:
            parent = frames[-1]
            if type(parent.container) is dict and parent.key is _NO_KEY:
                self._problem(event, "E110", "a key must be text", "write `key: value`", fatal=True)
            loc = (*parent.loc, _next_key(parent)) if self._places else ()
        else:
            self._document.line = event.start_mark.line
            loc = ()
        if len(frames) >= MAX_DEPTH:
            self._problem(event, "E109", f"nested deeper than {MAX_DEPTH} levels", fatal=True)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        span = _span(event) if self._places else None
        frames.append(_Frame(container, event.anchor, self._count, loc, span))

    def _close(self, event: Any) -> None:
        frame = self._frames.pop()
        size = self._count - frame.count + 1
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (frame.container, size, frame.height)
        if frame.span is not None and self._places:
            end = event.end_mark
            frame.span = frame.span._replace(end_line=end.line, end_column=end.column)
        self._add(frame.container, event, 1, frame.height, frame.span)

    def _alias(self, event: Any) -> None:
        name = str(event.anchor)[:80]
        if event.anchor not in self._anchors:
            help = f'write it in quotes if it is text: "*{name}"'
            self._problem(
                event, "E101", f"`*{name}` refers to an anchor that this document does not have", help
            )
            known: tuple[Any, int, int] | None = ("", 1, 0)
        else:
            known = self._anchors[event.anchor]
        if known is None:
            self._problem(event, "E110", f"`*{name}` contains itself", fatal=True)
            return
        value, size, height = known
        if len(self._frames) + height > MAX_DEPTH:
            self._problem(event, "E109", f"nested deeper than {MAX_DEPTH} levels through aliases", fatal=True)
        self._add(value, event, size, height)

    def _add(self, value: Any, event: Any, size: int, height: int, span: Span | None = None) -> None:
        self._count += size
        if self._count > MAX_VALUES:
            self._too_many(event)
        if not self._frames:
            self._document.value = value
            if self._document.marks is not None:
                whole = span or _span(event)
                self._document.marks[()] = Mark(whole, whole)
            return
        frame = self._frames[-1]
        if height >= frame.height:
            frame.height = height + 1
        if type(frame.container) is list:
            self._mark(frame, len(frame.container), event, span)
            if value is None:
                self._problem(event, "E111", "an item of this list is empty", "give it a value or remove it")
            frame.container.append(value)
        elif frame.key is _NO_KEY:
            self._key(frame, value, event)
        else:
            self._entry(frame, value, event, span)

    def _too_many(self, event: Any) -> None:
        text = f"more than {MAX_VALUES:,} values after aliases are expanded"
        self._problem(event, "E109", text, fatal=True)

    def _entry(self, frame: _Frame, value: Any, event: Any, span: Span | None) -> None:
        key, frame.key = frame.key, _NO_KEY
        if key is _REFUSED or key in frame.container:
            return
        self._mark(frame, key, event, span)
        if value is None:
            problem = Problem("E111", f"`{key}` has no value", "give it a value or remove it", frame.key_span)
            self.stream.problems.append(problem)
            if len(self.stream.problems) >= MAX_PROBLEMS:
                raise _Broken
        frame.container[key] = value

    def _key(self, frame: _Frame, key: Any, event: Any) -> None:
        frame.key_span = _span(event) if self._places else None
        if type(key) is not str:
            text = getattr(event, "value", "*" + str(getattr(event, "anchor", "")))[:80]
            help = f'write "{text}"' if text else "every key is a word"
            self._problem(
                event, "E110", f"the key `{text}` is not text", help, fatal=type(key) in (dict, list)
            )
            key = str(key)
        elif key == "<<" and not getattr(event, "style", ""):
            help = "write the fields out, or use an alias for a whole value: `environment: *common`"
            self._problem(event, "E110", "merge keys (`<<`) are not used here", help)
            key = _REFUSED
        frame.key = key
        if key is not _REFUSED and key in frame.container:
            first = ""
            marks = self._document.marks
            if marks is not None and (*frame.loc, key) in marks:
                first = f"; first in line {marks[(*frame.loc, key)].key.line + 1}"
            self._problem(event, "E106", f"`{key[:80]}` stands twice{first}", "remove one of them")

    def _mark(self, frame: _Frame, key: Any, event: Any, span: Span | None) -> None:
        marks = self._document.marks
        if marks is not None:
            where = span or _span(event)
            marks[(*frame.loc, key)] = Mark(frame.key_span or where, where)


def _next_key(frame: _Frame) -> Any:
    return len(frame.container) if type(frame.container) is list else frame.key


def _span(event: Any) -> Span:
    start, end = event.start_mark, event.end_mark
    return Span(start.line, start.column, end.line, end.column)

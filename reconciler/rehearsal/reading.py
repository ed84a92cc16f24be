"""Tests of schedules as people write them: YAML documents beside those of jobs.d, or Markdown with tables.

A YAML file is a stream of documents. One with a `kind` is a document of jobs.d; one with `test` is a test. Documents
before the first test are all tests' own, those behind a test belong to that one. A document may say `at: T` (it is
changed then) and `domain: D` (it stands in the folder of that domain). In Markdown each heading with a table
`| at | expect |` is a test, and blocks fenced as `yaml` hold the documents and what else a test says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from reconciler.core.diagnostics import Diagnostic, suggest
from reconciler.core.units import parse_duration
from reconciler.core.zones import zone
from reconciler.rehearsal.script import Case, Event, Expectation, Fate, Page, Script
from reconciler.rehearsal.wording import NotUnderstood, Reader
from reconciler.spec.load import span_of
from reconciler.spec.places import diagnostic_at, source_lines
from reconciler.spec.reader import Document, Loc, read_stream

KEYS: Final = ("test", "timeZone", "applied", "runs", "history", "steps")
_RUN_KEYS: Final = ("takes", "ends", "probe")
_PAGE_KEYS: Final = ("at", "domain")
_ENDS: Final = ("success", "warning", "failure")
_MAX_PROBLEMS: Final = 50


class _Wrong(Exception):
    """A field of a test that cannot be used."""

    def __init__(self, code: str, message: str, help: str = "", field: Loc = (), line: int = 0) -> None:
        super().__init__(message)
        self.code, self.help, self.field, self.line = code, help, field, line


@dataclass(slots=True)
class _Part:
    """What one test says, before it is understood: settings, statements with their lines, and its own documents."""

    name: str
    line: int
    settings: list[Document] = field(default_factory=list)
    rows: list[tuple[str, int]] = field(default_factory=list)
    pages: list[tuple[Document, bytes]] = field(default_factory=list)
    is_test: bool = False


def read_script(path: str, data: bytes) -> Script:
    """Read the tests of one file. Never raises on any text."""
    reading = _Reading(path, data)
    reading.read()
    wrong = tuple(sorted(reading.wrong, key=lambda each: each.sort_key)[:_MAX_PROBLEMS])
    return Script(path, () if wrong else tuple(reading.cases), wrong)


class _Reading:
    def __init__(self, path: str, data: bytes) -> None:
        self.path, self.data = path, data
        self.lines = source_lines(data)
        self.wrong: list[Diagnostic] = []
        self.cases: list[Case] = []

    def read(self) -> None:
        parts = list(self._markdown() if PurePath(self.path).suffix == ".md" else self._yaml())
        shared: list[tuple[Document, bytes]] = []
        for part in parts:
            if not part.is_test:
                shared += part.pages
                continue
            case = self._case(part, shared)
            if case is not None:
                self.cases.append(case)

    # The forms.

    def _stream(self, data: bytes) -> list[tuple[Document, bytes]]:
        """The documents of a stream, each with its text at its lines."""
        stream = read_stream(data, places=True)
        for problem in stream.problems:
            self.wrong.append(
                diagnostic_at(
                    self.path, problem.code, problem.message, problem.help, problem.span, self.lines
                )
            )
        lines = data.split(b"\n")
        found = []
        ends = [each.line for each in stream.documents[1:]] + [len(lines)]
        for document, end in zip(stream.documents, ends, strict=False):
            text = b"\n" * document.line + b"\n".join(lines[document.line : end])
            found.append((document, text))
        return found

    def _yaml(self) -> Iterator[_Part]:
        part = _Part("", 1)
        for document, text in self._stream(self.data):
            value = document.value
            if isinstance(value, dict) and "kind" in value:
                part.pages.append((document, text))
            elif isinstance(value, dict) and "test" in value:
                yield part
                part = _Part(str(value["test"]), document.line + 1, [document], is_test=True)
            else:
                self._add(
                    document,
                    _Wrong(
                        "E401",
                        "neither a test nor a document of jobs.d",
                        "a test begins with `test: its name`, a document has a `kind`",
                    ),
                )
        yield part

    def _markdown(self) -> Iterator[_Part]:
        part = _Part("", 1)
        number = 0
        while number < len(self.lines):
            line = self.lines[number]
            fence = re.match(r"\s*(```+|~~~+)\s*(\w*)", line)
            if fence:
                end = self._end_of_fence(number, fence[1])
                if fence[2] in ("yaml", "yml"):
                    block = "\n".join(self.lines[number + 1 : end])
                    self._take_block(part, b"\n" * (number + 1) + block.encode())
                number = end + 1
                continue
            if re.match(r"#{1,6}\s", line):
                yield part
                part = _Part(line.lstrip("#").strip(" `"), number + 1)
            elif _cells(line) and number + 1 < len(self.lines) and _is_rule(self.lines[number + 1]):
                number = self._take_table(part, number)
                continue
            number += 1
        yield part

    def _end_of_fence(self, begin: int, fence: str) -> int:
        for number in range(begin + 1, len(self.lines)):
            if self.lines[number].strip().startswith(fence):
                return number
        return len(self.lines)

    def _take_block(self, part: _Part, data: bytes) -> None:
        for document, text in self._stream(data):
            if isinstance(document.value, dict) and "kind" in document.value:
                part.pages.append((document, text))
            else:
                part.settings.append(document)

    def _take_table(self, part: _Part, begin: int) -> int:
        """Take the rows of a table that speaks of times; give the number of the line behind it."""
        titles = [title.lower() for title in _cells(self.lines[begin])]
        number = begin + 2
        is_ours = "at" in titles and ("expect" in titles or "happens" in titles)
        while number < len(self.lines) and (cells := _cells(self.lines[number])):
            row = dict(zip(titles, cells, strict=False))
            if is_ours:
                part.is_test = True
                when = row.get("at", "")
                for word, title in (("", "happens"), ("expect ", "expect")):
                    for said in row.get(title, "").split(";"):
                        if said.strip():
                            part.rows.append((f"{_when(when)} {word}{said.strip()}", number + 1))
            number += 1
        return number

    # What they say.

    def _case(self, part: _Part, shared: list[tuple[Document, bytes]]) -> Case | None:
        values: dict[str, Any] = {}
        said: list[tuple[str, int]] = []
        try:
            for document in part.settings:
                self._take_settings(document, values, said)
        except _Wrong as error:
            self._add(document, error)
            return None
        reader = Reader(values.get("timeZone", "UTC"))
        events: list[Event] = []
        expectations: list[Expectation] = []
        for text, line in [*said, *part.rows]:
            try:
                for each in reader.sentences(text, line):
                    (events if isinstance(each, Event) else expectations).append(each)  # type: ignore[arg-type]
            except NotUnderstood as error:
                self._add_at(line, error)
        if not expectations and not self.wrong:
            self._add_at(part.line, NotUnderstood("the test expects nothing", "add `steps` with `expect`"))
        pages = [self._page(reader, *each) for each in [*shared, *part.pages]]
        return Case(
            part.name,
            self.path,
            part.line,
            tuple(page for page in pages if page is not None),
            values.get("applied"),
            values.get("timeZone", "UTC"),
            tuple(events),
            tuple(expectations),
            values.get("runs", {}),
        )

    def _take_settings(self, document: Document, values: dict[str, Any], said: list[tuple[str, int]]) -> None:
        value = document.value
        if not isinstance(value, dict):
            raise _Wrong("E104", "a test is a mapping of `key: value`")
        _known(value, KEYS)
        if "timeZone" in value:
            values["timeZone"] = _zone(value["timeZone"])
        if "applied" in value:
            values["applied"] = _checked(Reader(values.get("timeZone", "UTC")).instant, value, "applied")
        if "runs" in value:
            values["runs"] = dict(_fates(value["runs"]))
        for key in ("history", "steps"):
            items = value.get(key, [])
            if not isinstance(items, list):
                raise _Wrong("E104", f"`{key}` is a list of sentences", "begin each with `- `", (key,))
            for number, item in enumerate(items):
                if not isinstance(item, str):
                    raise _Wrong("E104", "a sentence is text", "write it in quotes", (key, number))
                mark = (document.marks or {})[key, number]
                said.append((item, mark.value.line + 1))

    def _page(self, reader: Reader, document: Document, text: bytes) -> Page | None:
        value, marks = document.value, document.marks or {}
        lines = text.split(b"\n")
        since = None
        for key in _PAGE_KEYS:
            if key in value:
                mark = marks[(key,)]
                lines[mark.key.line : mark.value.end_line + 1] = [b""] * (
                    mark.value.end_line + 1 - mark.key.line
                )
        try:
            if "at" in value:
                since = _checked(reader.instant, value, "at")
        except _Wrong as error:
            self._add(document, error)
            return None
        return Page(b"\n".join(lines), document.line + 1, str(value.get("domain", "")), since)

    def _add(self, document: Document, error: _Wrong) -> None:
        span = span_of(document.marks or {}, error.field, on_key=error.code in ("E102", "E401"))
        self.wrong.append(diagnostic_at(self.path, error.code, str(error), error.help, span, self.lines))

    def _add_at(self, line: int, error: NotUnderstood) -> None:
        self.wrong.append(
            Diagnostic("E402", str(error), self.path, line, snippet=(self.lines[line - 1],), help=error.help)
        )


def _cells(line: str) -> list[str]:
    text = line.strip()
    return (
        [cell.strip().replace("`", "") for cell in text.strip("|").split("|")] if text.startswith("|") else []
    )


def _is_rule(line: str) -> bool:
    return re.fullmatch(r"\s*\|[\s:|-]+\|\s*", line) is not None


def _when(text: str) -> str:
    """What the column `at` of a table says, as a sentence does."""
    if " to " in text:
        return text if text.startswith("from ") else f"from {text}"
    if text.partition(" ")[0] in ("at", "on"):
        return text
    return f"on {text}" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else f"at {text}"


def _known(value: Mapping[str, Any], keys: tuple[str, ...], field: Loc = ()) -> None:
    for key in value:
        if key not in keys:
            raise _Wrong("E102", f"unknown field `{key}`", suggest(key, keys), (*field, key))


def _checked(read: Callable[[str], int], value: Mapping[str, Any], key: str) -> int:
    try:
        return read(str(value[key]))
    except NotUnderstood as error:
        raise _Wrong("E402", str(error), error.help, (key,)) from None


def _zone(name: Any) -> str:
    try:
        return zone(str(name)).name
    except KeyError:
        raise _Wrong("E119", f"there is no time zone `{name}`", field=("timeZone",)) from None


def _fates(runs: Any) -> Iterator[tuple[str, Fate]]:
    if not isinstance(runs, dict):
        raise _Wrong(
            "E104", "`runs` says of jobs what their runs are like", "backup: {takes: 20m}", ("runs",)
        )
    for name, value in runs.items():
        where: Loc = ("runs", name)
        spec = value if isinstance(value, dict) else {"takes": value}
        _known(spec, _RUN_KEYS, where)
        try:
            seconds = parse_duration(str(spec.get("takes", "0s")))
        except ValueError as error:
            raise _Wrong("E116", str(error), field=where) from None
        ends = spec.get("ends", "success")
        ends = tuple(ends) if isinstance(ends, list) else (ends,)
        for end in ends:
            if end not in _ENDS and not (type(end) is int and 0 <= end < 256):
                raise _Wrong(
                    "E103",
                    f"a run cannot end in `{end}`",
                    "write success, warning, failure or an exit code",
                    where,
                )
        probe = spec.get("probe", 1)
        if type(probe) is not int:
            raise _Wrong("E104", "`probe` is the exit code of the probe", "0: run, 1: nothing to do", where)
        yield name, Fate(seconds, ends, probe)

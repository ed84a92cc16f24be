"""Change single fields of a document in its text: everything else stays as it was written, comments and quotes too.

Text is cut and joined between the marks of the parser, so a changed value is a changed line. What was written is read
again: an edit gives exactly the values that were asked for, or `CannotEdit`. (A round trip through a YAML library
keeps comments too, and yet rewrites indentation, times and long lines of the documents beside.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.core.yamlout import scalar
from reconciler.spec.reader import Document, Loc, Mark, Span, read_stream
from reconciler.spec.syntax import split_lines

REMOVED: Final = object()
"""As a field's value: take the field away."""


@dataclass(frozen=True, slots=True)
class Instead:
    """As a field's value: another field with this value stands in its place."""

    key: str
    value: Any


class CannotEdit(ValueError):
    """The text is written in a way that has to be edited by hand; the message says what is in the way."""


def edit(text: str, kind: str, name: str, fields: Mapping[Loc, Any]) -> str:
    """Set fields (`("spec", "mode")`) of one document of a file to plain values, in the order given."""
    for loc, value in fields.items():
        text = _Edit(text, kind, name).field(loc, value)
    return text


def flow(value: Any) -> str:
    """A value on one line, in the form that people write: `{cron: "30 2 * * *", timeZone: Europe/Paris}`."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(str(key))}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(each) for each in value) + "]"
    return scalar(value)


@dataclass(frozen=True, slots=True)
class _Place:
    """A stretch of the text, as offsets."""

    start: int
    end: int


class _Edit:
    """One change to one document of a text."""

    def __init__(self, text: str, kind: str, name: str) -> None:
        self.text = text
        self.lines = split_lines(text)
        self.starts = _line_starts(text, self.lines)
        self.documents = _read(text)
        found = [at for at, each in enumerate(self.documents) if _is(each, kind, name)]
        if len(found) != 1:
            raise CannotEdit(f"there is no single {kind} {name} in it")
        self.at = found[0]
        self.document = self.documents[self.at]
        self.newline = "\r\n" if "\r\n" in text else "\n"

    def field(self, loc: Loc, value: Any) -> str:
        """The text with one field changed."""
        # Not a deep copy: what an alias shares must not change in two places.
        wanted = json.loads(json.dumps(self.document.value))
        if not _put(wanted, loc, value):
            return self.text
        changed = self._changed(loc, value)
        values = [each.value for each in self.documents]
        values[self.at] = wanted
        if [each.value for each in _read(changed)] != values:
            raise CannotEdit(f"`{'.'.join(map(str, loc))}` is written in a way that has to be edited by hand")
        return changed

    def _changed(self, loc: Loc, value: Any) -> str:
        if value is REMOVED:
            return self._remove(loc)
        if isinstance(value, Instead):
            entry = f"{scalar(value.key)}: {flow(value.value)}"
            return self._cut(self._offset(self._mark(loc).key), self._end(loc), entry)
        return self._set(loc, value)

    # Setting.

    def _set(self, loc: Loc, value: Any) -> str:
        while loc[:-1] and not isinstance(_get(self.document.value, loc[:-1]), dict):
            loc, value = loc[:-1], {str(loc[-1]): value}
        if _get(self.document.value, loc) is None:
            return self._insert(loc, value)
        place = self._value(loc)
        old = self.text[place.start : place.end]
        if old[:1] in ("&", "*", "!", "|", ">"):
            raise CannotEdit(f"`{'.'.join(map(str, loc))}` is an anchor, an alias or a block of text")
        if old[:1] not in ("{", "[") and not _is_scalar(_get(self.document.value, loc)):
            # A block below its key: on the key's line there is room for the new value.
            key_end = self._offset(self._mark(loc).key, end=True)
            return self._cut(self.text.index(":", key_end) + 1, place.end, " " + flow(value))
        return self._cut(place.start, place.end, _like(old, value))

    def _insert(self, loc: Loc, value: Any) -> str:
        parent, entry = loc[:-1], f"{scalar(str(loc[-1]))}: {flow(value)}"
        place = self._value(parent)
        if self._is_flow(place):
            inside = self.text[place.start + 1 : place.end - 1]
            end = place.start + 1 + len(inside.rstrip())
            between = "" if not inside.strip() else " " if inside.rstrip().endswith(",") else ", "
            return self._cut(end, end, between + entry)
        line = self._last_line(parent)
        first = self._mark((*parent, next(iter(_get(self.document.value, parent))))).key
        end = self.starts[line] + len(self.lines[line])
        return self._cut(end, end, f"{self.newline}{' ' * first.column}{entry}")

    # Removing.

    def _remove(self, loc: Loc) -> str:
        parent = loc[:-1]
        if len(_get(self.document.value, parent)) == 1:
            if len(parent) > 1:
                return self._remove(parent)
            key_end = self._offset(self._mark(parent).key, end=True)
            return self._cut(self.text.index(":", key_end) + 1, self._end(parent), " {}")
        key = self._mark(loc).key
        if self._is_flow(self._value(parent)):
            return self._cut_flow(self._offset(key), self._end(loc))
        if self.lines[key.line][: key.column].strip():
            raise CannotEdit(f"`{loc[-1]}` shares its line with something else")
        last = self._last_line(loc)
        end = self.starts[last + 1] if last + 1 < len(self.starts) else len(self.text)
        return self._cut(self.starts[key.line], end, "")

    def _cut_flow(self, start: int, end: int) -> str:
        after = re.compile(r"\s*,[ \t]*").match(self.text, end)
        if after:
            return self._cut(start, after.end(), "")
        before = re.compile(r",\s*\Z").search(self.text, 0, start)
        return self._cut(before.start() if before else start, end, "")

    # Places.

    def _mark(self, loc: Loc) -> Mark:
        mark = (self.document.marks or {}).get(loc)
        if mark is None:
            raise CannotEdit(f"`{'.'.join(map(str, loc))}` comes from an alias")
        return mark

    def _value(self, loc: Loc) -> _Place:
        return _Place(self._offset(self._mark(loc).value), self._end(loc))

    def _end(self, loc: Loc) -> int:
        """Where the value of a field ends: a block reaches to the end of what is last in it."""
        value = _get(self.document.value, loc)
        start = self._offset(self._mark(loc).value)
        if isinstance(value, dict | list) and value and self.text[start] not in "{[":
            return max(
                self._end(each)
                for each in self.document.marks or {}
                if each[:-1] == loc and len(each) > len(loc)
            )
        return self._offset(self._mark(loc).value, end=True)

    def _last_line(self, loc: Loc) -> int:
        end = self._end(loc)
        line = max(at for at, start in enumerate(self.starts) if start <= end)
        return line - 1 if line and end == self.starts[line] else line

    def _is_flow(self, place: _Place) -> bool:
        return self.text[place.start] == "{"

    def _offset(self, span: Span, *, end: bool = False) -> int:
        line, column = (span.end_line, span.end_column) if end else (span.line, span.column)
        return self.starts[line] + column if line < len(self.starts) else len(self.text)

    def _cut(self, start: int, end: int, new: str) -> str:
        return self.text[:start] + new + self.text[end:]


def _read(text: str) -> list[Document]:
    stream = read_stream(text.encode(), places=True)
    if stream.problems:
        raise CannotEdit(stream.problems[0].message)
    return stream.documents


def _is(document: Document, kind: str, name: str) -> bool:
    value = document.value
    return (
        isinstance(value, dict)
        and value.get("kind") == kind
        and isinstance(value.get("metadata"), dict)
        and value["metadata"].get("name") == name
    )


def _line_starts(text: str, lines: list[str]) -> list[int]:
    starts, at = [], 0
    for line in lines:
        starts.append(at)
        at += len(line)
        at += 2 if text.startswith("\r\n", at) else 1
    return starts


def _get(value: Any, loc: Loc) -> Any:
    for part in loc:
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def _put(value: Any, loc: Loc, new: Any) -> bool:
    """Change a plain value as the text shall change; False when it is so already."""
    above, key = loc[:-1], loc[-1]
    if new is REMOVED:
        inner = _get(value, above)
        if not isinstance(inner, dict) or key not in inner:
            return False
        del inner[key]
        # What has become empty goes too; a document keeps its spec.
        return (not inner and len(above) > 1 and _put(value, above, REMOVED)) or True
    if isinstance(new, Instead):
        _put(value, loc, REMOVED)
        return _put(value, (*above, new.key), new.value)
    for part in above:
        value = value.setdefault(part, {})
    changed: bool = value.get(key) != new
    value[key] = new
    return changed


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _like(old: str, value: Any) -> str:
    """The new value, in the quotes of the old one where it has some."""
    new = flow(value)
    if not isinstance(value, str) or old[:1] not in ("'", '"') or not value.isprintable():
        return new
    if old[0] == "'":
        return "'" + value.replace("'", "''") + "'"
    return new if new.startswith('"') else f'"{value}"'

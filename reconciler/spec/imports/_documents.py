"""What every importer writes with: documents with comments, names that are valid and unique, remarks."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from reconciler.spec.fields import Address
from reconciler.spec.load import load_file

_WIDTH = 100
_PLAIN = re.compile(
    r"(?:[A-Za-z_/]|\.{0,2}/|--?[A-Za-z]|\$\()[A-Za-z0-9_/.@+=%()$-]*"
    r"|\d+(?:\.\d+)?[wdhms](?:\d+[dhms])*|\d+(?:[KMGT]i?)?B"
)
_WORDS = frozenset(["true", "false", "null", "yes", "no", "on", "off", "y", "n"])
_INDENT = "  "


class File(NamedTuple):
    name: str
    text: str


class Remark(NamedTuple):
    """Something that could not be carried over, and where it stands (`file:line`)."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(frozen=True, slots=True)
class Options:
    time_zone: str = ""
    """The zone of the machine that they come from; "" leaves it to the installation, with a remark."""
    user_column: bool | None = None
    """crontab: whether a user stands before each command; None: told by the file's path."""


@dataclass(frozen=True, slots=True)
class Imported:
    documents_yaml: str
    remarks: tuple[Remark, ...]


@dataclass(slots=True)
class Document:
    """A document to be written, in the order in which its fields were set; empty values are left out."""

    kind: str
    name: str
    place: str
    """Where the original stands (`file:line`)."""
    spec: dict[str, Any] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


class Writer:
    """Collects documents and remarks of one import."""

    def __init__(self, heading: str) -> None:
        self._heading = heading
        self._documents: list[Document] = []
        self._remarks: list[Remark] = []
        self._taken: set[tuple[str, str]] = set()
        self._endnotes: list[str] = []

    def add(self, kind: str, wish: str, place: str, comments: Iterable[str] = ()) -> Document:
        """Add a document whose name is made of `wish`, unique among those of its kind."""
        document = Document(kind, self._name(kind, wish), place, comments=[*comments])
        self._documents.append(document)
        return document

    def remark(self, text: str, document: Document) -> None:
        """Say what is lost: to the person who imports, and in the document for those who read it later."""
        self._remarks.append(Remark(document.place, text))
        document.comments.append(f"NOTE: {text}")

    def remark_at(self, place: str, text: str) -> None:
        """Say what is lost where there is no document to say it in."""
        self._remarks.append(Remark(place, text))
        self._endnotes.append(f"{place}: {text}")

    def endnote(self, lines: Iterable[str]) -> None:
        """Keep comments that belong to no document."""
        self._endnotes.extend(lines)

    def finish(self) -> Imported:
        """All documents, checked as `reconcile validate` would: what we refuse stands behind comment signs."""
        sound: list[str] = []
        refused: list[str] = []
        for document in self._documents:
            faults = load_file("import.yaml", render(document).encode()).diagnostics
            for fault in faults:
                self.remark(f"{fault.message}; this document is left out until that is mended", document)
            if faults:
                refused.append(_comments([render(document)]))
            else:
                sound.append(render(document))
        parts = [_comments([self._heading]), "---\n".join(sound), *refused, _comments(self._endnotes)]
        return Imported("\n".join(part for part in parts if part), tuple(self._remarks))

    def _name(self, kind: str, wish: str) -> str:
        limit = 253 if kind == "Domain" else 63
        base = name_of(wish)
        for number in range(1, 1_000_000):
            tail = "" if number == 1 else f"-{number}"
            name = base[: limit - len(tail)].rstrip("-.") + tail
            if (kind, name) not in self._taken:
                self._taken.add((kind, name))
                return name
        raise AssertionError("a million equal names")


def name_of(wish: str) -> str:
    """The nearest valid name: ASCII, lower case, dashes for the rest."""
    ascii_only = unicodedata.normalize("NFKD", wish).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9.]+", "-", ascii_only).strip("-.") or "job"


def is_address(text: str) -> bool:
    """Whether a report can be sent to `text`."""
    try:
        TypeAdapter(Address).validate_python(text)
    except ValidationError:
        return False
    return True


def render(document: Document) -> str:
    """The document as YAML, comments first."""
    metadata: dict[str, Any] = {"name": document.name}
    if document.labels:
        metadata["labels"] = document.labels
    body = {"apiVersion": "reconciler/v1", "kind": document.kind, "metadata": metadata, "spec": document.spec}
    lines: list[str] = []
    for key, value in body.items():
        lines += _entry(key, value, "")
    return _comments(document.comments) + "\n".join(lines) + "\n"


def _comments(lines: Sequence[str]) -> str:
    text = ""
    for line in "\n".join(lines).splitlines() if lines else ():
        printable = "".join(char if char == "\t" or char.isprintable() else "?" for char in line)
        text += f"# {printable}".rstrip() + "\n"
    return text


def _entry(key: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, (Mapping, list, tuple)) and not value and key != "spec":
        return []
    head = f"{indent}{_scalar(key)}:"
    if isinstance(value, str) and "\n" in value:
        return _text(head, value, indent + _INDENT)
    flow = f"{head} {_flow(value)}"
    # Short things stay on one line, but the spec and what nests deeper read better as blocks.
    short = len(flow) <= _WIDTH and _depth(value) <= 2 and key != "spec"
    if short or not isinstance(value, (Mapping, list, tuple)):
        return [flow]
    if isinstance(value, Mapping):
        lines = [head] if value else [f"{head} {{}}"]
        for inner_key, inner in value.items():
            lines += _entry(inner_key, inner, indent + _INDENT)
        return lines
    return [head, *(f"{indent}{_INDENT}- {_flow(item)}" for item in value)]


def _depth(value: Any) -> int:
    if isinstance(value, Mapping):
        return 1 + max((_depth(inner) for inner in value.values()), default=0)
    if isinstance(value, (list, tuple)):
        return 1 + max((_depth(inner) for inner in value), default=0)
    return 0


def _text(head: str, value: str, indent: str) -> list[str]:
    """A literal block where YAML can show the text as it is, else one quoted line."""
    body = value.removesuffix("\n")
    readable = all(char in "\n\t" or char.isprintable() for char in value)
    if not readable or body.endswith("\n") or body[:1] in ("", " ", "\t", "\n"):
        return [f"{head} {_scalar(value)}"]
    mark = "|" if value.endswith("\n") else "|-"
    return [f"{head} {mark}", *(f"{indent}{line}" if line else "" for line in body.split("\n"))]


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else _escape(char) for char in quoted)


def _escape(char: str) -> str:
    """JSON leaves DEL, the C1 controls, line separators and the like as they are; YAML wants them escaped."""
    number = ord(char)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"

"""Documents after validation: plain values with an identity, without the libraries that read and checked them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from reconciler.core.diagnostics import Diagnostic

API_VERSION: Final = "reconciler/v1"

RUN_REQUESTED_AT: Final = "reconciler/run-requested-at"
PRUNE: Final = "reconciler/prune"
RENAMED_FROM: Final = "reconciler/renamed-from"
APPROVE: Final = "reconciler/approve"

DOMAIN_KINDS: Final = ("Planning", "Calendar", "RunRequest")
"""The only kinds that a domain area takes."""


class Identity(NamedTuple):
    """What a document is known by, wherever it stands; `domain` is "" in the system area."""

    kind: str
    domain: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" of {self.domain}" if self.domain else "")


def as_key(name: str) -> bytes:
    """How the name of a field stands in the text of a body."""
    return f'"{name}":'.encode("ascii")


class SpecObject(NamedTuple):
    """One valid document. Its `body` is {metadata, spec} as plain JSON values, without what equals a default.

    It is kept as text, a fifth of the size, and read again when it is asked for: there may be many thousands, and
    few are looked at twice. Do not change what `body` gives; it is shared.
    """

    kind: str
    domain: str
    name: str
    path: str
    line: int
    digest: str
    text: bytes
    """The body as JSON, in the order in which its kind declares the fields."""

    @property
    def body(self) -> dict[str, Any]:
        return _read(self.text)

    def mentions(self, *words: bytes) -> bool:
        """Whether one of `words` (`as_key`) may stand in the body: a quick test before reading it, sure of its no."""
        text = self.text
        for word in words:  # noqa: SIM110 - twice as quick as any(), and there are thousands of documents
            if word in text:
                return True
        return False

    @property
    def identity(self) -> Identity:
        return Identity(self.kind, self.domain, self.name)

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.body["spec"]
        return spec

    @property
    def annotations(self) -> dict[str, str]:
        annotations: dict[str, str] = self.body["metadata"].get("annotations") or {}
        return annotations

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.body["metadata"].get("labels") or {}
        return labels

    @property
    def place(self) -> str:
        """Where it is written, `file:line`."""
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """What one file holds: its objects or, when anything in it is wrong, no object and all that is wrong."""

    path: str
    objects: tuple[SpecObject, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    named: tuple[Identity, ...] = ()
    """Whom a rejected file speaks of, as far as it can be told."""


def duplicate(of: SpecObject, others: Iterable[SpecObject]) -> Diagnostic:
    """Say of one of several documents with one identity where the others stand."""
    places = ", ".join(sorted(other.place for other in others if other is not of)[:3])
    return Diagnostic(
        "E107",
        f"{of.identity} is also defined in {places}",
        of.path,
        of.line,
        help="keep one of them; until then what was last good is in force",
        field=("metadata", "name"),
    )


@lru_cache(maxsize=256)
def _read(text: bytes) -> dict[str, Any]:
    body: dict[str, Any] = _decode(text.decode("ascii"))[0]
    return body


_decode = json.JSONDecoder().raw_decode


def text_of(body: dict[str, Any]) -> bytes:
    """The text of a body, for a SpecObject."""
    return json.dumps(body, separators=(",", ":")).encode("ascii")


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def digest_of(value: Any) -> str:
    """The sha256 of a value's canonical JSON: the same for the same content, in whatever order it was written."""
    return hashlib.sha256(_canonical(value).encode("utf-8", "surrogatepass")).hexdigest()

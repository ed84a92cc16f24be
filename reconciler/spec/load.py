"""One file to objects: read, validate, and say all that is wrong with it. Never raises on any text.

The unit of rejection is the file: when anything in it is wrong, it gives no object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from reconciler.core.diagnostics import Diagnostic, suggest
from reconciler.spec.objects import (
    API_VERSION,
    DOMAIN_KINDS,
    Identity,
    LoadedFile,
    SpecObject,
    digest_of,
    text_of,
)
from reconciler.spec.reader import ON_KEY, Document, Loc, Mark, Problem, Span, Stream, read_stream

ReadBeside = Callable[[str], bytes | None]
"""Reads a file by its path relative to the folder of the document; None when it is not there."""


def load_file(
    path: str, text: bytes, area: str | None = None, *, read_beside: ReadBeside | None = None
) -> LoadedFile:
    """Load one file of the system area, or (`area`, see `ports.source.area_of`) of a domain's folder."""
    stream = read_stream(text)
    if not stream.problems and _area_fault(area) is None:
        checked = _check_all(stream, path, area, read_beside)
        if all(isinstance(each, SpecObject) for each in checked):
            return LoadedFile(path, tuple(each for each in checked if isinstance(each, SpecObject)))
        return _explain(path, text, area, checked)
    stream = read_stream(text, places=True)
    return _explain(path, text, area, _check_all(stream, path, area, read_beside))


def _check_all(
    stream: Stream, path: str, area: str | None, read_beside: ReadBeside | None
) -> list[SpecObject | list[Fault]]:
    """Validate all documents of a file; leave out the last ones when there is enough to say about the others."""
    checked: list[SpecObject | list[Fault]] = []
    faults = 0
    for document in stream.documents:
        checked.append(found := _check(document, path, area, read_beside))
        faults += 0 if isinstance(found, SpecObject) else len(found)
        if faults > _MAX_SHOWN:
            break
    return checked


Fault = tuple[str, str, str, Loc]


def _check(
    document: Document, path: str, area: str | None, read_beside: ReadBeside | None
) -> SpecObject | list[Fault]:
    """Validate one document: its object, or all that is wrong with it."""
    from pydantic import ValidationError

    from reconciler.spec.errors import faults_of
    from reconciler.spec.kinds import kinds

    value = document.value
    header = list(_header_faults(value, area))
    if header:
        return header
    kind = kinds()[value["kind"]]
    try:
        model = kind.model.model_validate(value)
    except ValidationError as error:
        return list(faults_of(error, kind.model, value))
    dumped = model.model_dump(by_alias=True, exclude_defaults=True)
    body: dict[str, Any] = {"metadata": dumped["metadata"], "spec": dumped["spec"]}
    faults = _take_in_ics(body["spec"], read_beside) if "ics" in body["spec"] else []
    if not faults:
        faults.extend(kind.check(body))
    if area and kind.check_in_domain is not None:
        faults.extend(kind.check_in_domain(body, area))
    if faults:
        return faults
    digest = digest_of([kind.name, body])
    return SpecObject(kind.name, area or "", body["metadata"]["name"], path, document.line + 1, digest, text_of(body))


def _take_in_ics(spec: dict[str, Any], read_beside: ReadBeside | None) -> list[Fault]:
    """Put the text of a calendar's file into its body, so that its digest and its last good cover it."""
    name = spec["ics"]
    data = read_beside(name) if read_beside else None
    if data is None:
        return [
            (
                "E124",
                f"the calendar file `{name}` cannot be read",
                "put it beside the document",
                ("spec", "ics"),
            )
        ]
    try:
        spec["icsText"] = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return [("E108", f"the calendar file `{name}` is not UTF-8", "save it as UTF-8", ("spec", "ics"))]
    return []


def _area_fault(area: str | None) -> Problem | None:
    if area == "":
        help = "move it into the folder of a domain, or out of `domains`"
        return Problem("E126", "a document cannot stand in the folder `domains` itself", help)
    if area is None:
        return None
    from reconciler.spec.fields import check_name

    try:
        check_name(area, 253)
    except ValueError as error:
        help = (getattr(error, "context", None) or {}).get("help", "")
        return Problem("E126", f"the folder `{area}` is not named like a domain", help)
    return None


def _header_faults(value: Any, area: str | None) -> Iterator[Fault]:
    from reconciler.spec.kinds import kinds

    if not isinstance(value, dict):
        help = "each document begins with `apiVersion: reconciler/v1`"
        yield ("E112", "the document is not a mapping of `key: value`", help, ())
        return
    version, kind = value.get("apiVersion"), value.get("kind")
    if version is None:
        yield ("E112", "`apiVersion` is missing", f"add `apiVersion: {API_VERSION}`", ())
    elif version != API_VERSION:
        message = f"`{str(version)[:80]}` is not a version that we know"
        yield ("E112", message, f"write `{API_VERSION}`", ("apiVersion",))
    if kind is None:
        yield ("E112", "`kind` is missing", "add one of " + ", ".join(kinds()), ())
    elif not isinstance(kind, str) or kind not in kinds():
        yield ("E112", f"there is no kind `{str(kind)[:80]}`", suggest(str(kind), kinds()), ("kind",))
    elif area and kind not in DOMAIN_KINDS:
        help = f"only {', '.join(DOMAIN_KINDS)} may stand in a domain's folder; ask a system administrator"
        yield ("E121", f"a {kind} cannot stand in a domain area", help, ("kind",))


def _explain(path: str, text: bytes, area: str | None, checked: list[SpecObject | list[Fault]]) -> LoadedFile:
    """Read the file again with positions and say everything that is wrong."""
    from reconciler.spec.errors import QUOTE_IT
    from reconciler.spec.places import diagnostic_at, source_lines

    stream: Stream = read_stream(text, places=True)
    lines = source_lines(text)
    found: list[Diagnostic] = []
    named: list[Identity] = []
    told = {problem.span for problem in stream.problems}
    misplaced = _area_fault(area)
    for problem in [*([misplaced] if misplaced else []), *stream.problems]:
        found.append(diagnostic_at(path, problem.code, problem.message, problem.help, problem.span, lines))
    for document in stream.documents:
        identity = _identity(document.value, area)
        if identity is not None:
            named.append(identity)
    for document, faults in zip(stream.documents, checked, strict=False):
        for code, message, help, field in [] if isinstance(faults, SpecObject) else faults:
            span = span_of(document.marks or {}, field, on_key=code in _OF_KEYS)
            if span in told or _is_empty(document.value, field):
                continue
            if help == QUOTE_IT and span is not None and span.line == span.end_line:
                help = f'{QUOTE_IT}: "{lines[span.line][span.column : span.end_column]}"'
            found.append(diagnostic_at(path, code, message, help, span, lines))
    return LoadedFile(path, (), tuple(found[:_MAX_SHOWN]), tuple(named))


_MAX_SHOWN: Final = 200
_OF_KEYS: Final = frozenset(("E102", "E105", "E121", "E125"))
"""Codes that speak of a key rather than of its value."""


def _is_empty(value: Any, field: Loc) -> bool:
    """Whether a field is there without a value, which was said already."""
    for part in field:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return value is None


def _identity(value: Any, area: str | None) -> Identity | None:
    match value:
        case {"kind": str(kind), "metadata": {"name": str(name)}}:
            return Identity(kind, area or "", name)
    return None


def span_of(marks: dict[Loc, Mark], field: Loc, *, on_key: bool) -> Span | None:
    """Where a field stands; the nearest mapping around it when it is not there."""
    if field[-1:] == (ON_KEY,):
        field, on_key = field[:-1], True
    if field in marks:
        mark = marks[field]
        multi_line = mark.value.end_line != mark.value.line
        return mark.key if on_key or multi_line else mark.value
    while field:
        field = field[:-1]
        if field in marks:
            return marks[field].key
    return None

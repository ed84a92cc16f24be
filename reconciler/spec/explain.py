"""`reconcile explain`: the documentation of a code or a field, from the code itself."""

from __future__ import annotations

import json
import textwrap
import typing
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reconciler.core.codes import CODES
from reconciler.core.diagnostics import suggest
from reconciler.core.reasons import REASONS
from reconciler.spec.errors import unwrap
from reconciler.spec.fields import DURATION_PATTERN, TIME_PATTERN
from reconciler.spec.kinds import kinds

_WIDTH: Final = 96


class UnknownTopic(Exception):
    """There is nothing of this name; the message says what to ask for instead."""


def explain(topic: str) -> str:
    """Explain a code (`E103`), a kind, a field (`job.spec.retry.delay`) or a reason (`TimedOut`), in plain text.

    Raise UnknownTopic with what to ask for instead.
    """
    if topic.upper() in CODES:
        return _explain_code(topic.upper())
    reasons = {reason.lower(): reason for reason in REASONS}
    if topic.lower() in reasons:
        reason = reasons[topic.lower()]
        return f"{reason}: a reason of a run's state\n\n{_filled(REASONS[reason])}\n"
    first, *rest = topic.split(".")
    by_lower = {name.lower(): kind for name, kind in kinds().items()}
    kind = by_lower.get(first.lower().removesuffix("s")) or by_lower.get(first.lower())
    if kind is None:
        looks_like_code = first[:1].upper() == "E" and first[1:].isdigit()
        words = {**by_lower, **{str(reason): reason for reason in REASONS}}
        known = suggest(first.upper(), CODES) if looks_like_code else suggest(first, words)
        raise UnknownTopic(f"there is nothing called `{topic}`" + (f"; {known}" if known else ""))
    return _explain_field(kind.name, kind.model, rest)


def topics() -> list[str]:
    """All that can be explained, for completion: codes, reasons, kinds and fields."""
    found = [*CODES, *map(str, REASONS)]
    for name, kind in kinds().items():
        found.append(name.lower())
        found.extend(_paths(kind.model, name.lower(), ()))
    return found


def _paths(model: type[BaseModel], prefix: str, above: tuple[type[BaseModel], ...]) -> Iterable[str]:
    for name, info in model.model_fields.items():
        path = f"{prefix}.{info.alias or name}"
        yield path
        below = _model_of(info.annotation)
        if below is not None and below not in above:
            yield from _paths(below, path, (*above, model))


def _explain_code(code: str) -> str:
    known = CODES[code]
    return f"{code}: {known.title}\n" + (f"\n{_filled(known.explanation)}\n" if known.explanation else "")


def _filled(text: str) -> str:
    paragraphs = (" ".join(each.split()) for each in text.split("\n\n"))
    return "\n\n".join(textwrap.fill(each, _WIDTH, break_on_hyphens=False) for each in paragraphs)


def _explain_field(kind: str, model: type[BaseModel], path: list[str]) -> str:
    title = kind
    current: type[BaseModel] | None = model
    info: FieldInfo | None = None
    walked = kind.lower()
    for word in path:
        fields = {each.alias or name: each for name, each in current.model_fields.items()} if current else {}
        exact = {name.lower(): name for name in fields}.get(word.lower())
        if exact is None:
            if info is not None and current is None:
                raise UnknownTopic(f"`{walked}` has no fields below it")
            known = suggest(word, fields)
            raise UnknownTopic(f"`{walked}` has no field `{word}`" + (f"; {known}" if known else ""))
        info = fields[exact]
        current = _model_of(info.annotation)
        title = f"{title}.{exact}"
        walked = f"{walked}.{exact}"
    lines = [title]
    if info is not None:
        lines[0] += f"  <{_type_text(info)}>" + ("  (required)" if info.is_required() else "")
        lines += ["", _filled(info.description or "")]
        lines += _facts(info)
    elif model.__doc__:
        lines += ["", _filled(model.__doc__)]
    if current is not None:
        if info is not None and current.__doc__:
            lines += ["", _filled(current.__doc__)]
        lines += ["", "Fields:", *_children(current)]
    return "\n".join(lines) + "\n"


def _facts(info: FieldInfo) -> list[str]:
    facts = []
    choices = _choices(info.annotation)
    if choices:
        facts.append("One of: " + ", ".join(str(choice) for choice in choices))
    if not info.is_required() and info.default is not None:
        facts.append(f"Default: {_yaml(info.default)}")
    if info.examples:
        facts.append("Example: " + "  or  ".join(_yaml(each) for each in info.examples))
    return ["", *facts] if facts else []


def _yaml(value: Any) -> str:
    """A value as it may stand in a document, in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(each) for each in value) + "]"
    if isinstance(value, str):
        plain = value.replace("/", "").replace(".", "").replace("-", "").replace("_", "").replace(" ", "")
        return value if plain.isalnum() and not plain[0].isdigit() else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _children(model: type[BaseModel]) -> list[str]:
    rows = []
    for name, info in model.model_fields.items():
        mark = "*" if info.is_required() else ""
        rows.append((f"{info.alias or name}{mark}", _type_text(info), info.description or ""))
    name_width = max(len(row[0]) for row in rows)
    type_width = min(24, max(len(row[1]) for row in rows))
    lines = []
    for name, kind, description in rows:
        head = f"  {name:<{name_width}}  {kind:<{type_width}}  "
        lines.append(
            textwrap.fill(head + description, 118, subsequent_indent=" " * len(head), break_on_hyphens=False)
        )
    if any(row[0].endswith("*") for row in rows):
        lines += ["", "  * required"]
    return lines


def _choices(annotation: Any) -> tuple[Any, ...]:
    found = unwrap(annotation)
    if typing.get_origin(found) is list:
        found = unwrap(typing.get_args(found)[0])
    return typing.get_args(found) if typing.get_origin(found) is typing.Literal else ()


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model below a field, seen through lists and mappings."""
    found = unwrap(annotation)
    origin = typing.get_origin(found)
    if origin in (list, dict):
        found = unwrap(typing.get_args(found)[-1])
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


_SCALARS: Final[dict[Any, str]] = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_PATTERNS: Final = {DURATION_PATTERN: "duration", TIME_PATTERN: "time of day"}


def _type_text(info: FieldInfo) -> str:
    return _type_name(info.annotation, (info, *info.metadata))


def _type_name(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    for note in _notes(annotation, metadata):
        extra = getattr(note, "json_schema_extra", None)
        if isinstance(extra, dict) and extra.get("pattern") in _PATTERNS:
            return _PATTERNS[str(extra["pattern"])]
    found = unwrap(annotation)
    origin = typing.get_origin(found)
    if origin is list:
        return f"list of {_type_name(typing.get_args(found)[0])}"
    if origin is dict:
        return f"mapping of {_type_name(typing.get_args(found)[1])}"
    if origin is typing.Literal:
        return "word"
    if isinstance(found, type) and issubclass(found, BaseModel):
        return "mapping"
    return _SCALARS.get(found, "any value")


def _notes(annotation: Any, metadata: Iterable[Any]) -> Iterable[Any]:
    yield from metadata
    while annotation is not None:
        if typing.get_origin(annotation) is typing.Annotated:
            yield from typing.get_args(annotation)[1:]
            annotation = typing.get_args(annotation)[0]
            continue
        choices = [each for each in typing.get_args(annotation) if each is not type(None)]
        is_optional = len(choices) == 1 and type(None) in typing.get_args(annotation)
        annotation = choices[0] if is_optional else None

"""pydantic's errors as faults: what is wrong in the words of the document, and which field it speaks of."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from reconciler.core.diagnostics import did_you_mean, suggest
from reconciler.spec.fields import Model
from reconciler.spec.kinds import Fault
from reconciler.spec.reader import ON_KEY

_TYPE_NAMES: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of `key: value`",
    "model_type": "a mapping of `key: value`",
    "model_attributes_type": "a mapping of `key: value`",
}
_FORMS: Final = {
    "RunRequest.targets": "`job`, `job@domain` or `job@*`",
    "Administrator.identities": "`password:`, `token:`, `proxy:`, `unix:` or `signer:` and a name: `unix:alice`",
    "Installation.mail.smtp": "`smtp://host:port` or `smtps://host:port`; user and password stand elsewhere",
    "Installation.hosts": "the name of a machine, such as `mail1.example.net`",
    "Job.limits.ioPriority": "`idle`, or `best-effort:0` to `best-effort:7`",
    "Job.user": "the name of a user",
    "Job.group": "the name of a group",
    "Job.parameters": "a letter, then letters, digits, `-` and `_`",
}


QUOTE_IT: Final = "write it in quotes"
"""Help that is completed with the value as it was written."""

MAX_FAULTS: Final = 100
"""No more are explained of one document."""


def faults_of(error: ValidationError, model: type[Model], value: Any) -> list[Fault]:
    """Explain each error of a document that did not validate; `value` is the document."""
    listed = error.errors(include_url=False)[:MAX_FAULTS]
    return [_fault(each, model, value) for each in listed if not _is_misspelt(each, model, value)]


def _is_misspelt(error: Mapping[str, Any], model: type[Model], document: Any) -> bool:
    """Whether a missing field stands there under a name so near that the unknown one says it all."""
    if error["type"] != "missing":
        return False
    parent = error["loc"][:-1]
    given, declared = _at(document, parent), _fields_at(model, parent)
    unknown = [key for key in given if key not in declared] if isinstance(given, dict) else []
    return any(did_you_mean(key, declared) == error["loc"][-1] for key in unknown)


def _fault(error: Mapping[str, Any], model: type[Model], document: Any) -> Fault:
    kind: str = error["type"]
    field: tuple[str | int, ...] = error["loc"]
    context: Mapping[str, Any] = error.get("ctx") or {}
    if "at" in context:
        return Fault(kind, context["message"], context["help"], (*field, *context["at"]))
    is_key = field[-1:] == (ON_KEY,)
    field = field[:-1] if is_key else field
    if is_key:
        return Fault(
            "E116",
            f"`{_plain(field[-1])}` cannot be a key here",
            _FORMS.get(_form_key(model, field), ""),
            field,
        )
    given = _at(document, field)
    match kind:
        case "missing":
            return _missing(field)
        case "extra_forbidden":
            return _unknown_field(model, field)
        case "literal_error":
            return _no_choice(model, field, given)
        case _ if kind in _TYPE_NAMES:
            return _wrong_type(kind, field, given)
        case "string_pattern_mismatch":
            form = _FORMS.get(_form_key(model, field), "")
            return Fault("E116", f"{_shown(given)} is not in the form that this field needs", form, field)
    return Fault("E114", _range_message(kind, context, field, given), "", field)


def _name(field: tuple[str | int, ...]) -> str:
    """How a field is called in a message: the last word of its place."""
    words = [part for part in field if isinstance(part, str)]
    return f"`{words[-1]}`" if words else "the document"


def _missing(field: tuple[str | int, ...]) -> Fault:
    parent = field[:-1]
    where = f" in {_name(parent)}" if parent else ""
    return Fault("E105", f"`{field[-1]}` is missing{where}", f"add `{field[-1]}`", parent)


def _unknown_field(model: type[Model], field: tuple[str | int, ...]) -> Fault:
    name = str(field[-1])
    help = suggest(name, _fields_at(model, field[:-1]))
    if field == ("metadata", "domain"):
        help = "a domain's documents stand in `jobs.d/domains/<domain>/`: the folder decides"
    elif field == ("metadata", "namespace"):
        help = "there are no namespaces; the folder `jobs.d/domains/<domain>/` decides the domain"
    else:
        help = _elsewhere(model, name, field[:-1]) or help
    where = f" in {_name(field[:-1])}" if len(field) > 1 else ""
    return Fault("E102", f"unknown field `{name[:80]}`{where}", help, field)


def _elsewhere(model: type[Model], name: str, parent: tuple[str | int, ...]) -> str:
    """A field that exists one level up or down was only put into the wrong mapping."""
    planning = ("spec", "planning")
    for place in ((), ("spec",), ("metadata",), planning, ("spec", "schedule"), (*planning, "schedule")):
        if place != parent and name in _fields_at(model, place):
            return f"`{name}` belongs in `{'.'.join(place)}`" if place else f"`{name}` belongs at the top"
    return ""


def _no_choice(model: type[Model], field: tuple[str | int, ...], given: Any) -> Fault:
    choices = [str(choice) for choice in _choices_at(model, field)]
    if not isinstance(given, str):
        quoted = f'write "{_plain(given)}" in quotes, if that is meant; ' if _plain(given) in choices else ""
        return Fault(
            "E103", f"{_shown(given)} is not possible for {_name(field)}", quoted + _listed(choices), field
        )
    help = suggest(given, choices)
    if field[-2:-1] == ("days",) and given[:3].lower() in choices:
        return Fault("E103", f"{_shown(given)} is not a day", f"write `{given[:3].lower()}`", field)
    if given.upper().removeprefix("SIG") in choices:
        help = f"write `{given.upper().removeprefix('SIG')}`"
    return Fault(
        "E103", f"{_shown(given)} is not possible for {_name(field)}", help or _listed(choices), field
    )


def _listed(choices: list[str]) -> str:
    return "known: " + ", ".join(f"`{choice}`" for choice in choices)


def _wrong_type(kind: str, field: tuple[str | int, ...], given: Any) -> Fault:
    wanted = _TYPE_NAMES[kind]
    help = ""
    if kind == "string_type" and not isinstance(given, dict | list):
        help = QUOTE_IT
        if (
            isinstance(given, int | float)
            and not isinstance(given, bool)
            and field
            and _is_duration(field[-1])
        ):
            help = f"write a unit, such as `{given}s`, `{given}m` or `{given}h`"
    elif kind == "list_type" and isinstance(given, str):
        help = "write `[one, two]`, or each item on its own line after `- `"
        if field[-1:] in (("command",), ("shell",)):
            help = "write it word by word: `[program, argument]`; for a shell line use `script`"
    elif kind in ("int_type", "bool_type", "float_type") and isinstance(given, str):
        help = "write it without quotes" if kind != "bool_type" else "write `true` or `false`, without quotes"
    item = f"an item of {_name(field)}" if field and isinstance(field[-1], int) else _name(field)
    return Fault("E104", f"{item} must be {wanted}, not {_type_name(given)}", help, field)


_DURATIONS: Final = (
    *(
        "every",
        "jitter",
        "startingDeadline",
        "timeout",
        "stopGrace",
        "delay",
        "maxDelay",
        "minInterval",
        "startWithin",
    ),
    *("successEvery", "repeat", "age", "cpuTime", "expiresAfter", "min", "max"),
)


def _is_duration(name: str | int) -> bool:
    return name in _DURATIONS


def _range_message(kind: str, context: Mapping[str, Any], field: tuple[str | int, ...], given: Any) -> str:
    name = _name(field)
    match kind:
        case "greater_than_equal":
            return f"{name} must be at least {context['ge']}, not {_plain(given)}"
        case "greater_than":
            return f"{name} must be more than {context['gt']}, not {_plain(given)}"
        case "less_than_equal":
            return f"{name} must be at most {context['le']}, not {_plain(given)}"
        case "too_short":
            return f"{name} needs at least {context['min_length']} item{'s' if context['min_length'] > 1 else ''}"
        case "too_long":
            return (
                f"{name} has {context['actual_length']} items; at most {context['max_length']} are possible"
            )
        case "string_too_short":
            return f"{name} is empty"
        case "string_too_long":
            return f"{name} has more than {context['max_length']} characters"
    return f"{name} cannot be used: {kind.replace('_', ' ')}"


def _plain(value: Any) -> str:
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _shown(value: Any) -> str:
    return f"`{_plain(value)}`" if not isinstance(value, dict | list) else _type_name(value)


def _type_name(value: Any) -> str:
    match value:
        case bool():
            return f"`{_plain(value)}`"
        case int() | float():
            return f"the number {_plain(value)}"
        case str():
            return "text"
        case list():
            return "a list"
    return "a mapping"


def _at(document: Any, field: tuple[str | int, ...]) -> Any:
    for part in field:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return part
    return document


def _form_key(model: type[Model], field: tuple[str | int, ...]) -> str:
    """Kind and field names without indices and keys, as in `_FORMS`."""
    words = [part for part in field[1:] if isinstance(part, str)]
    full = ".".join([model.__name__, *words])
    return full if full in _FORMS else ".".join([model.__name__, *words[:1]])


def type_at(model: Any, field: tuple[str | int, ...]) -> Any:
    """The declared type of a field, seen through Optional, list and dict; None when there is no such field."""
    current: Any = model
    for part in field:
        current = unwrap(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            found = [info for info in current.model_fields.items() if (info[1].alias or info[0]) == part]
            if not found:
                return None
            current = found[0][1].annotation
        elif typing.get_origin(current) is list:
            current = typing.get_args(current)[0]
        elif typing.get_origin(current) is dict:
            current = typing.get_args(current)[1]
        else:
            return None
    return unwrap(current)


def unwrap(annotation: Any) -> Any:
    """Look through Annotated and Optional."""
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        elif origin in (typing.Union, types.UnionType):
            annotation = next(each for each in typing.get_args(annotation) if each is not type(None))
        else:
            return annotation


def _fields_at(model: type[Model], field: tuple[str | int, ...]) -> list[str]:
    found = type_at(model, field)
    if isinstance(found, type) and issubclass(found, BaseModel):
        return [info.alias or name for name, info in found.model_fields.items()]
    return []


def _choices_at(model: type[Model], field: tuple[str | int, ...]) -> tuple[Any, ...]:
    found = type_at(model, field)
    return typing.get_args(found) if typing.get_origin(found) is typing.Literal else ()

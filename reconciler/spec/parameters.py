"""A job's parameters: what it declares, what a request gives, and whether the two fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from reconciler.core.diagnostics import suggest

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
}
_MAX_TEXT: Final = 4096
_WORDS: Final = {"true": True, "yes": True, "false": False, "no": False}


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def parameter_value_fault(declared: Mapping[str, Any], value: Any) -> str:
    """Say what is wrong with a value for a declared parameter, or "" when it fits."""
    kind = declared.get("type", "string")
    right_type = isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
    if not right_type:
        return f"{_shown(value)} is not {'an' if kind == 'integer' else 'a'} {kind}"
    if isinstance(value, str) and (len(value) > _MAX_TEXT or "\x00" in value):
        return f"the text is longer than {_MAX_TEXT} characters or contains NUL"
    if "enum" in declared and value not in declared["enum"]:
        choices = ", ".join(_shown(each) for each in declared["enum"])
        return f"{_shown(value)} is none of {choices}"
    if "pattern" in declared and not _compiled(declared["pattern"]).fullmatch(value):
        return f"{_shown(value)} does not match `{declared['pattern']}`"
    return ""


def read_parameter(declared: Mapping[str, Any], text: str) -> Any:
    """Turn the text of `--param name=text` into a value of the declared type, or leave it as it is."""
    kind = declared.get("type", "string")
    try:
        if kind == "boolean":
            return _WORDS.get(text.lower(), text)
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
    except ValueError:
        return text
    return text


def check_parameters(spec: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Give the values of a run's parameters (those given over the defaults), and what is wrong with those given.

    `spec` is a Job's spec as in `SpecObject.body`.
    """
    declared: Mapping[str, Any] = spec.get("parameters") or {}
    values = {name: each["default"] for name, each in declared.items() if "default" in each}
    errors = []
    for name, value in given.items():
        if name not in declared:
            known = suggest(name, declared) or "the job has no parameters"
            errors.append(f"the job has no parameter `{name}`; {known}")
        elif fault := parameter_value_fault(declared[name], value):
            errors.append(f"`{name}`: {fault}")
        else:
            values[name] = value
    return values, errors


def parameter_text(value: Any) -> str:
    """A parameter's value as the run sees it in its environment."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _shown(value: Any) -> str:
    text = parameter_text(value)
    return f"`{text if len(text) <= 80 else text[:79] + '…'}`"

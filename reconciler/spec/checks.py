"""What a model cannot say about one document, checked on its plain body: schedules, `$(NAME)`, annotations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from reconciler.core.diagnostics import did_you_mean, suggest
from reconciler.spec.fields import NAME_PATTERN, check_name
from reconciler.spec.kinds import Body, Fault
from reconciler.spec.objects import APPROVE, PRUNE, RENAMED_FROM, RUN_REQUESTED_AT
from reconciler.spec.substitution import FIXED_NAMES, RUN_NAMES, is_variable, parameter_variable, references
from reconciler.spec.times import check_instant
from reconciler.triggers import ScheduleError, compile_schedule

_NAME: Final = NAME_PATTERN[1:-1]
TARGET_PATTERN: Final = rf"^{_NAME}(@(\*|{_NAME}))?$"

_KINDS_OF_ANNOTATION: Final = {
    RUN_REQUESTED_AT: ("Job", "Planning"),
    PRUNE: ("Job", "Domain"),
    RENAMED_FROM: ("Job", "Domain"),
    APPROVE: ("Installation",),
}


def annotation_faults(body: Body, kind: str) -> Iterator[Fault]:
    """Check the annotations that mean something to the reconciler; all others are free."""
    for key, value in (body["metadata"].get("annotations") or {}).items():
        if not key.startswith("reconciler/"):
            continue
        where = ("metadata", "annotations", key)
        if key not in _KINDS_OF_ANNOTATION:
            help = suggest(key, _KINDS_OF_ANNOTATION)
            yield Fault("E125", f"there is no annotation `{key}`", help, where)
        elif kind not in _KINDS_OF_ANNOTATION[key]:
            help = f"it belongs to {' or '.join(_KINDS_OF_ANNOTATION[key])}"
            yield Fault("E125", f"`{key}` means nothing on {kind}", help, where)
        else:
            yield from _annotation_value(key, value, where)


def _annotation_value(key: str, value: str, where: tuple[str, ...]) -> Iterator[Fault]:
    if key == PRUNE and value != "disabled":
        yield Fault("E125", f"`{value}` is not a value of `{key}`", "write `disabled`, or remove it", where)
    elif key == RUN_REQUESTED_AT:
        try:
            check_instant(value.partition("#")[0])
        except ValueError:
            help = 'write a time and a nonce: "2026-11-22T10:30:00Z#1"'
            yield Fault("E125", f"`{value}` is not a time of a request", help, where)
    elif key == RENAMED_FROM:
        try:
            check_name(value, 253)
        except ValueError:
            yield Fault("E125", f"`{value}` cannot have been a name", "", where)
    elif key == APPROVE and not re.fullmatch(r"[0-9a-f]{8,64}", value):
        yield Fault("E125", f"`{value}` is not a digest", "copy it from `reconcile plan`", where)


def command_faults(spec: Mapping[str, Any]) -> Iterator[Fault]:
    """Check each `$(NAME)` of a job's commands, as far as the job alone can tell.

    A name that a Domain may set is left to the resolving, which knows the domains.
    """
    environment = spec.get("environment") or {}
    secrets = spec.get("secrets") or {}
    parameters = spec.get("parameters") or {}
    by_variable = {parameter_variable(name): declared for name, declared in parameters.items()}
    known = {*FIXED_NAMES, *RUN_NAMES, *environment, *by_variable}
    probe = (spec.get("automatic") or {}).get("probe") or {}
    own = ("spec", "command")
    for path, words in (
        (own, spec.get("command")),
        (("spec", "automatic", "probe", "command"), probe.get("command")),
    ):
        for index, name, closed in references(words or ()):
            if fault := _reference_fault(name, closed, known, secrets, spec):
                yield Fault("E120", *fault, (*path, index))
            elif name in by_variable and "default" not in by_variable[name]:
                help = "give the parameter a default: a scheduled run has no other value"
                yield Fault("E120", f"`$({name})` has no value when nobody gives one", help, (*path, index))
    if len(by_variable) < len(parameters):
        yield Fault("E123", "two parameters have the same variable", "rename one", ("spec", "parameters"))


def _reference_fault(
    name: str, closed: bool, known: set[str], secrets: Mapping[str, str], spec: Mapping[str, Any]
) -> tuple[str, str] | None:
    literal = "write `$$(` for a literal `$(`"
    if not closed:
        return f"`$({name[:40]}` is never closed", literal
    if not is_variable(name):
        return (
            f"`$({name[:40]})` does not name a variable",
            f"there is no shell here: use `script`; {literal}",
        )
    if name in secrets:
        return (
            f"`$({name})` would put a secret on the command line",
            "read it from the environment in the command",
        )
    if name in known or (spec.get("scope") == "domain" and not name.startswith("RECONCILE_")):
        return None
    near = did_you_mean(name, known)
    return f"no run of this job has a variable `{name}`", f"did you mean `$({near})`?" if near else literal


def schedule_faults(schedule: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Fault]:
    """Check a schedule by compiling it."""
    error = _schedule_error(_frozen(schedule))
    if error is not None:
        code = "E119" if error.field == "timeZone" else "E118"
        field = tuple(int(part) if part.isdigit() else part for part in error.field.split(".") if part)
        yield Fault(code, error.message, error.help, (*path, *field))


Frozen = tuple[Any, ...]


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple((key, _frozen(each)) for key, each in value.items() if key != "calendars")
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value


def _thawed(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    if value and isinstance(value[0], tuple):
        return {key: _thawed(each) for key, each in value}
    return [_thawed(each) for each in value]


@lru_cache(maxsize=4096)
def _schedule_error(frozen: Frozen) -> ScheduleError | None:
    try:
        compile_schedule(_thawed(frozen), "UTC")
    except ScheduleError as error:
        return error
    return None


def domain_report_faults(report: Mapping[str, Any]) -> Iterator[Fault]:
    """Check that a report in a domain area only adds recipients."""
    for field in report:
        if field not in ("recipients", "send", "when"):
            help = "a report there has `recipients`, `send` and `when`"
            yield Fault("E121", f"`{field}` cannot be used in a domain area", help, ("spec", "report", field))

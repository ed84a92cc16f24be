"""From the canonical `schedule` block of a document to a compiled schedule."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import zoneinfo
from collections.abc import Mapping
from typing import Any, Protocol, cast

from reconciler.core.plan import CatchUp
from reconciler.core.units import parse_duration
from reconciler.core.zones import DAY, Zone
from reconciler.core.zones import zone as find_zone
from reconciler.triggers.calendars import Calendar, Calendars, compile_calendar, moment_of
from reconciler.triggers.errors import ScheduleError, did_you_mean
from reconciler.triggers.pattern import Pattern
from reconciler.triggers.schedule import FIRST_INSTANT, LAST_INSTANT, CompiledSchedule, Dst

_OPTIONS = ("timeZone", "dst", "jitter", "from", "until", "catchUp", "startingDeadline", "calendars")


_LONGEST = 366 * DAY


class TriggerKind(Protocol):
    """What a module of this folder offers to be a trigger kind: its key in the block, and how to read it."""

    KEY: str
    EXAMPLES: tuple[Any, ...]
    """Values that show what it can do; documentation and the tests of all kinds use them."""

    def compile(self, value: Any) -> Pattern:
        """Make the pattern of a value, or raise ScheduleError."""


@functools.cache
def trigger_kinds() -> Mapping[str, TriggerKind]:
    """The trigger kinds by key: every module of this folder that has a KEY."""
    folder = __name__.rpartition(".")[0]
    kinds: dict[str, TriggerKind] = {}
    for found in pkgutil.iter_modules(importlib.import_module(folder).__path__):
        module = importlib.import_module(f"{folder}.{found.name}")
        if hasattr(module, "KEY"):
            kinds[module.KEY] = cast(TriggerKind, module)
    return kinds


def compile_schedule(
    spec: Mapping[str, Any], zone: str, calendars: Mapping[str, Mapping[str, Any]] = {}
) -> CompiledSchedule:
    """Compile a canonical `schedule` block.

    `zone` is used where the block has no `timeZone`. `calendars` are the canonical specs of the Calendars
    that the block may name, with an ICS file's text under `icsText`. Raise ScheduleError for whatever is
    wrong.
    """
    kinds = trigger_kinds()
    unknown = [key for key in spec if key not in kinds and key not in _OPTIONS]
    if unknown:
        hint = did_you_mean(unknown[0], (*kinds, *_OPTIONS))
        raise ScheduleError(f"`{unknown[0]}` is no field of a schedule", unknown[0], hint)
    chosen = [key for key in spec if key in kinds]
    if len(chosen) != 1:
        found = f"this one has {' and '.join(chosen)}" if chosen else "this one has none"
        raise ScheduleError(f"a schedule has exactly one of {', '.join(sorted(kinds))}; {found}", "")
    clock = _zone(str(spec.get("timeZone") or zone))
    start = moment_of(spec["from"], "from", clock)[0] if spec.get("from") else FIRST_INSTANT
    end = moment_of(spec["until"], "until", clock)[1] if spec.get("until") else LAST_INSTANT
    if end <= start:
        raise ScheduleError(f"`until` {spec['until']} is not later than `from` {spec['from']}", "until")
    schedule = CompiledSchedule(
        pattern=kinds[chosen[0]].compile(spec[chosen[0]]),
        zone=clock,
        dst=Dst(_choice(spec, "dst", [dst.value for dst in Dst], Dst.ONCE)),
        jitter=_seconds(spec, "jitter") or 0,
        from_instant=start,
        until_instant=end,
        catch_up=_choice(spec, "catchUp", [policy.value for policy in CatchUp], CatchUp.LATEST),
        starting_deadline_seconds=_seconds(spec, "startingDeadline"),
        calendars=_calendars(spec.get("calendars") or {}, calendars, clock),
    )
    if spec.get("from") and spec.get("until") and schedule.next_after(start - 1) is None:
        raise ScheduleError(f"`{schedule.text}` never happens between `from` and `until`", "until")
    return schedule


def _zone(name: str) -> Zone:
    try:
        return find_zone(name)
    except KeyError as error:
        hint = did_you_mean(name, zoneinfo.available_timezones(), "write an IANA name, such as Europe/Paris")
        raise ScheduleError(f"`{name}` is not a time zone", "timeZone", hint) from error


def _choice(spec: Mapping[str, Any], field: str, known: list[str], default: str) -> str:
    value = str(spec.get(field) or default)
    if value not in known:
        raise ScheduleError(f"`{value}` is no value of `{field}`", field, f"write {' or '.join(known)}")
    return value


def _seconds(spec: Mapping[str, Any], field: str) -> int | None:
    value = spec.get(field)
    if value is None:
        return None
    try:
        seconds = parse_duration(str(value))
    except ValueError as error:
        raise ScheduleError(str(error), field) from error
    if seconds > _LONGEST:
        raise ScheduleError(f"`{value}` is longer than a year", field)
    if seconds != int(seconds):
        raise ScheduleError(f"`{value}` is not a whole number of seconds", field)
    return int(seconds)


def _calendars(
    named: Mapping[str, Any], calendars: Mapping[str, Mapping[str, Any]], zone: Zone
) -> Calendars | None:
    def compiled(field: str) -> tuple[tuple[str, Calendar], ...]:
        found: list[tuple[str, Calendar]] = []
        for number, name in enumerate(named.get(field) or ()):
            place = f"calendars.{field}.{number}"
            if name not in calendars:
                hint = did_you_mean(str(name), calendars, "write a Calendar of this name")
                raise ScheduleError(f"there is no calendar `{name}`", place, hint)
            try:
                found.append((name, compile_calendar(calendars[name], zone)))
            except ScheduleError as error:
                raise ScheduleError(
                    f"calendar `{name}`, {error.field}: {error}", place, error.help
                ) from error
        return tuple(found)

    skip, only = compiled("skip"), compiled("only")
    return Calendars(skip, only) if skip or only else None

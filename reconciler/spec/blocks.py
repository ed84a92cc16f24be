"""Blocks that several kinds share: metadata, which domains, schedule, planning, pause and report."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from reconciler.spec.fields import (
    Address,
    Description,
    DomainName,
    Duration,
    LabelKey,
    Labels,
    Model,
    Name,
    PositiveDuration,
    Secret,
    TimeOfDay,
    TimeZone,
    bad,
    item,
    needed,
)
from reconciler.spec.times import DATE_OR_TIME_PATTERN, check_date_or_time

Annotations = dict[LabelKey, str]


class Metadata(Model):
    """What a document is known by."""

    name: Name = needed(
        "Unique among documents of this kind: a path, a label, part of names elsewhere.", "backup"
    )
    labels: Labels | None = item(
        "Words to select by (`-l team=identity`, `matchLabels`).", {"team": "identity"}
    )
    annotations: Annotations | None = item(
        "Notes for tools. Those of the reconciler: `reconciler/run-requested-at`, `reconciler/prune`, "
        "`reconciler/renamed-from`, `reconciler/approve`; all others are free.",
        {"reconciler/prune": "disabled"},
    )


class DomainMetadata(Metadata):
    """What a domain is known by."""

    name: DomainName = needed("The domain; international names in their `xn--` form.", "acme.example")


class DomainSelector(Model):
    """Which domains: those with all these labels, plus these names, minus those; without labels and names, all."""

    match_labels: Labels | None = item("Domains that have all these labels.", {"ldap": "enabled"})
    names: list[DomainName] | None = item(
        "Domains by name, besides those selected by labels.", ["acme.example"]
    )
    except_: list[DomainName] | None = item(
        "Domains to leave out, however they were selected.", ["old.example"]
    )


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DateOrTime = Annotated[
    str, AfterValidator(check_date_or_time), Field(json_schema_extra={"pattern": DATE_OR_TIME_PATTERN})
]


class Weekly(Model):
    """Days of the week and times of the day."""

    days: list[Day] | None = item("Days of the week; default: all.", ["mon", "tue", "fri"], min_length=1)
    times: list[TimeOfDay] = needed(
        "Times of the day, in quotes.", ["02:00", "14:30"], min_length=1, max_length=1440
    )


class CalendarUse(Model):
    """Calendars that thin out a schedule."""

    skip: list[Name] | None = item("No slot within any of these calendars.", ["closures"])
    only: list[Name] | None = item("Only slots within one of these calendars.", ["business-days"])


class Schedule(Model):
    """When, by the clock: exactly one of `weekly`, `cron` and `every`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [name]} for name in ("weekly", "cron", "every")]}
    )

    weekly: Weekly | None = item("Days and times.", {"days": ["mon", "fri"], "times": ["02:00"]})
    cron: str | None = item(
        "A cron expression: 5 fields, or 6 with seconds first; names, ranges, lists, steps, L, W, #, @daily.",
        "0 2 * * 1-5",
        max_length=500,
        min_length=1,
    )
    every: PositiveDuration | None = item(
        "An interval that divides 24 h; follows the wall clock like */15.", "15m"
    )
    time_zone: TimeZone | None = item("Default: the Domain's, then the Installation's.", "Europe/Paris")
    dst: Literal["once", "skip", "both"] = item(
        "When the clock changes: `once` (a time in the gap runs right at its end, a repeated one on its first pass), "
        "`skip` (gap: not at all; repeated: first pass), `both` (repeated: twice).",
        default="once",
    )
    jitter: Duration | None = item(
        "Spread starts over this time; the same offset for one target every time.", "5m"
    )
    from_: DateOrTime | None = item("No slot before.", "2026-12-01")
    until: DateOrTime | None = item("No slot after; a bare date includes that day.", "2027-06-30")
    catch_up: Literal["latest", "none", "all"] = item(
        "What was missed while nobody looked: `latest` (one run for all), `none`, `all` (bounded).",
        default="latest",
    )
    starting_deadline: PositiveDuration | None = item(
        "A slot older than this is recorded as missed; default: until the next slot, at most 24h.", "6h"
    )
    calendars: CalendarUse | None = item("Calendars that thin out the schedule.", {"skip": ["closures"]})

    @model_validator(mode="after")
    def _one_form(self) -> Schedule:
        given = [name for name in ("weekly", "cron", "every") if getattr(self, name) is not None]
        if len(given) > 1:
            both = " and ".join(f"`{name}`" for name in given)
            message = f"a schedule has one of `weekly`, `cron` and `every`, not {both}"
            raise bad("E115", message, "keep one", (given[1],))
        if not given:
            raise bad("E115", "the schedule says no times", "add one of `weekly`, `cron`, `every`")
        return self


class Pause(Model):
    """No schedule and no criteria for a while; run now still works."""

    until: DateOrTime | None = item(
        "When it ends by itself; without it, until it is removed.", "2027-01-04T08:00"
    )
    reason: Description | None = item("Why, for those who wonder.", "year-end freeze")


PLANNING_RULES: dict[str, Any] = {
    "allOf": [
        {
            "if": {"properties": {"mode": {"const": "scheduled"}}, "required": ["mode"]},
            "then": {"required": ["schedule"]},
        },
        {
            "if": {"required": ["schedule"]},
            "then": {"required": ["mode"], "properties": {"mode": {"enum": ["scheduled", "disabled"]}}},
        },
    ]
}


class PlanningBlock(Model):
    """How a job is planned: mode and schedule are one unit."""

    model_config = ConfigDict(json_schema_extra=PLANNING_RULES)

    mode: Literal["automatic", "scheduled", "disabled"] | None = item(
        "`automatic` (by the job's criteria), `scheduled` (by the clock), `disabled` (only run now)."
    )
    schedule: Schedule | None = item("When, for `mode: scheduled`.", {"cron": "30 2 * * *"})
    pause: Pause | None = item("Stop schedule and criteria for a while.", {"reason": "year-end freeze"})

    @model_validator(mode="after")
    def _one_unit(self) -> PlanningBlock:
        if self.mode == "scheduled" and self.schedule is None:
            raise bad("E115", "`mode: scheduled` needs a schedule", "add `schedule`", ("mode",))
        if self.schedule is not None and self.mode is None:
            raise bad("E115", "a schedule needs its mode", "add `mode: scheduled`", ("schedule",))
        if self.schedule is not None and self.mode == "automatic":
            help = "write `mode: scheduled`, or remove the schedule"
            raise bad("E115", "`mode: automatic` does not use a schedule", help, ("schedule",))
        return self


Outcome = Literal[
    "success",
    "warning",
    "failure",
    "interrupted",
    "missed",
    "overdue",
    "recovered",
    "cancelled",
    "skipped",
    "always",
]
_DIGEST_PATTERN = (
    r"^(none|hourly|daily( ([01][0-9]|2[0-3]):[0-5][0-9])?"
    r"|weekly( (mon|tue|wed|thu|fri|sat|sun))?( ([01][0-9]|2[0-3]):[0-5][0-9])?)$"
)


def _check_digest(text: str) -> str:
    if not re.fullmatch(_DIGEST_PATTERN[1:-1], text):
        raise bad("E116", f"`{text}` is not a digest", "none, hourly, `daily 07:00` or `weekly mon 07:00`")
    return text


Digest = Annotated[str, AfterValidator(_check_digest), Field(json_schema_extra={"pattern": _DIGEST_PATTERN})]


class Report(Model):
    """Who hears about outcomes. Installation < Domain < Job < Planning: the most specific field wins, lists replace."""

    send: bool | None = item("Whether to send at all; default: no.", True)
    recipients: list[Address] | None = item("Mail addresses.", ["ops@example.org"], max_length=100)
    when: list[Outcome] | None = item(
        "Outcomes worth a report; default: failure, interrupted, missed, overdue, recovered.",
        ["failure", "recovered"],
    )
    attach_log: Annotated[int, Field(ge=0, le=100_000)] | None = item(
        "How many of the last lines to attach.", 200
    )
    level: Literal["info", "warning", "error"] | None = item(
        "The least severity of log lines that are shown."
    )
    digest: Digest | None = item(
        "Collect into one mail: `none`, `hourly`, `daily 07:00`, `weekly mon 07:00`.", "daily 07:00"
    )
    repeat: PositiveDuration | None = item("Not again for the same failure within this time.", "24h")
    after: Annotated[int, Field(ge=1, le=1000)] | None = item("Only after this many failures in a row.", 1)
    webhooks: list[Secret] | None = item("Names of secrets that hold the addresses of webhooks.", ["pager"])

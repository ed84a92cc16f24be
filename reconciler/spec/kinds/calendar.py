"""Calendar: dates and times by which schedules are thinned out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from reconciler.core.zones import zone as find_zone
from reconciler.spec.blocks import DateOrTime, Metadata
from reconciler.spec.checks import annotation_faults
from reconciler.spec.fields import BesidePath, Model, bad, item, needed
from reconciler.spec.kinds import Body, Fault, Kind
from reconciler.spec.times import DATE_PATTERN, check_date
from reconciler.triggers import ScheduleError
from reconciler.triggers.calendars import compile_calendar

Date = Annotated[str, AfterValidator(check_date), Field(json_schema_extra={"pattern": DATE_PATTERN})]


class CalendarWindow(Model):
    """From a time to a time, in the zone of the schedule that uses it."""

    start: DateOrTime = needed("When it begins.", "2026-12-31T18:00")
    end: DateOrTime = needed("When it is over; a bare date includes that day.", "2027-01-02T06:00")

    @model_validator(mode="after")
    def _forward(self) -> CalendarWindow:
        same_form = len(self.start) == len(self.end)
        if same_form and (self.end < self.start or (self.end == self.start and "T" in self.end)):
            raise bad("E115", "the window ends before it begins", "swap `start` and `end`", ("end",))
        return self


class CalendarSpec(Model):
    """Dates, stretches of time, or an iCalendar file."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    dates: list[Date] | None = item("Whole days.", ["2026-12-25"], max_length=10_000)
    windows: list[CalendarWindow] | None = item("Stretches of time.", max_length=10_000)
    ics: BesidePath | None = item("An iCalendar file beside the document.", "closures.ics")

    @model_validator(mode="after")
    def _some(self) -> CalendarSpec:
        if self.dates is None and self.windows is None and self.ics is None:
            raise bad("E115", "the calendar is empty", "add `dates`, `windows` or `ics`")
        return self


class Calendar(Model):
    """Dates and times; schedules leave them out (`skip`) or keep to them (`only`)."""

    api_version: Literal["reconciler/v1"] = needed("The version of this form.")
    kind: Literal["Calendar"] = needed("The kind of document.")
    metadata: Metadata = needed("What the calendar is known by.", {"name": "closures"})
    spec: CalendarSpec = needed("Its dates and times.", {"dates": ["2026-12-25"]})


def _check(body: Body) -> Iterator[Fault]:
    yield from annotation_faults(body, "Calendar")
    try:
        compile_calendar(body["spec"], find_zone("UTC"))
    except ScheduleError as error:
        field = tuple(int(part) if part.isdigit() else part for part in error.field.split(".") if part)
        field = ("ics",) if field[:1] == ("icsText",) else field
        yield Fault("E118", error.message, error.help, ("spec", *field))


def _check_in_domain(body: Body, domain: str) -> Iterator[Fault]:
    return iter(())


KIND = Kind("Calendar", Calendar, _check, _check_in_domain)

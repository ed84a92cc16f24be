"""What makes a time due: one file is one kind of schedule, and all are laid over a clock in the same way."""

from __future__ import annotations

from reconciler.triggers.calendars import Calendar, compile_calendar
from reconciler.triggers.compiling import TriggerKind, compile_schedule, trigger_kinds
from reconciler.triggers.errors import ScheduleError
from reconciler.triggers.schedule import CompiledSchedule
from reconciler.triggers.tzdata import tzdata_version

__all__ = [
    "Calendar",
    "CompiledSchedule",
    "ScheduleError",
    "TriggerKind",
    "compile_calendar",
    "compile_schedule",
    "trigger_kinds",
    "tzdata_version",
]

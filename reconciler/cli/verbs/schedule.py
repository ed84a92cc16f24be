"""Change when a target runs: edits its Planning file in place, comments kept.

Exactly one of --weekly, --cron, --every, --automatic and --disabled. A target without a Planning gets one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, complete_targets, say, verb

if TYPE_CHECKING:
    from reconciler.cli.planning import Fields

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORMS: Final = ("weekly", "cron", "every")


@verb()
@click.argument("target", shell_complete=complete_targets)
@click.option("--weekly", metavar="DAYS@TIMES", default="", help="mon-fri@02:00, sat,sun@02:00,14:30, @06:00")
@click.option("--cron", metavar="EXPR", default="", help="A cron expression, in quotes.")
@click.option("--every", metavar="T", default="", help="An interval that divides 24 h: 15m.")
@click.option("--automatic", is_flag=True, help="By the job's own criteria.")
@click.option("--disabled", is_flag=True, help="Only by `reconcile run`.")
@click.option("--time-zone", metavar="Z", default="", help="The zone of the schedule.")
@click.option("-A", "--all-domains", is_flag=True, help="For every domain that the job has.")
@click.option("--commit", is_flag=True, help="Commit the file, and push it where there is a remote.")
def command(call: Call, target: str, all_domains: bool, commit: bool, time_zone: str, **choice: Any) -> int:
    given = [name for name, value in choice.items() if value]
    if len(given) > 1 or (not given and not time_zone):
        known = ", ".join(f"--{name}" for name in choice)
        raise click.UsageError(f"say one of {known}" + (f", not {len(given)}" if given else ""))
    if time_zone and given and given[0] not in _FORMS:
        raise click.UsageError(f"--time-zone goes with a schedule, not with --{given[0]}")
    from reconciler.cli.planning import Tree, finish

    form = given[0] if given else ""
    value = _weekly(choice["weekly"]) if form == "weekly" else choice.get(form, "")
    tree = Tree(call)
    chosen = tree.choose(call, target, "schedule", all_domains)
    if chosen.planning is not None:
        path = tree.change(chosen.planning, _fields(chosen.planning.spec, form, value, time_zone))
    elif not form:
        raise Failure(Exit.USAGE, f"{chosen} has no schedule of its own yet", "say the schedule too")
    else:
        path = tree.create(chosen, _spec(form, value, time_zone))
    words = " ".join(filter(None, (str(choice[form]) if form in _FORMS else form, time_zone)))
    if not path:
        say(f"{chosen} is planned like that already")
        return Exit.OK
    finish(call, tree.repository, path, f"schedule: {chosen} {words}", commit)
    return Exit.OK


def _spec(form: str, value: Any, zone: str) -> dict[str, Any]:
    if form not in _FORMS:
        return {"mode": form}
    return {"mode": "scheduled", "schedule": {form: value, **({"timeZone": zone} if zone else {})}}


def _fields(spec: dict[str, Any], form: str, value: Any, zone: str) -> Fields:
    """What to change of a Planning; mode and schedule are one unit, other fields of the schedule stay."""
    from reconciler.spec.edits import REMOVED, Instead

    if form == "disabled":
        return {("spec", "mode"): "disabled"}
    if form == "automatic":
        # Before the mode: there is no automatic planning with a schedule.
        return {("spec", "schedule"): REMOVED, ("spec", "mode"): "automatic"}
    schedule = spec.get("schedule") or {}
    fields: dict[tuple[str | int, ...], Any] = {}
    if form:
        fields["spec", "mode"] = "scheduled"
        old = next((name for name in _FORMS if name in schedule), form)
        if form == old == "weekly" and "weekly" in schedule:
            days = value.get("days", REMOVED)
            fields["spec", "schedule", "weekly", "days"] = days
            fields["spec", "schedule", "weekly", "times"] = value["times"]
        else:
            fields["spec", "schedule", old] = value if old == form else Instead(form, value)
    elif not schedule:
        raise Failure(Exit.USAGE, "there is no schedule whose zone could be changed", "say the schedule too")
    if zone:
        fields["spec", "schedule", "timeZone"] = zone
    return fields


def _weekly(text: str) -> dict[str, Any]:
    """Read `mon-fri@02:00,14:30`, `mon,wed@02:00` or `@02:00`."""
    days, at, times = text.partition("@")
    if not at or not times:
        raise click.UsageError(f"`{text}` is not DAYS@TIMES: write mon-fri@02:00, or @02:00 for every day")
    found: list[str] = []
    for part in filter(None, days.lower().split(",")):
        first, dash, last = part.strip().partition("-")
        for day in filter(None, (first, last)):
            if day not in _DAYS:
                raise click.UsageError(f"`{day}` is not a day: there are {', '.join(_DAYS)}")
        start, end = _DAYS.index(first), _DAYS.index(last if dash else first)
        # A span may go over the week's end: sat-mon.
        found += [_DAYS[(start + step) % 7] for step in range((end - start) % 7 + 1)]
    listed = [day for day in _DAYS if day in found]
    weekly: dict[str, Any] = {"days": listed} if listed and len(listed) < 7 else {}
    return {**weekly, "times": [time.strip() for time in times.split(",")]}

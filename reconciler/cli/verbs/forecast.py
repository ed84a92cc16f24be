"""Show coming slots under the real rules: jitter, calendars, pauses, changes of the clock.

Without TARGET all scheduled targets are shown. --cron shows the slots of any expression, without a repository.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, complete_targets, verb
from reconciler.cli.out import Column, emit, listing
from reconciler.cli.reading import DATABASE, read, state_of
from reconciler.cli.times import ago, epoch_of, instant_option, now

if TYPE_CHECKING:
    from reconciler.core.forecast import Coming
    from reconciler.core.model import Plan, TargetId

FORMS = ("table", "wide", "json", "yaml", "markdown", "ics")


@verb(formats=FORMS)
@click.argument("target", required=False, shell_complete=complete_targets)
@click.option("--from", "from_", metavar="T", default="", help="From this time on (now).")
@click.option("--count", type=click.IntRange(1), metavar="N", help="At most so many (10).")
@click.option("--until", metavar="T", default="", help="Until this time, or so long: 7d.")
@click.option("--cron", metavar="EXPR", default="", help="Of this expression instead of the repository.")
@click.option("--tz", metavar="Z", default="UTC", show_default=True, help="The zone of --cron and --heatmap.")
@click.option("--heatmap", is_flag=True, help="Draw the load of each hour of a week.")
def command(
    call: Call,
    target: str | None,
    from_: str,
    count: int | None,
    until: str,
    cron: str,
    tz: str,
    heatmap: bool,
) -> None:
    from reconciler.core.forecast import forecast

    at = now()
    start = datetime.fromtimestamp(instant_option(from_, at) or at, UTC)
    end = _end(until, start)
    if heatmap and end is None:
        end = start + timedelta(days=7)
    plans = [_of_cron(cron, tz)] if cron else _plans(call, target)
    if count is None and end is None:
        count = 10
    coming = forecast(plans, start, end, count)
    if heatmap:
        emit(_heatmap(coming, _durations(call, cron), tz))
    elif call.output == "ics":
        from reconciler.core.ics import calendar_text

        emit(calendar_text(coming, _durations(call, cron), "reconcile", start))
    else:
        items = [_item(one) for one in coming]
        emit(listing(call, items, _columns(at), "at"))


def _end(until: str, start: datetime) -> datetime | None:
    if not until:
        return None
    if until[0].isdigit() and until[-1] in "wdhms" and "T" not in until:
        from reconciler.cli.serving import seconds_of

        return start + timedelta(seconds=seconds_of(until))
    return datetime.fromtimestamp(instant_option(until, start.timestamp()) or 0.0, UTC)


def _plans(call: Call, name: str | None) -> list[tuple[TargetId, Plan]]:
    """The plans in force, or those of the files where nothing was applied; only what the caller may see."""
    import os

    from reconciler.core.model import TargetId

    state = state_of(call)
    if os.path.exists(os.path.join(state, DATABASE)):
        from reconciler.cli.proposing import desired_in

        items = read(call, "jobs", name=name)["items"]
        wanted = {TargetId(item["job"], item["domain"]) for item in items}
        desired = desired_in(state)
    else:
        if call.as_name:
            raise Failure(Exit.NO_DAEMON, "nothing has been applied yet, so nobody is an Administrator")
        from reconciler.cli.reading import repository_of
        from reconciler.cli.tree import validated
        from reconciler.views.names import did_you_mean

        desired = validated(repository_of(call)).desired
        wanted = {each for each in desired.targets if _is_meant(each, name, call.domain)}
        if name and not wanted:
            hint = did_you_mean(
                name, {each.job for each in desired.targets} | {str(each) for each in desired.targets}
            )
            raise Failure(Exit.NOT_FOUND, f"there is no job `{name}`", hint)
    return [(each, plan) for each, plan in desired.targets.items() if each in wanted]


def _is_meant(target: TargetId, name: str | None, domain: str) -> bool:
    if domain and target.domain != domain:
        return False
    return not name or name in (target.job, str(target))


def _of_cron(expression: str, zone: str) -> tuple[TargetId, Plan]:
    from reconciler.core.model import Mode, Plan, TargetId
    from reconciler.triggers.compiling import compile_schedule

    try:
        schedule = compile_schedule({"cron": expression}, zone)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from None
    plan = Plan("cron", "installation", Mode.SCHEDULED, "", "", schedule=schedule)
    return TargetId(expression), plan


def _durations(call: Call, cron: str) -> dict[TargetId, float]:
    from reconciler.core.model import TargetId

    if cron:
        return {}
    try:
        items = read(call, "jobs")["items"]
    except Failure:
        return {}
    lasts = [(TargetId(item["job"], item["domain"]), item["lastRun"] or {}) for item in items]
    return {target: last["durationSeconds"] for target, last in lasts if last.get("durationSeconds")}


def _item(one: Coming) -> dict[str, Any]:
    return {
        "at": one.at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "target": str(one.target),
        "local": one.local.isoformat(timespec="seconds"),
        "timeZone": one.time_zone,
        "slot": one.slot.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "state": str(one.state),
        "notes": list(one.notes),
    }


def _columns(at: float) -> list[Column]:
    return [
        Column("WHEN", lambda item: item["local"]),
        Column("ZONE", lambda item: item["timeZone"]),
        Column("IN", lambda item: ago(item["at"], at) if epoch_of(item["at"]) > at else ""),
        Column("TARGET", lambda item: item["target"]),
        Column("UTC", lambda item: item["at"], wide=True),
        Column("STATE", lambda item: item["state"]),
        Column("NOTES", lambda item: "; ".join(item["notes"])),
    ]


def _heatmap(coming: Iterable[Coming], durations: dict[TargetId, float], zone: str) -> str:
    from reconciler.core.forecast import load_per_hour

    load = load_per_hour(coming, durations, zone)
    most = max(max(day) for day in load) or 1.0
    shades = " ░▒▓█"
    lines = ["     " + "".join(f"{hour:<6}" for hour in range(0, 24, 3)) + f" minutes of running, {zone}"]
    for name, day in zip(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), load, strict=True):
        cells = "".join(shades[min(4, -int(-minutes * 4 // most))] * 2 for minutes in day)
        lines.append(f"{name}  {cells}  {sum(day):.0f}")
    return "\n".join(lines)

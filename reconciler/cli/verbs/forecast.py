"""Show coming slots under the real rules: jitter, calendars, pauses, changes of the clock.

A TARGET is a job (in all its domains) or job@domain; without any all scheduled targets are shown. --cron shows the
slots of any expression, without a repository. -o ics writes a feed of all runs to subscribe to (two weeks).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, complete_targets, say, verb
from reconciler.cli.out import Column, emit, listing
from reconciler.cli.reading import DATABASE, read, state_of
from reconciler.cli.times import ago, epoch_of, instant_option, now

if TYPE_CHECKING:
    from reconciler.core.forecast import Coming
    from reconciler.core.model import TargetId
    from reconciler.core.plan import Plan

    Plans = list[tuple[TargetId, Plan]]

FORMS = ("table", "wide", "json", "yaml", "markdown", "ics")
FEED_DAYS: Final = 14


@verb(formats=FORMS)
@click.argument("targets", nargs=-1, metavar="[TARGET]...", shell_complete=complete_targets)
@click.option("--from", "from_", metavar="T", default="", help="From this time on (now).")
@click.option("--count", type=click.IntRange(1), metavar="N", help="At most so many (10).")
@click.option("--until", metavar="T", default="", help="Until this time, or so long: 7d.")
@click.option("--cron", metavar="EXPR", default="", help="Of this expression instead of the repository.")
@click.option("--tz", metavar="Z", default="UTC", show_default=True, help="The zone of --cron and --heatmap.")
@click.option("--heatmap", is_flag=True, help="Draw the load of each hour of a week.")
def command(
    call: Call,
    targets: tuple[str, ...],
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
    if end is None and (heatmap or (call.output == "ics" and count is None)):
        end = start + timedelta(days=7 if heatmap else FEED_DAYS)
    plans = [_of_cron(cron, tz)] if cron else _plans(call, targets)
    if count is None and end is None:
        count = 10
    coming = forecast(plans, start, end, count)
    if heatmap:
        from reconciler.cli.heatmap import heatmap_text

        emit(heatmap_text(call, coming, _durations(call, cron), tz))
    elif call.output == "ics":
        from reconciler.core.ics import calendar_text

        stamp = datetime.fromtimestamp(at, UTC)
        emit(calendar_text(coming, _durations(call, cron), "reconcile", stamp))
    else:
        items = [_item(one) for one in coming]
        emit(listing(call, items, _columns(at), "at"))
        if not items:
            say(_nothing(plans))


def _end(until: str, start: datetime) -> datetime | None:
    if not until:
        return None
    if until[0].isdigit() and until[-1] in "wdhms" and "T" not in until:
        from reconciler.cli.serving import seconds_of

        return start + timedelta(seconds=seconds_of(until))
    return datetime.fromtimestamp(instant_option(until, start.timestamp()) or 0.0, UTC)


def _nothing(plans: Plans) -> str:
    """Why there is nothing to show."""
    modes = sorted({f"{plan.job} is {plan.mode}" for _, plan in plans if plan.mode != "scheduled"})
    if len(modes) == len({plan.job for _, plan in plans}) and 0 < len(modes) <= 3:
        return "; ".join(modes) + ": there are no slots to forecast"
    return "no slots in this time"


def _plans(call: Call, names: Sequence[str]) -> Plans:
    """The plans in force, or those of the files where nothing was applied; only what the caller may see."""
    state = state_of(call)
    if os.path.exists(os.path.join(state, DATABASE)):
        from reconciler.cli.proposing import desired_in
        from reconciler.core.model import TargetId

        items = [
            item
            for name in names or [""]
            for item in read(call, "jobs", name=name.removesuffix("@*"))["items"]
        ]
        wanted = {TargetId(item["job"], item["domain"]) for item in items}
        targets = desired_in(state).targets
        return _with_local_pauses(call, [(each, plan) for each, plan in targets.items() if each in wanted])
    if call.as_name:
        raise Failure(Exit.NO_DAEMON, "nothing has been applied yet, so nobody is an Administrator")
    from reconciler.cli.reading import repository_of
    from reconciler.cli.tree import validated

    return list(_of_files(call, names, validated(repository_of(call)).desired.targets))


def _of_files(
    call: Call, names: Sequence[str], targets: Mapping[TargetId, Plan]
) -> Iterator[tuple[TargetId, Plan]]:
    from reconciler.views.names import did_you_mean

    for name in names:
        if not any(_is_called(each, name) for each in targets):
            known = {each.job for each in targets} | {str(each) for each in targets}
            raise Failure(Exit.NOT_FOUND, f"there is no job `{name}`", did_you_mean(name, known))
    for each, plan in targets.items():
        if call.domain and each.domain != call.domain:
            continue
        labels = {f"{key}={value}" for key, value in plan.labels}
        if labels.issuperset(call.labels) and (not names or any(_is_called(each, name) for name in names)):
            yield each, plan


def _is_called(target: TargetId, name: str) -> bool:
    return name.removesuffix("@*") in (target.job, str(target))


def _with_local_pauses(call: Call, plans: Plans) -> Plans:
    """Plans with what was paused on this machine only (`pause --local`)."""
    from reconciler.core.plan import Pause

    paused = {
        (item["job"], item["domain"]): Pause(datetime.fromisoformat(item["pausedUntil"]), item["pauseReason"])
        for item in read(call, "outlook")["items"]
    }
    if not paused:
        return plans
    return [
        (target, replace(plan, pauses=(*plan.pauses, paused[target])) if target in paused else plan)
        for target, plan in plans
    ]


def _of_cron(expression: str, zone: str) -> tuple[TargetId, Plan]:
    from reconciler.core.model import Mode, TargetId
    from reconciler.core.plan import Plan
    from reconciler.triggers.compiling import compile_schedule

    try:
        schedule = compile_schedule({"cron": expression}, zone)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from None
    plan = Plan("cron", "installation", Mode.SCHEDULED, "", "", schedule=schedule)
    return TargetId(expression), plan


def _durations(call: Call, cron: str) -> dict[TargetId, float]:
    """How long the runs of each target take, as far as any was measured and may be seen."""
    from reconciler.core.model import TargetId

    if cron or not os.path.exists(os.path.join(state_of(call), DATABASE)):
        return {}
    items = read(call, "outlook", measured=1)["items"]
    return {
        TargetId(item["job"], item["domain"]): item["durationSeconds"]
        for item in items
        if item.get("durationSeconds")
    }


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

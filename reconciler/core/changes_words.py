"""The words that all renderings of changes share: times, sides of a target, and the sum in one line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from reconciler.core.changes import Action, Changes, ObjectChange, Side, TargetChange
from reconciler.core.changes_time import RunsChange
from reconciler.core.units import plural
from reconciler.core.zones import zone

NAMES: Final = {
    Action.ADD: "add",
    Action.CHANGE: "change",
    Action.REMOVE: "remove",
    Action.REPLACE: "replace",
    Action.MOVE: "move",
}


def time_text(moment: datetime | None, time_zone: str = "") -> str:
    """A time as people write it, on the clock of a zone: `Mon 23 Nov 02:30 CET`."""
    if moment is None:
        return "never"
    try:
        local = zone(time_zone or "UTC").local(int(moment.timestamp()))
    except KeyError:
        local = moment.astimezone(UTC)
    return f"{local:%a %d %b %H:%M} {local.tzname()}"


def side_text(side: Side | None) -> str:
    """A planning in a few words: `30 2 * * *`, `disabled`, `every 4h, paused`."""
    if side is None:
        return ""
    return side.planning + (", paused" if side.paused else "")


def planning_text(change: TargetChange) -> str:
    """The planning before and after, once when it is the same."""
    before, after = side_text(change.before), side_text(change.after)
    return f"{before} -> {after}" if before and after and before != after else after or before


def next_text(change: TargetChange) -> str:
    """The next run before and after; "" where the schedule gives none."""
    sides = [each for each in (change.before, change.after) if each is not None]
    shown = [time_text(each.next_run, each.time_zone) for each in sides]
    if all(each == "never" for each in shown):
        return ""
    return " -> ".join(dict.fromkeys(shown))


def about(change: TargetChange) -> str:
    """What else there is to say about a target: what differs beyond its planning, its old name, why it waits."""
    parts = [f"renamed from {change.renamed_from}"] if change.renamed_from else []
    others = [each for each in change.what if each not in ("mode", "schedule", "pause")]
    if others and change.before and change.after:
        parts.append(f"{', '.join(others)} changed")
    if change.held:
        parts.append(f"held: {change.held}")
    return "; ".join(parts)


def runs_text(runs: RunsChange, time_zone: str = "") -> str:
    """The runs that come, go and move: `14 moved (first Mon 23 Nov 02:30 CET -> Mon 23 Nov 03:30 CET)`."""
    parts = []
    if runs.moved:
        old, new = runs.first_moved[0]
        parts.append(f"{runs.moved} moved (first {time_text(old, time_zone)} -> {time_text(new, time_zone)})")
    if runs.added:
        parts.append(f"{runs.added} added (first {time_text(runs.first_added[0], time_zone)})")
    if runs.removed:
        parts.append(f"{runs.removed} removed (first {time_text(runs.first_removed[0], time_zone)})")
    return ", ".join(parts)


def zone_of(change: TargetChange) -> str:
    """The zone in which a target's times are shown."""
    side = change.after if change.after and change.after.time_zone else change.before
    return side.time_zone if side else ""


def place_text(change: ObjectChange) -> str:
    """Where an object is written, and where it was when it moved."""
    return f"{change.old_path} -> {change.path}" if change.old_path else change.path


def summary(changes: Changes) -> str:
    """The sum in one line: `Plan: 1 to add, 2 to change; 3 targets change, 2 removals wait for approval.`"""
    if changes.refused:
        return f"Nothing can be applied: {changes.refused}."
    if changes.is_empty:
        return "No changes: what is applied is what the source says."
    counted = [(changes.count(action), name) for action, name in NAMES.items()]
    parts = [f"{count} to {name}" for count, name in counted if count]
    targets = len(changes.targets)
    text = f"Plan: {', '.join(parts) or 'no document changes'}; {plural(targets, 'target')} affected"
    if changes.guard.pending:
        count = len(changes.guard.pending)
        text += f", {plural(count, 'of them waits', 'of them wait')} for approval"
    return f"{text}."

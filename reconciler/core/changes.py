"""What applying would do: one value that `plan`, `apply`, status, console and mail render alike.

`diff` compares two versions of everything, documents and the targets that they ask for. It is pure: the same two
versions give the same changes, whether the daemon, a laptop or a pipeline compares them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from reconciler.core.changes_fields import FieldChange, field_changes
from reconciler.core.changes_guard import Guard, guard
from reconciler.core.changes_time import Agenda, RunsChange, warnings_of
from reconciler.core.desired import Desired
from reconciler.core.diagnostics import Diagnostic
from reconciler.core.model import Mode, TargetId
from reconciler.core.plan import Plan

DAYS: Final = 14


class Action(StrEnum):
    """What happens to an object or a target, as the sign that is shown for it."""

    ADD = "+"
    CHANGE = "~"
    REMOVE = "-"
    REPLACE = "-/+"
    MOVE = ">"


class Document(Protocol):
    """A document in force (`reconciler.spec.objects.SpecObject`)."""

    @property
    def kind(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def digest(self) -> str: ...
    @property
    def body(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Version:
    """One state of everything: the documents in force by (kind, domain, name), and what they ask for."""

    objects: Mapping[Any, Document]
    desired: Desired
    held: Mapping[Any, str] = field(default_factory=dict)
    """Which of them are kept at their last good version, and why."""
    diagnostics: Sequence[Diagnostic] = ()
    refused: str = ""
    """Why this version is not taken as a whole, in words; "" when it is."""


@dataclass(frozen=True, slots=True)
class ObjectChange:
    action: Action
    kind: str
    domain: str
    name: str
    path: str
    """Where it is written now, or was."""
    fields: tuple[FieldChange, ...] = ()
    old_path: str = ""
    note: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" of {self.domain}" if self.domain else "")


@dataclass(frozen=True, slots=True)
class Side:
    """How a target is planned, before or after."""

    mode: Mode
    planning: str
    time_zone: str
    next_run: datetime | None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class TargetChange:
    action: Action
    target: TargetId
    before: Side | None
    after: Side | None
    what: tuple[str, ...] = ()
    """What of it differs: `schedule`, `definition`, `report`, ..."""
    renamed_from: str = ""
    held: str = ""
    """Why this waits, although everything else is applied."""
    runs: RunsChange | None = None
    """The runs added, removed and moved; None where they cannot be known or were not counted."""


@dataclass(frozen=True, slots=True)
class Changes:
    """All differences, what is held back of them, and what to look out for."""

    objects: tuple[ObjectChange, ...]
    targets: tuple[TargetChange, ...]
    guard: Guard
    warnings: tuple[str, ...]
    now: datetime
    days: int
    before: str = ""
    after: str = ""
    """The revisions compared."""
    held: tuple[tuple[str, str], ...] = ()
    """Documents kept at their last good version, and why."""
    diagnostics: tuple[Diagnostic, ...] = ()
    refused: str = ""
    drift: tuple[tuple[str, str], ...] = ()
    """Targets with a local override, and which: what is in force there is not what any file says."""

    @property
    def is_empty(self) -> bool:
        """Whether applying would change nothing; what is never removed does not count."""
        kept = {item.target for item in self.guard.kept}
        kept_objects = {key for item in self.guard.kept for key in item.objects}
        return all((each.kind, each.domain, each.name) in kept_objects for each in self.objects) and all(
            each.target in kept for each in self.targets
        )

    @property
    def is_blocked(self) -> bool:
        """Whether something waits for an approval."""
        return bool(self.guard.pending)

    def count(self, action: Action) -> int:
        """How many objects this happens to."""
        return sum(each.action is action for each in self.objects)


def diff(
    before: Version,
    after: Version,
    now: datetime,
    days: int = DAYS,
    approved: Collection[str] = (),
) -> Changes:
    """Say what differs, for targets also in time; `approved` are digests of removals that may happen."""
    checked = guard(before.objects, before.desired, after.objects, after.desired, now, approved)
    agenda = Agenda(now, days)
    targets = _targets(before.desired, after.desired, checked, agenda)
    changed = {each.target for each in targets if each.action is not Action.REMOVE}
    return Changes(
        objects=_objects(before, after),
        targets=targets,
        guard=checked,
        warnings=tuple(warnings_of(before.desired, after.desired, changed, agenda)),
        now=now,
        days=days,
        before=str(before.desired.revision) if before.desired.revision.commit else "",
        after=str(after.desired.revision) if after.desired.revision.commit else "",
        held=tuple(sorted((_name(*key), why) for key, why in after.held.items())),
        diagnostics=tuple(after.diagnostics),
        refused=after.refused,
    )


def _name(kind: str, domain: str, name: str) -> str:
    return f"{kind} {name}" + (f" of {domain}" if domain else "")


def _objects(before: Version, after: Version) -> tuple[ObjectChange, ...]:
    changes = []
    for key, new in after.objects.items():
        old = before.objects.get(key)
        if old is new:
            continue
        if old is None:
            changes.append(_change(Action.ADD, new, fields=(), note=_renamed(new, before)))
        elif old.digest != new.digest:
            fields = field_changes(old.body, new.body)
            moved = old.path if old.path != new.path else ""
            scopes = [each["spec"].get("scope", "installation") for each in (old.body, new.body)]
            if new.kind == "Job" and scopes[0] != scopes[1]:
                note = f"scope cannot be changed: {scopes[0]} -> {scopes[1]} makes other targets"
                changes.append(_change(Action.REPLACE, new, fields, moved, note))
            else:
                changes.append(_change(Action.CHANGE, new, fields, moved))
        elif old.path != new.path:
            changes.append(_change(Action.MOVE, new, (), old.path))
    for key, old in before.objects.items():
        if key not in after.objects:
            changes.append(_change(Action.REMOVE, old))
    return tuple(sorted(changes, key=lambda each: (each.kind, each.domain, each.name)))


def _change(
    action: Action, of: Document, fields: tuple[FieldChange, ...] = (), old_path: str = "", note: str = ""
) -> ObjectChange:
    return ObjectChange(action, of.kind, of.domain, of.name, of.path, fields, old_path, note)


def _renamed(new: Document, before: Version) -> str:
    annotations = new.body["metadata"].get("annotations") or {}
    old = annotations.get("reconciler/renamed-from", "")
    return f"renamed from {old}" if old and (new.kind, new.domain, old) in before.objects else ""


def _targets(before: Desired, after: Desired, checked: Guard, agenda: Agenda) -> tuple[TargetChange, ...]:
    held = {item.target: item.why for item in (*checked.pending, *checked.kept)}
    replaced = {target.job for target in checked.replaced}
    changes: list[TargetChange] = []
    same: dict[tuple[int, int], tuple[str, ...]] = {}
    for target, new in after.targets.items():
        old = before.targets.get(target)
        renamed = checked.renames.get(target)
        if old is None and renamed is not None:
            old = before.targets[renamed]
        if old is new:
            continue
        if old is None:
            action = Action.REPLACE if target.job in replaced else Action.ADD
            runs = agenda.compare(target, None, new)
            side = _side(target, new, agenda)
            changes.append(TargetChange(action, target, None, side, held=held.get(target, ""), runs=runs))
            continue
        key = (id(old), id(new))
        what = same.get(key)
        if what is None:
            what = same[key] = _what_differs(old, new)
        if not what and renamed is None:
            continue
        timed = "schedule" in what or "pause" in what or renamed is not None
        changes.append(
            TargetChange(
                Action.MOVE if renamed is not None else Action.CHANGE,
                target,
                _side(renamed or target, old, agenda),
                _side(target, new, agenda),
                what,
                str(renamed) if renamed else "",
                held.get(target, ""),
                agenda.compare(target, old, new, renamed) if timed else None,
            )
        )
    gone = before.targets.keys() - after.targets.keys() - set(checked.renames.values())
    for target in gone:
        old = before.targets[target]
        action = Action.REPLACE if target.job in replaced else Action.REMOVE
        runs = agenda.compare(target, old, None)
        side = _side(target, old, agenda)
        changes.append(TargetChange(action, target, side, None, held=held.get(target, ""), runs=runs))
    return tuple(sorted(changes, key=lambda each: (each.target, each.action)))


def _side(target: TargetId, plan: Plan, agenda: Agenda) -> Side:
    zone = plan.schedule.time_zone if plan.mode is Mode.SCHEDULED and plan.schedule else ""
    next_run = agenda.next_run(target, plan)
    return Side(plan.mode, plan.planning_text, zone, next_run, plan.is_paused(agenda.now))


def _what_differs(old: Plan, new: Plan) -> tuple[str, ...]:
    """Name what differs between two plans; where they are written does not count."""
    pairs: list[tuple[str, Any, Any]] = [
        ("mode", old.mode, new.mode),
        ("schedule", old.schedule_digest, new.schedule_digest),
        ("definition", old.digest, new.digest),
        ("pause", _pauses(old), _pauses(new)),
        ("report", _report(old), _report(new)),
        ("retention", old.retention, new.retention),
        ("description", old.description, new.description),
        ("labels", old.labels, new.labels),
        ("pruning", old.prunable, new.prunable),
    ]
    return tuple(name for name, a, b in pairs if a != b)


def _pauses(plan: Plan) -> list[tuple[datetime | None, str]]:
    return [(pause.until, pause.reason) for pause in plan.pauses]


def _report(plan: Plan) -> tuple[Any, ...]:
    report = plan.report
    added = [(each.recipients, each.send, each.when) for each in report.added]
    names = (
        "send",
        "recipients",
        "when",
        "attach_log",
        "level",
        "digest",
        "repeat_seconds",
        "after",
        "webhooks",
    )
    return (*(getattr(report, name) for name in names), added)

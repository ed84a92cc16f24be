"""Plays a test on the real engine and the real state, with a clock that jumps from one thing to do to the next."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from reconciler.core import facts as f
from reconciler.core.desired import Desired, Request
from reconciler.core.facts import Fact, epoch, from_epoch
from reconciler.core.model import Revision, State, TargetId, Trigger
from reconciler.core.plan import Plan
from reconciler.engine.engine import Engine
from reconciler.engine.parts import Parts
from reconciler.rehearsal.script import STRETCHES, Case, Doing, Event, Expectation
from reconciler.rehearsal.stage import Stage, StagedExecutor, StagedLogs, StagedOrders
from reconciler.rehearsal.wording import SNAPSHOTS
from reconciler.store.sqlite import SqliteStore

DAY: Final = 86400
SOON_SECONDS: Final = 0.02
"""What the engine wants to do sooner than this happens without the clock moving."""
MOST_ROUNDS_AT_ONCE: Final = 10_000
WAITS_AT_MOST: Final = timedelta(hours=25)
"""What still waits at the end gets so long to become something: the longest default of `startingDeadline`."""

ENOUGH_TO_SHOW: Final = 4


class Entry(NamedTuple):
    """Something that became of a target: a run starts or ends, a slot is settled, or (a snapshot) what is so."""

    at: datetime
    target: TargetId
    what: str
    detail: str = ""
    run: str = ""


class Version(NamedTuple):
    """What is desired from a time on."""

    since: int
    desired: Desired


@dataclass(slots=True)
class Chronicle:
    """All that happened, in the order of time."""

    entries: list[Entry] = field(default_factory=list)
    snapshots: dict[int, list[Entry]] = field(default_factory=dict)
    """What was so at the times that are asked for."""


def start_of(case: Case) -> int:
    """When the documents are applied: as the test says, else a day before the first time that it names."""
    if case.applied is not None:
        return case.applied
    changes = [page.since for page in case.pages if page.since is not None]
    return min(case.times + changes) - DAY


def play(case: Case, versions: Sequence[Version], find: Callable[[str], list[TargetId]]) -> Chronicle:
    """Play one test: `versions` begin with what is applied first; `find` gives the targets that a name means."""
    with TemporaryDirectory(prefix="reconcile-test-") as folder:
        playing = _Playing(case, versions, find, Path(folder))
        try:
            playing.run()
        finally:
            playing.store.close()
    playing.chronicle.entries.sort()
    return playing.chronicle


class _Playing:
    def __init__(
        self,
        case: Case,
        versions: Sequence[Version],
        find: Callable[[str], list[TargetId]],
        folder: Path,
    ) -> None:
        self.case, self.find = case, find
        self.chronicle = Chronicle()
        self.stage = Stage(versions[0].since, case.fates)
        self.store = SqliteStore(folder / "state.db", durable=False)
        self.applied = Desired()
        self.before = Desired()
        self.engine = self._engine()
        self._versions = list(versions)
        self._requests: list[Request] = []
        self._triggers: dict[tuple[TargetId, str], f.Queued] = {}
        self._started: set[tuple[TargetId, str]] = set()
        self._changes = itertools.count(1)

    def run(self) -> None:
        self._apply(self._versions[0])
        for target, plan in self.applied.targets.items():
            if plan.criteria is not None and plan.criteria.on_change:
                self.engine.fingerprint({target: "files:as they were"})
        for at, happen in self._timeline():
            self._live_until(from_epoch(at))
            happen()
        self._live_on()

    def _live_on(self) -> None:
        """Let what still waits become something, and see what comes after all that is asked for."""
        begin, told = self.stage.wall, len(self.chronicle.entries)
        while self.stage.wall < begin + WAITS_AT_MOST:
            waits = any(seen.waiting for seen in self.engine.board.active.values())
            if not waits and len(self.chronicle.entries) >= told + ENOUGH_TO_SHOW:
                return
            self._live_until(self.stage.wall + timedelta(minutes=10))

    def _timeline(self) -> Iterator[tuple[int, Callable[[], None]]]:
        """What happens, in the order of time; a look at what is so comes last of what happens at a time."""
        plan: list[tuple[int, int, Callable[[], None]]] = []
        for version in self._versions[1:]:
            plan.append((version.since, 0, lambda version=version: self._apply(version)))  # type: ignore[misc]
        for event in self.case.events:
            if event.doing is not Doing.REMOVE:
                plan.append((event.at, 1, lambda event=event: self._happen(event)))  # type: ignore[misc]
        for each in self.case.expectations:
            plan.append((each.at, 2, lambda each=each: self._look(each)))  # type: ignore[misc]
            plan.append((each.until, 3, lambda: None))
        plan.sort(key=lambda item: item[:2])
        absent = max((e.until for e in self.case.events if e.doing in STRETCHES), default=0)
        if absent:
            plan.append((max(absent, plan[-1][0]), 3, lambda: None))
        return ((at, happen) for at, _, happen in plan)

    # Time.

    def _live_until(self, end: datetime) -> None:
        """Let time pass. What is later than `end` already (it slept meanwhile) happens at once."""
        while self.stage.wall < end:
            wait = self._rest()
            following = end if wait is None else self.stage.wall + timedelta(seconds=wait)
            self.stage.wall = min(end, max(following, self.stage.wall + timedelta(milliseconds=1)))

    def _rest(self) -> float | None:
        """Have everything done that is due; give the seconds until there is something again."""
        for _ in range(MOST_ROUNDS_AT_ONCE):
            wait = self.engine.round().wait_seconds
            if wait is None or wait > SOON_SECONDS:
                return wait
        return SOON_SECONDS

    # What happens.

    def _engine(self) -> Engine:
        engine = Engine(
            Parts(
                self.store,
                self.stage,
                StagedExecutor(self.stage),
                StagedLogs(self.stage),
                StagedOrders(lambda target: self.applied.targets.get(target)),
                lambda: 0.0,
                lambda attempt: None,
                recorded=self._recorded,
            )
        )
        engine.open(self.applied)
        return engine

    def _apply(self, version: Version) -> None:
        self._swap(version.desired)

    def _swap(self, desired: Desired) -> None:
        desired = replace(
            desired, requests=tuple(self._requests), run_now=(), revision=Revision(f"{len(self._requests)}")
        )
        self.before, self.applied = self.applied, desired
        self.engine.apply(desired, lambda: None)

    def _happen(self, event: Event) -> None:
        if event.doing in (Doing.DOWN, Doing.OFF, Doing.ASLEEP):
            # Meanwhile the status says what it said last.
            for each in self.case.expectations:
                if event.at < each.at < event.until:
                    self._look(each)
        match event.doing:
            case Doing.DOWN | Doing.OFF:
                until = from_epoch(event.until)
                if event.doing is Doing.OFF:
                    self.stage.restart(self.stage.wall, max(until, self.stage.wall))
                self.stage.wall = max(until, self.stage.wall)
                self.engine = self._engine()
            case Doing.ASLEEP:
                self.stage.wall = max(from_epoch(event.until), self.stage.wall)
            case Doing.RUN:
                self._ask(event)
            case _:
                for target in self.find(event.target):
                    self._do(event, target)

    def _do(self, event: Event, target: TargetId) -> None:
        match event.doing:
            case Doing.PAUSE:
                if from_epoch(event.until) > self.stage.wall:
                    self.engine.pause_locally(target, from_epoch(event.until), event.text, "test")
            case Doing.RESUME:
                self.engine.pause_locally(target, None, "", "test")
            case Doing.CANCEL:
                self.engine.request_cancel(target, None, "test")
            case Doing.CHANGE:
                self.engine.fingerprint({target: f"files:change {next(self._changes)}"})
            case _:
                raise AssertionError(event.doing)

    def _ask(self, event: Event) -> None:
        """Run now, as a RunRequest does."""
        name = f"line-{event.line}-{len(self._requests) + 1}"
        targets = tuple(str(target) for target in self.find(event.target))
        request = Request(
            "", name, targets, from_epoch(event.at), timedelta(days=365), {}, "", name, f"{name}.yaml"
        )
        self._requests.append(request)
        self._swap(self.applied)

    # What becomes of it.

    def _look(self, expectation: Expectation) -> None:
        """Note what is so now."""
        if expectation.what not in SNAPSHOTS or expectation.at in self.chronicle.snapshots:
            return
        self._rest()
        now, found = self.stage.wall, []
        for target in self.applied.targets:
            seen = self.engine.board.seen(target)
            for run in seen.runs.values():
                why = self.engine.admitting.why(target, run.run) if run.waiting else None
                detail = str(why.reason) if why is not None else ""
                found.append(Entry(now, target, "queued" if run.waiting else "running", detail, run.run))
            if seen.overdue_message:
                found.append(Entry(now, target, "overdue"))
        self.chronicle.snapshots[expectation.at] = found

    def _recorded(self, facts: list[tuple[TargetId, Fact]]) -> None:
        for target, fact in facts:
            self.chronicle.entries.extend(self._entries(target, fact))

    def _entries(self, target: TargetId, fact: Fact) -> Iterator[Entry]:
        match fact:
            case f.Queued():
                self._triggers[target, fact.run] = fact
            case f.Started() if (target, fact.run) not in self._started:
                self._started.add((target, fact.run))
                queued = self._triggers.get((target, fact.run))
                trigger = queued.trigger if queued else Trigger.SCHEDULE
                yield Entry(fact.at, target, "run", str(trigger), fact.run)
            case f.Settled():
                for slot in self._slots(target, fact):
                    yield Entry(from_epoch(slot), target, str(fact.state), str(fact.reason))
            case f.Finished():
                at, queued = fact.at, self._triggers.get((target, fact.run))
                never = (target, fact.run) not in self._started
                if never and queued is not None and queued.slot is not None and fact.state is State.MISSED:
                    at = queued.slot
                yield Entry(at, target, str(fact.state), str(fact.reason), fact.run)

    def _slots(self, target: TargetId, fact: f.Settled) -> list[int]:
        """The slots that one fact settles, by whichever plan has just so many there."""
        first, last = epoch(fact.first), epoch(fact.last)
        for desired in (self.applied, self.before):
            plan = desired.targets.get(target)
            if fact.count > 1 and plan is not None and plan.schedule is not None:
                slots = _between(plan, first, last)
                if len(slots) == fact.count:
                    return slots
        return sorted({first, last})


def _between(plan: Plan, first: int, last: int) -> list[int]:
    slots, slot = [], first - 1
    while plan.schedule is not None:
        following = plan.schedule.next_after(slot)
        if following is None or following > last:
            break
        slots.append(following)
        slot = following
    return slots


def entries_of(chronicle: Chronicle, expectation: Expectation) -> Sequence[Entry]:
    """What is looked through for an expectation."""
    if expectation.what in SNAPSHOTS:
        return chronicle.snapshots.get(expectation.at, [])
    return chronicle.entries

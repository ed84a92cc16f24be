"""The simulated machine of the engine's tests, with letters: what leaves is kept, nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from reconciler.core.desired import Desired, Limits
from reconciler.core.model import Instant, Mode, TargetId
from reconciler.core.plan import Plan, Report
from reconciler.core.report_page import page_of
from reconciler.core.report_parts import Page
from reconciler.engine.letters import Postmaster
from reconciler.ports.notifier import Outcome, Parcel, Receipt
from reconciler.store.letters import LetterBox
from reconciler.triggers import compile_schedule
from tests.sim.bench import Bench
from tests.sim.machine import START, Fate

OPS = "ops@example.org"
FAILS = Fate(30.0, 3)
WORKS = Fate(30.0, 0)


def _target(folder: str) -> str:
    domain, job = folder.split("/")
    return f"{job}@{domain}"


def report(*recipients: str, **more: Any) -> Report:
    return Report(
        send=True, recipients=recipients or (OPS,), origins=(("recipients", "jobs.d/a.yaml:7"),), **more
    )


def plan(name: str, told: Report | None = None, **more: Any) -> Plan:
    """A job at every full hour, or with the `schedule` given."""
    schedule = compile_schedule(more.pop("schedule", {"cron": "0 * * * *"}), "UTC", {})
    given = Plan(
        name, "installation", Mode.SCHEDULED, name, repr(schedule), schedule, report=told or report(),
        path="jobs.d/a.yaml:3",
    )  # fmt: skip
    return replace(given, **more)


class PostBench(Bench):
    """`outcome` says what becomes of letters; `sent` are those that left."""

    def __init__(self, folder: Path, fates: Mapping[str, Fate] | None = None) -> None:
        self.sent: list[Parcel] = []
        self.said: list[str] = []
        self.outcome = Outcome.SENT
        super().__init__(folder, fates)
        self.machine._fate_of = lambda order, chance: self.fates.get(
            _target(order.attempt.folder), self.fates.get(order.argv[0], WORKS)
        )

    def open(self, desired: Desired) -> None:
        super().open(desired)
        self.box = LetterBox(self.store.db)
        self.post = Postmaster(self.store, self.box, self._tail, self.engine.board.seen, "uid")
        self.post.desired = desired
        self.engine.parts.hooks.append(self._hook)

    def _hook(self, facts: Any, now: Instant) -> None:
        self.post.desired = self.engine.board.desired
        self.post.hook(facts, now)

    def _tail(self, target: TargetId, run: str, attempt: int, most_bytes: int) -> bytes:
        return f"hello from {target}\n::error::it broke\n".encode()

    def want(self, targets: Mapping[TargetId, Plan], zone: str = "UTC", most: int = 16) -> None:
        self.engine.apply(Desired(dict(targets), limits=Limits(most), default_zone=zone), lambda: None)
        self.post.desired = self.engine.board.desired

    def apply(self, *plans: Plan, **more: Any) -> None:
        self.want({TargetId(each.job): each for each in plans})

    def step(self) -> float | None:
        """One turn of the daemon's loop, as far as letters are concerned."""
        now = self.machine.now()
        parcels = self.post.leave(now)
        if parcels:
            if self.outcome is Outcome.SENT:
                self.sent += parcels
            receipts = [Receipt(parcel.id, self.outcome, "as told") for parcel in parcels]
            self.said += self.post.outbox.settle(receipts, now)
        return 0.0 if parcels else self.post.wait_seconds(now)

    def until(self, at: str) -> None:
        end = (datetime.fromisoformat(at).replace(tzinfo=START.tzinfo) - START).total_seconds()
        for _ in range(100_000):
            found = [self.engine.round().wait_seconds, self.step(), end - self.machine.elapsed]
            wait = min(each for each in found if each is not None)
            if self.machine.elapsed >= end:
                return
            self.machine.pass_time(min(end, self.machine.elapsed + max(wait, 0.01)))
        raise AssertionError("it goes round and round")

    def pages(self, recipient: str = OPS) -> list[Page]:
        return [page_of(each.body, recipient, "host") for each in self.sent if each.recipient == recipient]

    def subjects(self, recipient: str = OPS) -> list[str]:
        return [page.subject for page in self.pages(recipient)]

    def states(self) -> list[tuple[str, str]]:
        return self.store.db.execute("SELECT state, key FROM letters ORDER BY id").fetchall()


def told_of(page: Page) -> set[str]:
    """All targets in the lists of a page."""
    return {entry.title for section in page.sections for entry in section.entries}


def facts_of(page: Page) -> dict[str, str]:
    return {label: value for section in page.sections for label, value in section.facts}

"""What a simulated installation wants: jobs of every kind, and edits to them, all out of one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from reconciler.core.desired import Desired, Limits, Request, RunNow
from reconciler.core.model import Mode, Revision, State, TargetId
from reconciler.core.plan import Concurrency, Criteria, Pause, Plan, Probe, Retry, Schedule, Window
from reconciler.ports.executor import Order
from reconciler.triggers import compile_schedule
from tests.sim.machine import Fate

DOMAINS = ("acme.example", "globex.example", "initech.example")
CALENDARS = {"closures": {"dates": ["2026-02-03", "2026-05-01", "2026-12-25"]}}
ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")


@dataclass(frozen=True)
class Job:
    """A job as it is written; `seconds` and `fails` are what its command is like."""

    name: str
    schedule: tuple[tuple[str, Any], ...] | None = None
    criteria: Criteria | None = None
    mode: Mode = Mode.SCHEDULED
    zone: str = "UTC"
    concurrency: Concurrency = Concurrency.SKIP
    locks: tuple[str, ...] = ()
    retry: Retry | None = None
    timeout_seconds: float | None = None
    pauses: tuple[Pause, ...] = ()
    domains: bool = False
    secrets: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    description: str = ""
    seconds: tuple[float, float] = (1.0, 600.0)
    fails: float = 0.1

    def plan(self) -> Plan:
        schedule: Schedule | None = None
        if self.schedule is not None:
            schedule = compile_schedule(dict(self.schedule), self.zone, CALENDARS)
        how = repr((self.mode, self.schedule, self.zone, self.criteria))
        return Plan(
            job=self.name,
            scope="domain" if self.domains else "installation",
            mode=self.mode,
            digest=repr((self.locks, self.retry, self.timeout_seconds, self.description, self.labels)),
            schedule_digest=how,
            schedule=schedule if self.mode is Mode.SCHEDULED else None,
            criteria=self.criteria,
            pauses=self.pauses,
            concurrency=self.concurrency,
            locks=self.locks,
            retry=self.retry,
            timeout_seconds=self.timeout_seconds,
            secrets=self.secrets,
            labels=self.labels,
            description=self.description,
        )


def schedule(**block: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((name.rstrip("_"), value) for name, value in block.items())


TWICE = Retry(attempts=3, delay_seconds=120, states=(State.FAILURE,))
STUBBORN = Retry(attempts=2, delay_seconds=1800, states=(State.FAILURE, State.INTERRUPTED), exit_codes=(1,))

JOBS = (
    Job("backup", schedule(cron="30 2 * * *"), zone="Europe/Paris", locks=("db",), retry=TWICE, seconds=(600, 9000)),
    Job("vacuum", schedule(weekly={"days": ["sun", "wed"], "times": ["02:00", "14:30"]}, jitter="30m"),
        zone="America/New_York", locks=("db", "disk"), seconds=(60, 4000)),
    Job("rotate", schedule(cron="0 */6 * * *", catchUp="all"), zone="Australia/Lord_Howe",
        concurrency=Concurrency.QUEUE, seconds=(60, 30000)),
    Job("poll", schedule(every="4h", catchUp="none"), zone="Asia/Kathmandu", seconds=(10, 20000), fails=0.3),
    Job("render", schedule(cron="15 3,9,15 * * *", startingDeadline="2h"), zone="Europe/Paris",
        concurrency=Concurrency.REPLACE, timeout_seconds=14400, seconds=(60, 40000), retry=STUBBORN),
    Job("export", schedule(cron="0 4,8 * * 1-5", catchUp="all", startingDeadline="5h"),
        concurrency=Concurrency.ALLOW, seconds=(60, 30000), timeout_seconds=20000),
    Job("report", schedule(cron="0 7 1 * *", calendars={"skip": ["closures"]}), zone="America/New_York"),
    Job("closing", schedule(cron="0 22 * * *", calendars={"skip": ["closures"]}, dst="skip"), secrets=("token",)),
    Job("ldap", schedule(cron="45 1 * * *", jitter="20m"), domains=True, locks=("ldap",), seconds=(60, 3000),
        retry=TWICE, fails=0.5),
    Job("quota", mode=Mode.AUTOMATIC, criteria=Criteria(after=("ldap",)), domains=True, fails=0.2),
    Job("summary", mode=Mode.AUTOMATIC, criteria=Criteria(after=("ldap",)), seconds=(5, 50)),
    Job("spread", mode=Mode.AUTOMATIC, criteria=Criteria(after=("backup",)), domains=True, locks=("ldap",)),
    Job("sweep", mode=Mode.AUTOMATIC, criteria=Criteria(every_seconds=7 * 3600.0), locks=("disk",),
        retry=TWICE, fails=0.5),
    Job("night", mode=Mode.AUTOMATIC, concurrency=Concurrency.ALLOW, seconds=(600, 60000),
        criteria=Criteria(every_seconds=9 * 3600.0, window=Window(22 * 60, 6 * 60, "Europe/Paris"))),
    Job("spool", mode=Mode.AUTOMATIC, criteria=Criteria(probe=Probe(("check",), 5 * 3600.0)), seconds=(5, 500)),
    Job("manual", mode=Mode.DISABLED, locks=("db",), concurrency=Concurrency.QUEUE),
    Job("broken", schedule(cron="0 5 * * 1"), labels=(("unpreparable", ""),)),
)  # fmt: skip


def fate_of(order: Order, chance: random.Random) -> Fate:
    """What the command of an order does."""
    if order.argv == ("probe",):
        return Fate(chance.uniform(0.1, 90), chance.choices([0, 1, 2], [3, 10, 2])[0])
    job = next((job for job in JOBS if job.name == order.argv[0]), JOBS[0])
    seconds = round(chance.uniform(*job.seconds) ** chance.choice([0.5, 1.0]), 3)
    if chance.random() < 0.01:
        seconds *= 20
    if chance.random() >= job.fails:
        return Fate(seconds, errors=chance.choice([0, 0, 0, 2]))
    match chance.randrange(6):
        case 0:
            return Fate(seconds, None, 9)
        case 1:
            return Fate(0.0, starts=False)
        case 2:
            return Fate(seconds, 75)
        case _:
            return Fate(seconds, 1)


class Source:
    """The files of the installation; `desired` is what they say now."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.jobs = {job.name: job for job in JOBS}
        self._gone: dict[str, Job] = {}
        self._domains = list(DOMAINS)
        self._limits = Limits(5, 2)
        self.requests: list[Request] = []
        self.run_now: list[RunNow] = []
        self._number = 0

    def desired(self) -> Desired:
        targets: dict[TargetId, Plan] = {}
        for job in self.jobs.values():
            plan = job.plan()
            for domain in self._domains if job.domains else ("",):
                targets[TargetId(job.name, domain)] = plan
        self._number += 1
        return Desired(
            targets=targets,
            requests=tuple(self.requests),
            run_now=tuple(self.run_now),
            limits=self._limits,
            revision=Revision(f"{self._number:012x}"),
        )

    def ask(self, now: datetime, domain: str = "") -> None:
        """A person adds a request, or an annotation, and older ones are cleaned up now and then."""
        chance = self._chance
        self._number += 1
        if len(self.requests) > 6:
            del self.requests[0]
        if chance.random() < 0.3:
            job = chance.choice(list(self.jobs))
            at = now - timedelta(seconds=chance.choice([0, 60, 7200]))
            value = f"{at.isoformat()}#{self._number}"
            self.run_now = [RunNow(f"Job//{job}#{value}", "Job", "", job, value, at)]
            return
        words = tuple(
            f"{job}@*" if self.jobs[job].domains else job
            for job in chance.sample(sorted(self.jobs), chance.randint(1, 3))
        )
        at = now + timedelta(seconds=chance.choice([-30, 0, 0, -7200, 600]))
        self.requests.append(
            Request("", f"ask-{self._number}", words, at, timedelta(hours=1), {}, "", "d", "run/x.yaml")
        )

    def edit(self, now: datetime) -> None:
        """A person changes something."""
        chance = self._chance
        job = self.jobs[chance.choice(sorted(self.jobs))]
        match chance.choice(
            ["schedule", "pause", "resume", "remove", "return", "mode", "how", "limits", "domain"]
        ):
            case "schedule" if job.schedule is not None:
                minute, hours = chance.randrange(60), chance.choice(["3", "*/8", "1,13"])
                kept = {name: value for name, value in job.schedule if name in ("jitter", "catchUp")}
                self._put(replace(job, schedule=schedule(cron=f"{minute} {hours} * * *", **kept)))
            case "schedule" if job.criteria is not None and job.criteria.every_seconds is not None:
                every = chance.choice([5, 8, 11]) * 3600.0
                self._put(replace(job, criteria=replace(job.criteria, every_seconds=every)))
            case "pause":
                until = now + timedelta(hours=chance.choice([2, 30, 100]))
                self._put(
                    replace(job, pauses=(*job.pauses, Pause(chance.choice([until, until, None]), "freeze")))
                )
            case "resume":
                for paused in self.jobs.values():
                    if paused.pauses:
                        self._put(replace(paused, pauses=()))
                        return
            case "remove" if len(self._gone) < 3:
                self._gone[job.name] = self.jobs.pop(job.name)
            case "return" if self._gone:
                self._put(self._gone.pop(next(iter(self._gone))))
            case "mode":
                original = next(x for x in JOBS if x.name == job.name)
                self._put(replace(job, mode=chance.choice([original.mode, original.mode, Mode.DISABLED])))
            case "how":
                locks = tuple(chance.sample(["db", "disk", "net"], chance.randint(0, 2)))
                self._put(replace(job, locks=locks, description=f"edited {now}"))
            case "limits":
                self._limits = Limits(chance.randint(2, 6), chance.choice([None, 1, 2]))
            case "domain":
                if len(self._domains) == len(DOMAINS):
                    self._domains.remove(chance.choice(DOMAINS))
                else:
                    self._domains = list(DOMAINS)

    def _put(self, job: Job) -> None:
        self.jobs[job.name] = job

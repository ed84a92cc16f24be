"""Who is told what, and when: the rules of reports, for one recipient and one outcome at a time. Pure.

`occasions` says what of the facts of one transaction may be worth a report, `routes` who may want to hear of a
target, `tell` whether this recipient does, and `envelope` in which letter, leaving when.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from reconciler.core import facts as f
from reconciler.core.facts import Fact
from reconciler.core.model import Reason, State, TargetId
from reconciler.core.plan import Report
from reconciler.core.seen import Seen

MAIL: Final = "mail"
WEBHOOK: Final = "webhook"

RECOVERED: Final = "recovered"
OVERDUE: Final = "overdue"
_FAILED: Final = ("failure", "interrupted")
_NEVER_REPEATED: Final = ("success", RECOVERED)

GROUP_WAIT_SECONDS: Final = 900.0
"""The letter of a group leaves at the latest this long after its first outcome."""
GROUP_QUIET_SECONDS: Final = 5.0
"""And at the earliest so long after it: the group's other runs may not be queued yet."""
FOLLOW_UP_SECONDS: Final = 6 * 3600.0
"""What came after the letter of a group is one follow-up; so long it waits for the group's last run."""
SLOTS_WAIT_SECONDS: Final = 30.0
"""Missed slots and overdue targets are mostly seen together, at a start: they share a letter."""

RETRY_SECONDS: Final = 60.0
MAX_RETRY_SECONDS: Final = 3600.0
GIVE_UP_SECONDS: Final = 3 * 86400.0
"""A letter that nobody took for so long is given up."""

DIGEST_TIME: Final = "07:00"
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Route:
    """One way by which the outcomes of a target reach someone."""

    medium: str
    """`mail` (the recipient is an address) or `webhook` (it is the name of a secret)."""
    recipient: str
    when: frozenset[str]
    level: str = "info"
    attach_log: int = 0
    digest: str = ""
    repeat_seconds: float | None = None
    after: int = 1
    origin: str = ""
    """Where the recipient is written, `file:line`."""

    def wants(self, kind: str) -> bool:
        return kind in self.when or "always" in self.when


def routes(report: Report) -> tuple[Route, ...]:
    """Everyone who may hear of a target with this report block, each once; what domain areas add comes last."""
    origins = dict(report.origins)
    found: dict[tuple[str, str], Route] = {}
    main = Route(
        MAIL,
        "",
        frozenset(report.when),
        report.level,
        report.attach_log,
        "" if report.digest == "none" else report.digest,
        report.repeat_seconds,
        report.after,
    )
    if report.send:
        for address in report.recipients:
            route = replace(main, recipient=address, origin=origins.get("recipients", ""))
            found.setdefault((MAIL, address), route)
        for name in report.webhooks:
            # A digest collects mail; a webhook is there for programs that act at once.
            route = replace(
                main, medium=WEBHOOK, recipient=name, digest="", origin=origins.get("webhooks", "")
            )
            found.setdefault((WEBHOOK, name), route)
    for added in report.added:
        if not added.send:
            continue
        for address in added.recipients:
            known = found.get((MAIL, address))
            if known is not None:
                found[MAIL, address] = replace(known, when=known.when | frozenset(added.when))
                continue
            found[MAIL, address] = replace(
                main, recipient=address, when=frozenset(added.when), origin=added.origin
            )
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something that somebody may want to hear of."""

    kind: str
    """A state of a run, `overdue`, or `recovered` for one that is not overdue any more."""
    at: datetime
    run: str = ""
    """Empty where no run came of it: missed slots, overdue."""
    state: str = ""
    reason: str = ""
    message: str = ""
    failures: int = 0
    """In a row, this one included."""
    count: int = 1
    first: datetime | None = None
    last: datetime | None = None


def occasions(facts: Sequence[Fact], seen: Seen) -> list[Occasion]:
    """What of a target's facts of one transaction may be told; `seen` is its state after them."""
    found: list[Occasion] = []
    for fact in facts:
        match fact:
            case f.Finished():
                state = str(fact.state)
                found.append(
                    Occasion(state, fact.at, fact.run, state, str(fact.reason), fact.message, seen.failures)
                )
            case f.Settled() if not fact.is_on_purpose:
                found.append(
                    Occasion(
                        str(fact.state),
                        fact.at,
                        state=str(fact.state),
                        reason=str(fact.reason),
                        message=fact.message,
                        count=fact.count,
                        first=fact.first,
                        last=fact.last,
                    )
                )
            case f.OverdueBegan():
                found.append(Occasion(OVERDUE, fact.at, message=fact.message))
            case f.OverdueEnded():
                found.append(Occasion(RECOVERED, fact.at, message="not overdue any more"))
            case _:
                pass
    return found


@dataclass(slots=True)
class Standing:
    """What one recipient knows about one target."""

    troubles: dict[str, float] = field(default_factory=dict)
    """`failure` and `overdue`: since when (epoch seconds) this recipient counts the target as such."""
    told: dict[str, float] = field(default_factory=dict)
    """When each kind of failure was told last, for `repeat`."""

    def to_json(self) -> dict[str, Any]:
        return {"troubles": self.troubles, "told": self.told} if self.troubles or self.told else {}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Standing:
        return cls(dict(body.get("troubles", {})), dict(body.get("told", {})))


def tell(route: Route, occasion: Occasion, standing: Standing, now: datetime) -> str:
    """Give the kind under which this recipient hears of it, "" for not at all; `standing` is brought up to date.

    Trouble begins with the failure that is told (`after`), so that who heard of nothing hears of no recovery either.
    """
    kind, at = occasion.kind, now.timestamp()
    if kind == RECOVERED:
        ended = standing.troubles.pop(OVERDUE, None)
        return RECOVERED if ended is not None and route.wants(RECOVERED) else ""
    if occasion.run and State(kind).is_good:
        ended = standing.troubles.pop("failure", None)
        if ended is not None and route.wants(RECOVERED):
            # Its success ends both; the end of being overdue is not told once more.
            standing.troubles.pop(OVERDUE, None)
            return RECOVERED
    if kind in _FAILED and occasion.failures < route.after:
        return ""
    if kind not in _NEVER_REPEATED and not _is_news(route, occasion, standing, at):
        return ""
    trouble = "failure" if kind in _FAILED else kind if kind == OVERDUE else ""
    if trouble and (route.wants(kind) or route.wants(RECOVERED)):
        standing.troubles.setdefault(trouble, at)
    return kind if route.wants(kind) else ""


def _is_news(route: Route, occasion: Occasion, standing: Standing, at: float) -> bool:
    """Whether `repeat` lets it through; what passes counts as told."""
    repeat = route.repeat_seconds
    if repeat is None:
        standing.told.clear()
        return True
    standing.told = {key: when for key, when in standing.told.items() if at - when < repeat}
    key = f"{occasion.kind}/{occasion.reason}"
    if occasion.reason in (Reason.EXIT_CODE, Reason.SIGNAL):
        key += f"/{occasion.message[:80]}"
    if key in standing.told:
        return False
    standing.told[key] = at
    return True


@dataclass(frozen=True, slots=True)
class Fanout:
    """The group of a run that is not alone in it."""

    group: str
    complete_at: datetime | None = None
    """When the last of its runs will have been queued at the latest (jitter)."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Which letter something goes into, and when that leaves; instants in epoch seconds."""

    key: str
    """One letter collects what has the same key, for one recipient."""
    due: float
    """Leaves then, if the runs of `group` have ended."""
    latest: float
    group: str = ""


def envelope(
    route: Route,
    occasion: Occasion,
    kind: str,
    target: TargetId,
    fanout: Fanout | None,
    now: datetime,
    zone: str,
) -> Envelope:
    """Choose the letter for what `tell` lets through."""
    at = now.timestamp()
    if route.digest:
        due = next_digest(route.digest, zone, now).timestamp()
        return Envelope(f"digest {route.digest}", due, due)
    if not occasion.run:
        return Envelope(f"slots {kind}", at + SLOTS_WAIT_SECONDS, at + SLOTS_WAIT_SECONDS)
    if fanout is None:
        return Envelope(f"run {target}/{occasion.run} {kind}", at, at)
    due = at + GROUP_QUIET_SECONDS
    latest = at + GROUP_WAIT_SECONDS
    if fanout.complete_at is not None:
        due = max(due, fanout.complete_at.timestamp() + GROUP_QUIET_SECONDS)
    return Envelope(f"group {fanout.group}", min(due, latest), latest, fanout.group)


def fanout_of(target: TargetId, group: str, members: int, siblings: int) -> bool:
    """Whether a run shares its group. `members`: runs known of the group; `siblings`: targets of the job."""
    if not group:
        return False
    if members > 1:
        return True
    # A request queues all its runs at once; a slot or an upstream job may queue the others a moment later.
    by_itself = group.startswith((f"{target}/", "request/"))
    return bool(target.domain) and siblings > 1 and not by_itself


def next_digest(spec: str, zone: str, after: datetime) -> datetime:
    """The first end of a period later than `after`: `hourly`, `daily [HH:MM]`, `weekly [day] [HH:MM]`."""
    if spec == "hourly":
        return after.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    words = spec.split()
    time = words[-1] if ":" in words[-1] else DIGEST_TIME
    day = next((_DAYS.index(word) for word in words if word in _DAYS), 0) if words[0] == "weekly" else None
    local = after.astimezone(ZoneInfo(zone))
    hour, minute = (int(part) for part in time.split(":"))
    for ahead in range(9):
        date = local.date() + timedelta(days=ahead)
        if day is not None and date.weekday() != day:
            continue
        at = datetime(date.year, date.month, date.day, hour, minute, tzinfo=local.tzinfo).astimezone(UTC)
        if at > after:
            return at
    raise AssertionError(f"no end of a period for {spec!r}")


def message_id(uid: str, recipient: str, key: str, ordinal: int) -> str:
    """The local part of a Message-ID: the same for the same letter, whenever and however often it is sent.

    `key` names the run and its state, or the group; `ordinal` tells the letters with one key apart.
    """
    text = "\n".join((uid, recipient, key, str(ordinal)))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def retry_seconds(tries: int) -> float:
    """How long to wait after so many tries in vain."""
    return float(min(MAX_RETRY_SECONDS, RETRY_SECONDS * 2.0 ** max(0, min(tries, 12) - 1)))

"""From the directories of runs back to a history, when the state was lost, restored from a backup, or begun anew.

Facts are written as they once happened, so that what is folded from them is what it was: what ran last, succeeded and
failed. A run that is still running is taken as running; the daemon adopts it. Targets that the state does not know are
taken as removed: they join when they are applied, and their slots count from then, so nothing is caught up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from reconciler.clock import SystemClock
from reconciler.core import facts as f
from reconciler.core.facts import Fact, from_epoch
from reconciler.core.fold import fold
from reconciler.core.model import INSTALLATION, Instant, Mode, Reason, State, TargetId, Trigger
from reconciler.core.outcome import outcome_of
from reconciler.core.plan import Plan
from reconciler.core.seen import Seen
from reconciler.engine.summary import summarize
from reconciler.ports.attempt import Journal, read_journal
from reconciler.spec.reader import read_stream
from reconciler.store.sqlite import SqliteStore

PROBE: Final = "_probe"


@dataclass(slots=True)
class Taken:
    """What was taken into the history."""

    runs: int = 0
    running: int = 0
    targets: int = 0
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Attempt:
    number: int
    journal: Journal

    @property
    def began_at(self) -> float | None:
        return float(self.journal.start["at"]) if self.journal.start else None


@dataclass(frozen=True, slots=True)
class _Run:
    name: str
    attempts: list[_Attempt]
    document: Mapping[str, Any]
    """`run.yaml`: what was known of it when it was last written; empty where there is none."""

    @property
    def environment(self) -> Mapping[str, str]:
        order = self.attempts[0].journal.order or {}
        return dict(order.get("environment") or {})

    @property
    def queued_at(self) -> float:
        known = self.document.get("queuedAt")
        began = self.attempts[0].began_at
        end = self.attempts[0].journal.end
        fallback = began if began is not None else float(end["at"]) if end else 0.0
        return datetime.fromisoformat(str(known)).timestamp() if known else fallback


def rebuild(state: Path) -> Taken:
    """Take every run that the state does not know into its history. The caller holds the lock. Raises StoreError."""
    store = SqliteStore(state / "state.db")
    taken = Taken()
    try:
        found = [
            (run, target)
            for target, folder in _targets(state / "runs")
            for run in _unknown(store, target, folder, taken)
        ]
        found.sort(key=lambda each: each[0].queued_at)
        with store.transaction():
            _take_all(store, found, SystemClock().now(), taken)
    finally:
        store.close()
    return taken


def _take_all(store: SqliteStore, found: list[tuple[_Run, TargetId]], now: Instant, taken: Taken) -> None:
    """Write all facts in the order in which they happened, before whatever the state holds already."""
    known = store.known()
    oldest, newest = store.db.execute("SELECT min(id), coalesce(max(id), 0) FROM runs").fetchone()
    logs = store.db.execute("SELECT log_run, log_lines, job, domain FROM targets").fetchall()
    past: dict[TargetId, Seen] = {}
    for run, target in found:
        seen = past.get(target)
        if seen is None:
            seen = past[target] = Seen()
            if target not in known:
                begun = from_epoch(run.queued_at)
                scope = "domain" if target.domain else "installation"
                store.join(target, Plan(target.job, scope, Mode.DISABLED, "", ""))
                _note(store, target, seen, f.Joined(begun, Mode.DISABLED, "", ""))
        for fact in facts_of(run):
            _note(store, target, seen, fact)
        taken.runs += 1
        taken.running += run.name in seen.runs
        _keep_token(store, target, run, now)
    if oldest is not None and taken.runs:
        # Lists go by number: what happened before gets the lower ones.
        last = store.db.execute("SELECT max(id) FROM runs").fetchone()[0]
        store.db.execute("UPDATE runs SET id = id - ? WHERE id > ?", (last - oldest + 1, newest))
        store.db.executemany("UPDATE targets SET log_run=?, log_lines=? WHERE job=? AND domain=?", logs)
    for target, seen in past.items():
        _save(store, target, seen, now, target in known)
    taken.targets = len(past)


def _save(store: SqliteStore, target: TargetId, past: Seen, now: Instant, is_known: bool) -> None:
    if is_known:
        seen = joined(store.seen(target) or Seen(), past)
    else:
        seen = past
        _note(store, target, seen, f.Left(now.wall))
    store.save(target, seen, summarize(None, seen, now, now.wall if is_known else None, None, ""))
    if not is_known:
        store.leave(target)


def _targets(top: Path) -> Iterator[tuple[TargetId, Path]]:
    for domain in _folders(top):
        for job in _folders(domain):
            yield TargetId(job.name, "" if domain.name == INSTALLATION else domain.name), job


def _folders(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _unknown(store: SqliteStore, target: TargetId, folder: Path, taken: Taken) -> Iterator[_Run]:
    for path in _folders(folder):
        if path.name == PROBE or store.run_exists(target, path.name):
            continue
        attempts = [
            _Attempt(int(each.name), read_journal(str(each)))
            for each in _folders(path)
            if each.name.isdigit()
        ]
        attempts = sorted((each for each in attempts if each.journal.order), key=lambda each: each.number)
        if not attempts:
            taken.unreadable.append(str(path))
            continue
        yield _Run(path.name, attempts, _document(path / "run.yaml"))


def _document(path: Path) -> Mapping[str, Any]:
    try:
        found = read_stream(path.read_bytes())
    except OSError:
        return {}
    values = [each.value for each in found.documents]
    return values[0] if not found.problems and len(values) == 1 and isinstance(values[0], dict) else {}


def _note(store: SqliteStore, target: TargetId, seen: Seen, fact: Fact) -> None:
    store.record(target, fact)
    fold(seen, fact)


def facts_of(run: _Run) -> Iterator[Fact]:
    """What once happened to a run, as its directory tells it."""
    environment, known = run.environment, run.document
    slot = environment.get("RECONCILE_SLOT")
    yield f.Queued(
        from_epoch(run.queued_at),
        run.name,
        Trigger(environment.get("RECONCILE_TRIGGER") or "request"),
        group=environment.get("RECONCILE_GROUP", ""),
        slot=datetime.fromisoformat(slot) if slot else None,
        cause=str(known.get("cause", "")),
        requester=str(known.get("requester", "")),
        parameters=known.get("parameters"),
        note=str(known.get("note", "")),
        revision=environment.get("RECONCILE_REVISION", ""),
    )
    seen = Seen()
    for place, attempt in enumerate(run.attempts):
        order, start, end = attempt.journal.order or {}, attempt.journal.start, attempt.journal.end
        at = from_epoch(attempt.began_at or (float(end["at"]) if end else run.queued_at))
        boot = str((start or end or order).get("bootId", ""))
        digest = str(known.get("digest", ""))
        revision = environment.get("RECONCILE_REVISION", "")
        yield f.Claimed(at, run.name, attempt.number, boot, digest, revision, bool(known.get("dirty")))
        if start is not None:
            yield f.Started(at, run.name, attempt.number, int(start["pid"]))
        if end is None:
            if place + 1 < len(run.attempts):
                yield f.Delayed(at, run.name, attempt.number + 1, at)
            continue
        ended = _ended(run, attempt, end, last=place + 1 == len(run.attempts))
        yield ended
        if place + 1 < len(run.attempts):
            yield f.Delayed(ended.at, run.name, attempt.number + 1, ended.at)
            continue
        for fact in (
            f.Queued(at, run.name, Trigger.REQUEST),
            f.Claimed(at, run.name, attempt.number, boot, ""),
        ):
            fold(seen, fact)
        yield _finished(run, seen, ended)


def _ended(run: _Run, attempt: _Attempt, end: Mapping[str, Any], last: bool) -> f.Ended:
    counts = run.document.get("log") or {} if last else {}
    at = from_epoch(float(end["at"]))
    began = attempt.began_at
    return f.Ended(
        at,
        run.name,
        attempt.number,
        exit_code=end.get("exitCode"),
        signal=end.get("signal"),
        reason=Reason(end["reason"]),
        message=str(end.get("message", "")),
        lines=int(counts.get("lines", 0)),
        infos=int(counts.get("infos", 0)),
        warnings=int(counts.get("warnings", 0)),
        errors=int(counts.get("errors", 0)),
        progress=run.document.get("progress") if last else None,
        duration_seconds=at.timestamp() - began if began is not None else 0.0,
    )


def _finished(run: _Run, seen: Seen, ended: f.Ended) -> f.Finished:
    """The end that was recorded, else what the last attempt means without its definition."""
    known = run.document
    if known.get("state") and State(known["state"]).is_over:
        reason = Reason(known.get("reason", ""))
        return f.Finished(ended.at, run.name, State(known["state"]), reason, str(known.get("message", "")))
    outcome = outcome_of(None, seen.runs[run.name], ended)
    return f.Finished(ended.at, run.name, outcome.state, outcome.reason, outcome.message)


def joined(now: Seen, past: Seen) -> Seen:
    """Put what happened before under what is seen now; what is seen now wins."""
    now.runs.update(past.runs)
    if now.last is None:
        now.last, now.failures = past.last, past.failures
    now.last_success = now.last_success or past.last_success
    now.last_failure = now.last_failure or past.last_failure
    if now.last_started_at is None and past.last_started_at is not None:
        now.last_started_at = past.last_started_at
        now.every_from = now.since
    return now


def _keep_token(store: SqliteStore, target: TargetId, run: _Run, now: Instant) -> None:
    """A request that has a run was handled: it never runs again, though its file may still be there."""
    token = run.environment.get("RECONCILE_GROUP", "").removeprefix("request/")
    if run.environment.get("RECONCILE_TRIGGER") != Trigger.REQUEST or "/" not in token:
        return
    known = store.token(token)
    here = {"target": str(target), "run": run.name, "outcome": "Queued"}
    if known is not None:
        if known["digest"] == "":
            store.amend_token(token, {**known["body"], "targets": [*known["body"]["targets"], here]})
        return
    domain, _, name = token.partition("/")
    body = {
        "name": name,
        "domain": "" if domain == INSTALLATION else domain,
        "handled": run.queued_at,
        "targets": [here],
    }
    store.put_token(token, "", "accepted", str(run.document.get("requester", "")), body)

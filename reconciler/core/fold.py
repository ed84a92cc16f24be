"""How each fact changes what is seen of its target. A fact of a run that is not known any more changes nothing."""

from __future__ import annotations

from datetime import datetime

from reconciler.core import facts as f
from reconciler.core.facts import Fact, epoch
from reconciler.core.model import State, Trigger
from reconciler.core.seen import LastRun, RunSeen, Seen


def fold(seen: Seen, fact: Fact) -> None:  # noqa: C901 - one rule per fact, in one place
    """Change `seen` by one fact."""
    match fact:
        case f.Joined():
            _joined(seen, fact)
        case f.Changed():
            seen.plan_digest = fact.plan_digest
            if fact.resumed:
                _count_anew(seen, fact.at)
        case f.Left():
            seen.gone = True
            seen.causes.clear()
        case f.Settled():
            _settled(seen, fact)
        case f.Queued():
            _queued(seen, fact)
        case f.Claimed() | f.Started() | f.Ended() | f.Delayed() | f.StopAsked():
            run = seen.runs.get(fact.run)
            if run is not None:
                _moved(seen, run, fact)
        case f.Finished():
            _finished(seen, fact)
        case f.Met():
            if fact.cause not in seen.causes:
                seen.causes.append(fact.cause)
            if fact.cause.startswith("after "):
                seen.upstream_mark = fact.at
        case f.Probed():
            _probed(seen, fact)
        case f.Fingerprinted():
            _fingerprinted(seen, fact)
        case f.ClockSetBack():
            _clamp(seen, fact)
        case f.OverdueBegan():
            seen.overdue_since = fact.at
            seen.overdue_message = fact.message
        case f.OverdueEnded():
            seen.overdue_since = None
            seen.overdue_message = ""
        case f.PausedLocally():
            seen.pause_until, seen.pause_reason, seen.pause_by = fact.until, fact.reason, fact.by
        case f.ResumedLocally():
            seen.pause_until, seen.pause_reason, seen.pause_by = None, "", ""
            _count_anew(seen, fact.at)
        case f.HistoryRemoved():
            pass
        case _:
            raise AssertionError(f"no rule for {fact!r}")


def _joined(seen: Seen, fact: f.Joined) -> None:
    if seen.since is not None:
        # An edit never fires retroactively: what the old interval has not fired counts anew.
        _count_anew(seen, fact.at)
    if fact.again and (fact.mode is not seen.mode or seen.gone):
        seen.causes.clear()
        seen.fingerprint = seen.fingerprint_handled = ""
    seen.since = fact.at
    seen.cursor = epoch(fact.at)
    seen.mode = fact.mode
    seen.plan_digest = fact.plan_digest
    seen.schedule_digest = fact.schedule_digest
    seen.gone = False
    seen.unstarted = 0
    seen.probing = False


def _count_anew(seen: Seen, at: datetime) -> None:
    """From here on `automatic.every` counts a full interval, unless it never ran."""
    if seen.last_started_at is not None:
        seen.every_from = at


def _settled(seen: Seen, fact: f.Settled) -> None:
    seen.cursor = max(seen.cursor or 0, epoch(fact.last))
    if not fact.is_on_purpose:
        seen.unstarted += fact.count


def _queued(seen: Seen, fact: f.Queued) -> None:
    if fact.slot is not None:
        seen.cursor = max(seen.cursor or 0, epoch(fact.slot))
    if fact.cause:
        seen.causes.clear()
        seen.fingerprint_handled = seen.fingerprint
    seen.runs[fact.run] = RunSeen(
        run=fact.run,
        trigger=fact.trigger,
        queued_at=fact.at,
        group=fact.group,
        slot=fact.slot,
        cause=fact.cause,
        parameters=fact.parameters,
        deadline=fact.deadline,
        revision=fact.revision,
    )


def _moved(seen: Seen, run: RunSeen, fact: f.Claimed | f.Started | f.Ended | f.Delayed | f.StopAsked) -> None:
    match fact:
        case f.Claimed():
            run.attempt = fact.attempt
            run.waiting = False
            run.claimed_at, run.boot_id = fact.at, fact.boot_id
            run.attempt_started_at = None
            run.ended = None
            run.digest, run.revision, run.dirty = fact.digest, fact.revision, fact.dirty
            run.locks = fact.locks
        case f.Started():
            run.attempt_started_at = fact.at
            if run.started_at is None:
                run.started_at = fact.at
                seen.last_started_at = fact.at
                seen.every_from = None
                seen.unstarted = 0
        case f.Ended():
            run.ended = fact
        case f.Delayed():
            run.waiting = True
            run.ended = None
            run.not_before, run.not_before_boot = fact.not_before, fact.not_before_boot
            run.not_before_boot_id = fact.boot_id
        case f.StopAsked():
            run.stop_reason, run.stop_by = fact.reason, fact.by


def _finished(seen: Seen, fact: f.Finished) -> None:
    run = seen.runs.pop(fact.run, None)
    if run is None:
        return
    if run.attempt == 0:
        if run.slot is not None and fact.state is State.MISSED:
            seen.unstarted += 1
        if run.trigger is Trigger.AUTOMATIC:
            # Cancelled before its start: its criterion is not met again at once.
            seen.every_from = fact.at
        return
    last = LastRun(
        run=run.run,
        state=fact.state,
        reason=fact.reason,
        started_at=run.started_at or run.claimed_at,
        finished_at=fact.at,
        duration_seconds=(fact.at - run.started_at).total_seconds() if run.started_at else 0.0,
        message=fact.message,
        trigger=run.trigger,
        exit_code=run.ended.exit_code if run.ended else None,
    )
    if seen.last_started_at is None or (last.started_at and last.started_at > seen.last_started_at):
        # It never came to a start of its own (command not found): the attempt counts as one.
        seen.last_started_at = last.started_at
        seen.every_from = None
    if seen.last is None or (last.started_at or last.finished_at) >= (
        seen.last.started_at or seen.last.finished_at
    ):
        seen.last = last
    if fact.state.is_good:
        seen.last_success = last
        seen.failures = 0
    elif fact.state in (State.FAILURE, State.INTERRUPTED):
        seen.last_failure = last
        seen.failures += 1


def _probed(seen: Seen, fact: f.Probed) -> None:
    seen.probing = fact.outcome == "started"
    seen.probed_at = fact.at
    if fact.outcome == "failed":
        seen.probe_failures += 1
        seen.probe_message = fact.message
    elif fact.outcome in ("met", "nothing"):
        seen.probe_failures = 0
        seen.probe_message = ""
    if fact.outcome == "met" and "probe" not in seen.causes:
        seen.causes.append("probe")


def _fingerprinted(seen: Seen, fact: f.Fingerprinted) -> None:
    if _subject(seen.fingerprint_handled) != _subject(fact.digest):
        # Seen for the first time, or other patterns: changes count from here.
        seen.fingerprint_handled = fact.digest
    seen.fingerprint = fact.digest


def _subject(digest: str) -> str:
    """Which patterns a digest speaks of (`daemon.watched`)."""
    return digest.partition(":")[0]


_CLAMPED = ("since", "last_started_at", "every_from", "probed_at", "upstream_mark")


def is_ahead(seen: Seen, limit: datetime) -> bool:
    """Whether anything that decisions count from lies later than `limit`."""
    times = (getattr(seen, name) for name in _CLAMPED)
    return (seen.cursor or 0) > epoch(limit) or any(time is not None and time > limit for time in times)


def _clamp(seen: Seen, fact: f.ClockSetBack) -> None:
    seen.cursor = min(seen.cursor or 0, epoch(fact.at))
    for name in _CLAMPED:
        value = getattr(seen, name)
        if value is not None and value > fact.at:
            setattr(seen, name, fact.at)

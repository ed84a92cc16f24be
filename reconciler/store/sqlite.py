"""The runtime state in one SQLite file, written by one process (WAL, synchronous=FULL)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconciler.core import facts as f
from reconciler.core.decision import run_name
from reconciler.core.facts import Fact, to_json
from reconciler.core.model import TargetId
from reconciler.core.plan import Plan
from reconciler.core.seen import Seen
from reconciler.ports.database import FILE_ROWS, OBJECT_ROWS
from reconciler.ports.failpoint import failpoint
from reconciler.ports.store import Known, Summary
from reconciler.store import removal
from reconciler.store.opening import connect

_SAVE = """UPDATE targets SET seen=?, mode=?, planning=?, wake_at=?, next_run=?, state=?, reason=?, run=?, started=?,
finished=?, duration=?, exit_code=?, success_at=?, running=?, queued=?, failures=?, overdue=?, paused=?, drift=?,
not_ready=?, serial=? WHERE job=? AND domain=?"""
_JOIN = """INSERT INTO targets (job, domain, mode, planning, description, labels, path, planning_path, plan_digest,
schedule_digest) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (job, domain) DO UPDATE SET gone=0, mode=excluded.mode,
planning=excluded.planning, description=excluded.description, labels=excluded.labels, path=excluded.path,
planning_path=excluded.planning_path, plan_digest=excluded.plan_digest, schedule_digest=excluded.schedule_digest"""
_FACT = "INSERT INTO facts (at, job, domain, kind, run, body) VALUES (?,?,?,?,?,?)"
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


_MANY = 1000
"""Rather than asking for so many one after the other, all are read."""


class SqliteStore:
    """The engine's `Store`."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self.db = connect(path, durable=durable)
        self._serial = int(self.meta("serial") or 0)
        self._has_saved = False

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        self._has_saved = False
        try:
            yield
            if self._has_saved:
                self.set_meta("serial", str(self._serial + 1))
            failpoint("store:before-commit")
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise
        self._serial += self._has_saved
        failpoint("store:after-commit")

    def shrink(self) -> None:
        """Let go of the pages that were read: at a start those of all documents, which nobody asks for again."""
        self.db.execute("PRAGMA shrink_memory")

    # Targets.

    def due(self, now: float, limit: int) -> list[TargetId]:
        rows = self.db.execute(
            "SELECT job, domain FROM targets WHERE wake_at <= ? ORDER BY wake_at LIMIT ?", (now, limit)
        )
        return [TargetId(*row) for row in rows]

    def next_wake(self) -> float | None:
        row = self.db.execute("SELECT min(wake_at) FROM targets WHERE wake_at IS NOT NULL").fetchone()
        return None if row is None else row[0]

    def active(self) -> list[TargetId]:
        rows = self.db.execute("SELECT job, domain FROM targets WHERE running > 0 OR queued > 0")
        return [TargetId(*row) for row in rows]

    def known(self, among: Collection[TargetId] | None = None) -> dict[TargetId, Known]:
        query = "SELECT job, domain, plan_digest, schedule_digest, gone FROM targets"
        if among is None or len(among) > _MANY:
            rows: Iterable[Any] = self.db.execute(query)
        else:
            rows = (row for one in among for row in self.db.execute(f"{query} WHERE job=? AND domain=?", one))
        return {
            TargetId(job, domain): Known(plan, schedule, bool(gone))
            for job, domain, plan, schedule, gone in rows
        }

    def seen(self, target: TargetId) -> Seen | None:
        row = self.db.execute("SELECT seen FROM targets WHERE job=? AND domain=?", target).fetchone()
        if row is None or row[0] is None:
            return None
        return Seen.from_json(json.loads(row[0]))

    def not_ready(self) -> dict[TargetId, str]:
        """What was last said about targets that cannot run."""
        rows = self.db.execute("SELECT job, domain, not_ready FROM targets WHERE not_ready != '' AND gone=0")
        return {TargetId(job, domain): why for job, domain, why in rows}

    def join(self, target: TargetId, plan: Plan) -> None:
        self.db.execute(
            _JOIN,
            (
                target.job,
                target.domain,
                plan.mode.value,
                plan.planning_text,
                plan.description,
                _dumps(dict(plan.labels)),
                plan.path,
                plan.planning_path,
                plan.digest,
                plan.schedule_digest,
            ),
        )

    def rename(self, old: TargetId, new: TargetId) -> None:
        self.db.execute(
            "UPDATE targets SET seen=(SELECT seen FROM targets WHERE job=? AND domain=?) WHERE job=? AND domain=?",
            (*old, *new),
        )
        for table in ("facts", "runs"):
            self.db.execute(
                f"UPDATE {table} SET job=? WHERE job=? AND domain=? AND run NOT IN (SELECT run FROM runs "  # noqa: S608
                "WHERE job=? AND domain=? AND state IN ('queued', 'running'))",
                (new.job, *old, *old),
            )
        for table in ("removed_runs", "marks", "told"):
            self.db.execute(f"UPDATE OR REPLACE {table} SET job=? WHERE job=? AND domain=?", (new.job, *old))  # noqa: S608

    def leave(self, target: TargetId) -> None:
        self.db.execute(
            "UPDATE targets SET gone=1, wake_at=NULL, next_run=NULL WHERE job=? AND domain=?", target
        )

    def save(self, target: TargetId, seen: Seen, summary: Summary) -> None:
        s = summary
        self._has_saved = True
        self.db.execute(
            _SAVE,
            (
                _dumps(seen.to_json()), s.mode, s.planning, s.wake_at, s.next_run, s.state, s.reason, s.run,
                s.started, s.finished, s.duration, s.exit_code, s.success_at, s.running, s.queued, s.failures,
                s.overdue, s.paused, s.drift, s.not_ready, self._serial + 1, target.job, target.domain,
            ),
        )  # fmt: skip

    def wake_all(self, at: float) -> None:
        self.db.execute("UPDATE targets SET wake_at=? WHERE gone=0", (at,))

    # Facts and runs.

    def record(self, target: TargetId, fact: Fact) -> None:
        run = getattr(fact, "run", "")
        at = fact.at.timestamp()
        self.db.execute(
            _FACT, (at, target.job, target.domain, type(fact).__name__, run, _dumps(to_json(fact)))
        )
        if run or isinstance(fact, f.Settled):
            self._keep_run(target, fact, at)

    def _keep_run(self, target: TargetId, fact: Fact, at: float) -> None:
        key = target.job, target.domain
        run = self.db.execute
        match fact:
            case f.Queued():
                run(
                    "INSERT INTO runs (job, domain, run, group_id, trigger, state, cause, requester, note, parameters,"
                    " slot, queued, revision) VALUES (?,?,?,?,?,'queued',?,?,?,?,?,?,?)",
                    (*key, fact.run, fact.group, fact.trigger.value, fact.cause, fact.requester, fact.note,
                     _dumps(fact.parameters) if fact.parameters else None, _seconds(fact.slot), at, fact.revision),
                )  # fmt: skip
            case f.Settled():
                run(
                    "INSERT INTO runs (job, domain, run, trigger, state, reason, message, slot, first, count, queued,"
                    " finished) VALUES (?,?,?,'schedule',?,?,?,?,?,?,?,?) ON CONFLICT (job, domain, run) DO NOTHING",
                    (*key, run_name(fact.last), fact.state.value, fact.reason.value, fact.message,
                     _seconds(fact.last), _seconds(fact.first), fact.count, at, at),
                )  # fmt: skip
            case f.Claimed():
                run(
                    "UPDATE runs SET state='running', attempts=?, digest=?, revision=?, dirty=?, waiting='' "
                    "WHERE job=? AND domain=? AND run=?",
                    (fact.attempt, fact.digest, fact.revision, int(fact.dirty), *key, fact.run),
                )
            case f.Started():
                run(
                    "UPDATE runs SET started=coalesce(started, ?) WHERE job=? AND domain=? AND run=?",
                    (at, *key, fact.run),
                )
            case f.Ended():
                run(
                    "UPDATE runs SET exit_code=?, signal=?, reason=?, message=?, lines=lines+?, infos=infos+?, "
                    "warnings=warnings+?, errors=errors+?, progress=coalesce(?, progress) "
                    "WHERE job=? AND domain=? AND run=?",
                    (fact.exit_code, fact.signal, fact.reason.value, fact.message, fact.lines, fact.infos,
                     fact.warnings, fact.errors, fact.progress, *key, fact.run),
                )  # fmt: skip
                if fact.lines:
                    self._note_log(key, fact.run, 0)
            case f.Delayed():
                run("UPDATE runs SET state='queued' WHERE job=? AND domain=? AND run=?", (*key, fact.run))
            case f.Finished():
                run(
                    "UPDATE runs SET state=?, reason=?, message=?, finished=?, waiting='' "
                    "WHERE job=? AND domain=? AND run=?",
                    (fact.state.value, fact.reason.value, fact.message, at, *key, fact.run),
                )
            case _:
                pass

    def _note_log(self, key: tuple[str, str], run: str, lines: int) -> None:
        """Note which run has the newest log lines, and how many: those counted at its ends, or at least `lines`."""
        self.db.execute(
            "UPDATE targets SET (log_run, log_lines) = (SELECT id, max(lines, ?4) FROM runs WHERE job=?1 AND domain=?2"
            " AND run=?3) WHERE job=?1 AND domain=?2 AND log_run <= "
            "(SELECT id FROM runs WHERE job=?1 AND domain=?2 AND run=?3)",
            (*key, run, lines),
        )

    def run_exists(self, target: TargetId, run: str) -> bool:
        row = self.db.execute(
            "SELECT 1 FROM runs WHERE job=?1 AND domain=?2 AND run=?3 UNION ALL "
            "SELECT 1 FROM removed_runs WHERE job=?1 AND domain=?2 AND run=?3",
            (*target, run),
        ).fetchone()
        return row is not None

    def runs_to_remove(
        self, target: TargetId, names: Sequence[str], before: float | None, limit: int
    ) -> dict[str, removal.Removable]:
        return removal.runs_to_remove(self.db, target, names, before, limit)

    def remove_runs(self, target: TargetId, names: Sequence[str], now: float) -> int:
        return removal.remove_runs(self.db, target, names, now)

    def remove_facts(self, target: TargetId, before: float) -> int:
        return removal.remove_facts(self.db, target, before)

    def forget_definitions(self, digests: Sequence[str], newest: int, now: float) -> int:
        return removal.forget(self.db, digests, newest, now)

    def set_progress(self, target: TargetId, run: str, counts: Mapping[str, int | None]) -> None:
        self._note_log(target, run, counts.get("lines") or 0)
        self.db.execute(
            "UPDATE runs SET progress=coalesce(?, progress) WHERE job=? AND domain=? AND run=?",
            (counts.get("progress"), *target, run),
        )

    def set_waiting(self, target: TargetId, run: str, why: str) -> None:
        self.db.execute("UPDATE runs SET waiting=? WHERE job=? AND domain=? AND run=?", (why, *target, run))

    def mark_read(self, administrator: str, target: TargetId) -> None:
        """Note that this administrator has seen all log lines of the target so far."""
        self.db.execute(
            "INSERT OR REPLACE INTO marks SELECT ?, job, domain, log_run, log_lines FROM targets "
            "WHERE job=? AND domain=?",
            (administrator, *target),
        )

    # Documents.

    def objects(self) -> Iterator[tuple[Any, ...]]:
        return self.db.execute(OBJECT_ROWS)

    def object_body(self, kind: str, domain: str, name: str) -> Mapping[str, Any] | None:
        row = self.db.execute(
            "SELECT body FROM objects WHERE kind=? AND domain=? AND name=?", (kind, domain, name)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def put_objects(self, rows: Iterable[Sequence[Any]], gone: Iterable[tuple[str, str, str]]) -> None:
        self.db.executemany("DELETE FROM objects WHERE kind=? AND domain=? AND name=?", gone)
        self.db.executemany("INSERT OR REPLACE INTO objects VALUES (?,?,?,?,?,?,?,?,?)", rows)

    def definition(self, digest: str) -> Mapping[str, Any] | None:
        row = self.db.execute("SELECT body FROM definitions WHERE digest=?", (digest,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put_definition(self, digest: str, body: Mapping[str, Any]) -> None:
        self.db.execute("INSERT OR IGNORE INTO definitions VALUES (?,?)", (digest, _dumps(body)))

    def all_succeeded(self, job: str, since: float) -> bool:
        row = self.db.execute(
            "SELECT count(*), sum(state IN ('success', 'warning') AND coalesce(started, 0) >= ?) FROM targets "
            "WHERE job=? AND gone=0 AND mode != 'disabled' AND paused=''",
            (since, job),
        ).fetchone()
        return bool(row[0]) and row[0] == row[1]

    def amend_token(self, token: str, body: Mapping[str, Any]) -> None:
        self.db.execute("UPDATE tokens SET body=? WHERE token=?", (_dumps(body), token))

    def files(self) -> Iterator[tuple[Any, ...]]:
        return self.db.execute(FILE_ROWS)

    def put_files(self, rows: Iterable[Sequence[Any]], gone: Iterable[str]) -> None:
        self.db.executemany("DELETE FROM files WHERE path=?", ((path,) for path in gone))
        self.db.executemany("INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?,?)", rows)

    # Tokens and single values.

    def token(self, token: str) -> Mapping[str, Any] | None:
        row = self.db.execute(
            "SELECT token, digest, handled, outcome, requester, body FROM tokens WHERE token=?", (token,)
        ).fetchone()
        if row is None:
            return None
        names = ("token", "digest", "handled", "outcome", "requester", "body")
        found = dict(zip(names, row, strict=True))
        found["body"] = json.loads(found["body"])
        return found

    def put_token(
        self, token: str, digest: str, outcome: str, requester: str, body: Mapping[str, Any]
    ) -> None:
        handled = float(body.get("handled", 0.0))
        self.db.execute(
            "INSERT INTO tokens VALUES (?,?,?,?,?,?)",
            (token, digest, handled, outcome, requester, _dumps(body)),
        )

    def meta(self, key: str) -> str | None:
        row = self.db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, value))


def _seconds(instant: Any) -> float | None:
    return None if instant is None else float(instant.timestamp())

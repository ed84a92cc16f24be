"""Takes runs and old facts out of the history. What decisions count from (the folded state, the tokens) stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.core.model import TargetId

NAMES_KEPT_SECONDS: Final = 7 * 86400.0
"""How far a clock may be set back without a removed run's slot being taken for a new one."""
MOST_AT_ONCE: Final = 2000
"""Rows of one kind that one transaction removes at most."""
_OVER: Final = "state NOT IN ('queued', 'running')"


@dataclass(frozen=True, slots=True)
class Removable:
    attempts: int
    over: bool


def runs_to_remove(
    db: sqlite3.Connection, target: TargetId, names: Sequence[str], before: float | None, limit: int
) -> dict[str, Removable]:
    """The runs of these names, or the oldest that were over before an instant."""
    columns = f"run, attempts, {_OVER} FROM runs WHERE job=? AND domain=?"
    if before is None:
        places = ",".join("?" * len(names))
        rows = db.execute(f"SELECT {columns} AND run IN ({places}) ORDER BY id", (*target, *names))
    else:
        rows = db.execute(
            f"SELECT {columns} AND {_OVER} AND coalesce(finished, queued) < ? ORDER BY id LIMIT ?",
            (*target, before, limit),
        )
    return {run: Removable(attempts, bool(over)) for run, attempts, over in rows}


def remove_runs(db: sqlite3.Connection, target: TargetId, names: Sequence[str], now: float) -> int:
    """Remove these runs and their facts, but keep their names from being used again; return how many there were.

    What is queued or running stays.
    """
    gone = 0
    for name in names:
        key = (*target, name)
        kept = db.execute(
            "INSERT OR REPLACE INTO removed_runs SELECT job, domain, run, max(?, coalesce(slot, queued, 0)) + ? "
            "FROM runs WHERE job=? AND domain=? AND run=? AND state NOT IN ('queued', 'running')",
            (now, NAMES_KEPT_SECONDS, *key),
        ).rowcount
        if kept:
            gone += db.execute("DELETE FROM runs WHERE job=? AND domain=? AND run=?", key).rowcount
    if gone:
        places = ",".join("?" * len(names))
        db.execute(
            f"DELETE FROM facts WHERE job=? AND domain=? AND run IN ({places}) AND run NOT IN "  # noqa: S608
            "(SELECT run FROM runs WHERE job=? AND domain=?)",
            (*target, *names, *target),
        )
        _reread(db, target)
    return gone


def _reread(db: sqlite3.Connection, target: TargetId) -> None:
    """Where the newest log went, the one before it counts for what is unread."""
    db.execute(
        "UPDATE targets SET (log_run, log_lines) = (SELECT coalesce(max(id), 0), coalesce(max(lines), 0) FROM "
        "(SELECT id, lines FROM runs WHERE job=?1 AND domain=?2 AND lines > 0 ORDER BY id DESC LIMIT 1)) "
        "WHERE job=?1 AND domain=?2 AND log_run NOT IN (SELECT id FROM runs WHERE job=?1 AND domain=?2)",
        target,
    )


def remove_facts(db: sqlite3.Connection, target: TargetId, before: float) -> int:
    """Remove what was noted of the target itself before an instant, some of it; return how much that was."""
    return db.execute(
        "DELETE FROM facts WHERE seq IN (SELECT seq FROM facts WHERE job=? AND domain=? AND run='' AND at < ? "
        "ORDER BY seq LIMIT ?)",
        (*target, before, MOST_AT_ONCE),
    ).rowcount


def forget(db: sqlite3.Connection, digests: Sequence[str], newest: int, now: float) -> int:
    """Remove definitions that no run refers to, and names that no clock can bring back.

    `digests` were found unused when `newest` was the id of the newest run: only what came or goes on since can differ.
    """
    db.execute(
        "DELETE FROM removed_runs WHERE (job, domain, run) IN (SELECT job, domain, run FROM removed_runs "
        "WHERE kept_until < ? LIMIT ?)",
        (now, MOST_AT_ONCE),
    )
    gone = 0
    for digest in digests:
        gone += db.execute(
            "DELETE FROM definitions WHERE digest=?1 AND NOT EXISTS (SELECT 1 FROM runs WHERE id > ?2 AND digest=?1)"
            " AND NOT EXISTS (SELECT 1 FROM runs WHERE state IN ('queued', 'running') AND digest=?1)",
            (digest, newest),
        ).rowcount
    return gone

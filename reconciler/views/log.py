"""The log of a run, piece by piece; `name`, `attempt`, `offset`, `tail`, `level`, `grep`, `since`."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reconciler.core.logs import RANK, mask, read_line, shown
from reconciler.views import BadQuery, UnknownName
from reconciler.views.attempts import AttemptLog, Line
from reconciler.views.names import Named, named
from reconciler.views.rows import number, run_folder, state_of, target_text, why_shown

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """Give the lines from `offset` on (at most 1 MiB of them), or the last `tail`; `next` is where to go on.

    A name of a job means its newest run that has started. `over`: the run will write no more in this attempt.
    """
    found = named(connection, who, query.get("name", ""), query)
    row = _run(connection, found)
    if row is None:
        return {"target": target_text(found.job, found.domain), "run": "", "items": [], "next": 0}
    run, state, attempts, waiting = row
    attempt = found.attempt or int(number(query, "attempt")) or attempts
    answer: dict[str, Any] = {
        "target": target_text(found.job, found.domain),
        "run": run,
        "attempt": attempt,
        "attempts": attempts,
        "state": state,
        "waiting": why_shown(who, waiting),
    }
    if attempt > attempts:
        raise UnknownName(f"`{answer['target']}/{run}` has no attempt {attempt}", f"it has {attempts}")
    if attempts == 0:
        return {**answer, "items": [], "next": 0, "over": state not in ("queued", "running")}
    folder = run_folder(state_of(connection), found.job, found.domain, run)
    log = AttemptLog(f"{folder}/{attempt}")
    # Asked before reading: what is written after the question belongs to the next piece.
    over = log.is_over or state not in ("queued", "running") or attempt < attempts
    cook = _cook(log, query)
    answer["unmasked"] = log.unread_secrets
    tail = int(number(query, "tail", -1))
    offset = int(number(query, "offset"))
    if tail < 0 or offset:
        lines, behind = log.piece(offset, over)
        items = [item for line in lines if (item := cook(line)) is not None]
    else:
        items, behind = _tail(log, tail, over, cook, bool(query.get("level") or query.get("grep")))
    return {**answer, "items": items, "next": behind, "over": over and behind >= log.size}


def _run(connection: sqlite3.Connection, found: Named) -> tuple[str, str, int, str] | None:
    """The run that is meant: (name, state, attempts, why it waits)."""
    columns = "run, state, attempts, waiting FROM runs WHERE job = ? AND domain = ?"
    if found.run:
        sql, values = f"SELECT {columns} AND run = ?", (found.job, found.domain, found.run)
        row: tuple[str, str, int, str] | None = connection.execute(sql, values).fetchone()
        return row
    sql = f"SELECT {columns} AND attempts > 0 ORDER BY id DESC LIMIT 1"
    newest: tuple[str, str, int, str] | None = connection.execute(sql, (found.job, found.domain)).fetchone()
    return newest


def _tail(
    log: AttemptLog, count: int, over: bool, cook: Callable[[Line], dict[str, Any] | None], filtered: bool
) -> tuple[list[dict[str, Any]], int]:
    if not log.size or count == 0:
        return [], log.size
    if not filtered:
        lines, behind = log.last(count, over)
        return [item for line in lines if (item := cook(line)) is not None], behind
    kept: deque[dict[str, Any]] = deque(maxlen=count)
    offset = 0
    for lines, behind in log.pieces(0, over):
        kept.extend(item for line in lines if (item := cook(line)) is not None)
        offset = behind
    return list(kept), offset


def _cook(log: AttemptLog, query: Mapping[str, str]) -> Callable[[Line], dict[str, Any] | None]:
    """Make what turns a line into an item, or None where a filter leaves it out."""
    level = query.get("level") or "progress"
    if level not in RANK:
        raise BadQuery(f"`{level}` is not a severity: there are {', '.join(RANK)}")
    try:
        pattern = re.compile(query.get("grep") or "")
    except re.error as error:
        raise BadQuery(f"`{query['grep']}` is not a regular expression: {error}") from None
    least, since, secrets = RANK[level], number(query, "since"), log.secrets()

    def cook(line: Line) -> dict[str, Any] | None:
        if line.gap:
            return {"at": None, "late": False, "level": "gap", "text": line.text}
        said = read_line(line.text.removesuffix("\r"))
        at, late = log.seen_at(line.offset)
        if RANK[said.level] < least or (at is not None and at < since):
            return None
        text = shown(mask(said.text, secrets) if secrets else said.text)
        if not pattern.search(text):
            return None
        return {"at": at, "late": late, "level": said.level, "text": text}

    return cook

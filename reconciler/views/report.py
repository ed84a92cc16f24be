"""What a report says about one run, and (`name=`) the report of a run that is over as it would be written now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.logs import mask
from reconciler.views import BadQuery, UnknownName
from reconciler.views.attempts import AttemptLog
from reconciler.views.names import named
from reconciler.views.rows import run_folder, state_of, target_text

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer
    from reconciler.views.attempts import Line

TAIL_BYTES: Final = 256 << 10
_USUAL_RUNS: Final = 20
_SLACK_BYTES: Final = 4096
_COLUMNS: Final = (
    "state", "reason", "message", "group_id", "trigger", "cause", "requester", "note", "slot", "queued", "started",
    "finished", "exit_code", "signal", "attempts", "lines", "warnings", "errors", "revision", "dirty",
)  # fmt: skip
_NAMES: Final = {"group_id": "group", "exit_code": "exitCode"}


def view(connection: sqlite3.Connection, who: Viewer, query: Mapping[str, str]) -> dict[str, Any]:
    """The values and the end of the log of a run; a job's name means its newest run that is over."""
    found = named(connection, who, query.get("name", ""), query)
    run = found.run or _newest(connection, found.job, found.domain)
    if not run:
        raise UnknownName(f"no run of `{target_text(found.job, found.domain)}` is over yet")
    item = values_of(connection, found.job, found.domain, run)
    if item["finished"] is None:
        raise BadQuery(f"`{item['target']}/{run}` is {item['state']}: a report is written when it is over")
    item["usual"] = usual_seconds(connection, found.job, found.domain)
    folder = run_folder(state_of(connection), found.job, found.domain, run)
    tail = tail_of(folder, item["attempts"])
    zone, problem = _installation(connection)
    return {"item": item, "tail": tail.decode("utf-8", "replace"), "zone": zone, "problem": problem}


def _newest(connection: sqlite3.Connection, job: str, domain: str) -> str:
    row = connection.execute(
        "SELECT run FROM runs WHERE job=? AND domain=? AND attempts > 0 AND finished IS NOT NULL ORDER BY id DESC",
        (job, domain),
    ).fetchone()
    return row[0] if row else ""


def _installation(connection: sqlite3.Connection) -> tuple[str, str]:
    row = connection.execute(
        "SELECT json_extract(body, '$.spec.timeZone'), json_extract(body, '$.spec.mail') FROM objects"
        " WHERE kind='Installation'"
    ).fetchone()
    zone, mail = row or (None, None)
    return zone or "UTC", "" if mail else "no mail is sent: the Installation has no `mail`"


def values_of(connection: sqlite3.Connection, job: str, domain: str, run: str) -> dict[str, Any]:
    """What the rows say of a target and (unless `run` is empty) of one run of it; times in epoch seconds."""
    row = connection.execute(
        "SELECT description, path, planning_path, planning, next_run, failures FROM targets WHERE job=? AND domain=?",
        (job, domain),
    ).fetchone()
    description, path, planning_path, planning, next_run, failures = row or ("", "", "", "", None, 0)
    item: dict[str, Any] = {
        "target": target_text(job, domain),
        "job": job,
        "domain": domain,
        "run": run,
        "description": description,
        "path": path,
        "planning": planning,
        "planningPath": planning_path,
        "nextRun": next_run,
        "failures": failures,
    }
    if not run:
        return item
    row = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM runs WHERE job=? AND domain=? AND run=?", (job, domain, run)
    ).fetchone()
    if row is not None:
        item.update({_NAMES.get(name, name): value for name, value in zip(_COLUMNS, row, strict=True)})
    return item


def usual_seconds(connection: sqlite3.Connection, job: str, domain: str) -> float | None:
    """The median duration of the last successes of a target."""
    from statistics import median

    rows = connection.execute(
        "SELECT finished - started FROM runs WHERE job=? AND domain=? AND state IN ('success', 'warning')"
        " AND started IS NOT NULL AND finished IS NOT NULL ORDER BY id DESC LIMIT ?",
        (job, domain, _USUAL_RUNS),
    ).fetchall()
    return float(median(row[0] for row in rows)) if len(rows) > 1 else None


def tail_of(folder: str, attempt: int, most: int = TAIL_BYTES) -> bytes:
    """The end of the log of a run's attempt: whole lines where there are any, with the secrets masked."""
    log = AttemptLog(f"{folder}/{attempt}")
    size = log.size
    if not size or not attempt:
        return b""
    begin = max(0, size - most - _SLACK_BYTES)
    lines = [line for piece, _ in log.pieces(begin, True) for line in piece]
    gap = next((number for number, line in enumerate(lines) if line.gap), len(lines))
    secrets = log.secrets()
    before, behind = _text(lines[:gap], secrets), _text(lines[gap + 1 :], secrets)
    # Where something is missing, a line is cut, perhaps within a secret, which was not recognised then.
    if begin and before:
        before = _from_second_line(before, most)
    if gap < len(lines):
        parts = [before.rpartition("\n")[0], lines[gap].text, _from_second_line(behind, most)]
        before = "\n".join(filter(None, parts))
    return before.encode("utf-8", "surrogateescape")


def _text(lines: list[Line], secrets: list[str]) -> str:
    text = "\n".join(line.text for line in lines)
    return mask(text, secrets) if secrets else text


def _from_second_line(text: str, most: int) -> str:
    first, newline, rest = text.partition("\n")
    return rest if newline and len(first) < most // 2 else text[_SLACK_BYTES:]

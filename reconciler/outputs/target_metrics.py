"""The block of the metrics page that speaks of targets: written by hand, because there are many and few change.

A series costs 0.3 us here and 10 us through a collector of prometheus-client.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Final, NamedTuple

from reconciler.core.model import INSTALLATION

_FAMILIES: Final = (
    ("job_info", "How the target is planned."),
    ("job_last_run_success", "Whether the last run that ended was a success or a warning."),
    ("job_last_run_warnings", "Lines of severity warning in the log of the last run that ended."),
    ("job_last_run_timestamp_seconds", "When the last run started."),
    ("job_last_success_timestamp_seconds", "When the last success or warning ended."),
    ("job_next_run_timestamp_seconds", "When it is planned to run next."),
    ("job_last_run_duration_seconds", "How long the last run that ended took."),
    ("job_running", "Runs in progress."),
    ("job_overdue", "Whether it has not succeeded, or not run, for too long."),
)
_DOMAIN_FAMILIES: Final = (
    ("domain_targets", "Targets of the domain."),
    ("domain_targets_failing", "Targets of the domain whose last run failed or was interrupted."),
    ("domain_targets_overdue", "Targets of the domain that are overdue."),
    ("domain_targets_running", "Targets of the domain with a run in progress."),
)
_ROWS: Final = (
    "SELECT t.job, t.domain, t.mode, t.state, t.started, t.duration, t.success_at, t.next_run, t.running, t.overdue,"
    " coalesce(r.warnings, 0), CASE WHEN t.state IN ('running', 'queued') THEN t.seen END FROM targets t"
    " LEFT JOIN runs r ON r.job = t.job AND r.domain = t.domain AND r.run = t.run WHERE t.gone = 0"
)
_FAILING: Final = "t.state IN ('failure', 'interrupted')"
_GOOD: Final = ("success", "warning")


class _Row(NamedTuple):
    job: str
    domain: str
    mode: str
    state: str
    started: float | None
    duration: float | None
    success_at: float | None
    next_run: float | None
    running: int
    overdue: str
    warnings: int
    seen: str | None


def block(database: sqlite3.Connection, most: int) -> str:
    """The families of targets; with more than `most`, only the ones that matter, and sums for each domain."""
    total = database.execute("SELECT count(*) FROM targets WHERE gone = 0").fetchone()[0]
    values: list[list[str]] = [[] for _ in _FAMILIES]
    sql = f"{_ROWS} ORDER BY t.job, t.domain"
    if total > most:
        sql = (
            f"{_ROWS} AND ({_FAILING} OR t.overdue != '' OR t.job IN (SELECT name FROM objects WHERE kind = 'Job'"  # noqa: S608
            " AND json_extract(body, '$.spec.expect.successEvery') IS NOT NULL)) ORDER BY t.job, t.domain"
        )
    count = 0
    for row in database.execute(sql):
        count += 1
        _add(values, _Row(*row))
    text = [_family(name, about, lines) for (name, about), lines in zip(_FAMILIES, values, strict=True)]
    text.append(
        _family("targets_suppressed", "Targets without series of their own.", [f" {total - count}\n"])
    )
    if total > most:
        text.append(_domains(database))
    return "".join(text)


def _add(values: list[list[str]], row: _Row) -> None:
    names = f'domain="{row.domain or INSTALLATION}",job_name="{row.job}"'
    labels = "{" + names + "} "
    state, started, duration, warnings = row.state, row.started, row.duration, row.warnings
    if row.seen is not None:
        # The row speaks of the run in progress; the last one that ended is in what was seen.
        state, duration, warnings = _last(row.seen)
    values[0].append(f'{{{names},mode="{row.mode}"}} 1\n')
    if state:
        values[1].append(f"{labels}{int(state in _GOOD)}\n")
        values[2].append(f"{labels}{warnings}\n")
    for place, number in ((3, started), (4, row.success_at), (5, row.next_run), (6, duration)):
        if number is not None and not (place == 6 and not state):
            values[place].append(f"{labels}{number!r}\n")
    values[7].append(f"{labels}{row.running}\n")
    values[8].append(f"{labels}{int(row.overdue != '')}\n")


def _last(seen: str) -> tuple[str, float | None, int]:
    last: dict[str, Any] = json.loads(seen).get("last") or {}
    return (
        str(last.get("state", "")),
        last.get("duration_seconds", 0.0 if last else None),
        int(last.get("warnings", 0)),
    )


def _family(name: str, about: str, lines: list[str]) -> str:
    head = f"# HELP reconciler_{name} {about}\n# TYPE reconciler_{name} gauge\n"
    return head + "".join([f"reconciler_{name}{line}" for line in lines])


def _domains(database: sqlite3.Connection) -> str:
    values: list[list[str]] = [[] for _ in _DOMAIN_FAMILIES]
    sql = (
        f"SELECT domain, count(*), sum({_FAILING}), sum(t.overdue != ''), sum(t.running > 0) FROM targets t"  # noqa: S608
        " WHERE gone = 0 GROUP BY domain"
    )
    for domain, *counts in database.execute(sql):
        for lines, count in zip(values, counts, strict=True):
            lines.append(f'{{domain="{domain or INSTALLATION}"}} {count}\n')
    return "".join(
        _family(name, about, lines) for (name, about), lines in zip(_DOMAIN_FAMILIES, values, strict=True)
    )

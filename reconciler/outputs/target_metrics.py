"""The block of the metrics page that speaks of targets: written by hand, because there are many and few change.

A series costs 0.3 us here and 10 us through a collector of prometheus-client.
"""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Sequence
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


def block(database: sqlite3.Connection, most: int) -> bytes:
    """The families of targets; with more than `most`, only the ones that matter, and sums for each domain."""
    total = database.execute("SELECT count(*) FROM targets WHERE gone = 0").fetchone()[0]
    families = [_Family(name, about) for name, about in _FAMILIES]
    sql = f"{_ROWS} ORDER BY t.job, t.domain"
    if total > most:
        sql = (
            f"{_ROWS} AND ({_FAILING} OR t.overdue != '' OR t.job IN (SELECT name FROM objects WHERE kind = 'Job'"  # noqa: S608
            " AND json_extract(body, '$.spec.expect.successEvery') IS NOT NULL)) ORDER BY t.job, t.domain"
        )
    count = 0
    for row in database.execute(sql):
        count += 1
        _add(families, _Row(*row))
    suppressed = _Family("targets_suppressed", "Targets without series of their own.")
    suppressed.add(f" {total - count}\n")
    families.append(suppressed)
    if total > most:
        families.extend(_domains(database))
    return b"".join(family.text.getbuffer() for family in families)


class _Family:
    """One family of series; kept as bytes at once, since tens of thousands of short strings cost three times that."""

    def __init__(self, name: str, about: str) -> None:
        self.text = io.BytesIO()
        self._name = f"reconciler_{name}"
        self.text.write(f"# HELP {self._name} {about}\n# TYPE {self._name} gauge\n".encode())

    def add(self, line: str) -> None:
        self.text.write(f"{self._name}{line}".encode())


def _add(values: Sequence[_Family], row: _Row) -> None:
    names = f'domain="{row.domain or INSTALLATION}",job_name="{row.job}"'
    labels = "{" + names + "} "
    state, started, duration, warnings = row.state, row.started, row.duration, row.warnings
    if row.seen is not None:
        # The row speaks of the run in progress; the last one that ended is in what was seen.
        state, duration, warnings = _last(row.seen)
    values[0].add(f'{{{names},mode="{row.mode}"}} 1\n')
    if state:
        values[1].add(f"{labels}{int(state in _GOOD)}\n")
        values[2].add(f"{labels}{warnings}\n")
    for place, number in ((3, started), (4, row.success_at), (5, row.next_run), (6, duration)):
        if number is not None and not (place == 6 and not state):
            values[place].add(f"{labels}{number!r}\n")
    values[7].add(f"{labels}{row.running}\n")
    values[8].add(f"{labels}{int(row.overdue != '')}\n")


def _last(seen: str) -> tuple[str, float | None, int]:
    last: dict[str, Any] = json.loads(seen).get("last") or {}
    return (
        str(last.get("state", "")),
        last.get("duration_seconds", 0.0 if last else None),
        int(last.get("warnings", 0)),
    )


def _domains(database: sqlite3.Connection) -> list[_Family]:
    families = [_Family(name, about) for name, about in _DOMAIN_FAMILIES]
    sql = (
        f"SELECT domain, count(*), sum({_FAILING}), sum(t.overdue != ''), sum(t.running > 0) FROM targets t"  # noqa: S608
        " WHERE gone = 0 GROUP BY domain"
    )
    for domain, *counts in database.execute(sql):
        for family, count in zip(families, counts, strict=True):
            family.add(f'{{domain="{domain or INSTALLATION}"}} {count}\n')
    return families

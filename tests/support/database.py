"""A state database with rows that tests choose."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reconciler.store.schema import MIGRATIONS

NOON = 1_795_348_800.0
"""2026-11-22T12:00:00Z."""


def make(state: Path, migrations: Sequence[str] = MIGRATIONS) -> sqlite3.Connection:
    """An empty `state.db` in the state directory."""
    state.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(state / "state.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for migration in migrations:
        connection.executescript(migration)
    return connection


def insert(connection: sqlite3.Connection, table: str, **values: Any) -> int:
    columns = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join("?" * len(values))
    encoded = [json.dumps(value) if isinstance(value, (dict, list)) else value for value in values.values()]
    cursor = connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", encoded)
    return cursor.lastrowid or 0


def target(connection: sqlite3.Connection, job: str, domain: str = "", **values: Any) -> None:
    """A scheduled target that has never run, unless `values` say more."""
    base = {"mode": "scheduled", "planning": "30 2 * * *", "plan_digest": "d", "schedule_digest": "s"}
    insert(connection, "targets", **{"job": job, "domain": domain, **base, **values})


def ran(connection: sqlite3.Connection, job: str, domain: str, run: str, state: str, **values: Any) -> int:
    """A run, ten seconds long unless `values` say else; returns its id."""
    base = {
        "trigger": "schedule",
        "queued": NOON,
        "started": NOON,
        "finished": None if state in ("running", "queued") else NOON + 10,
        "attempts": 1,
    }
    return insert(
        connection, "runs", **{"job": job, "domain": domain, "run": run, "state": state, **base, **values}
    )


def document(connection: sqlite3.Connection, kind: str, name: str, domain: str = "", **spec: Any) -> None:
    """A document that holds."""
    body = {"apiVersion": "reconciler/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    insert(
        connection,
        "objects",
        kind=kind,
        domain=domain,
        name=name,
        path="x.yaml",
        line=1,
        digest="o",
        body=body,
    )


def attempt(state: Path, job: str, domain: str, run: str, number: int = 1, log: bytes = b"") -> Path:
    """The directory of an attempt with its log."""
    folder = state / "runs" / (domain or "_installation") / job / run / str(number)
    folder.mkdir(parents=True)
    (folder / "log").write_bytes(log)
    return folder

"""Opening `state.db`: what it is, whether it is sound, and its tables brought up to date."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from reconciler.store.schema import MIGRATIONS, VERSION

APPLICATION_ID = 0x7265636F  # "reco"


class StoreError(Exception):
    """The state cannot be used; the text says which file, why, and what to do."""


def connect(path: Path, *, durable: bool = True) -> sqlite3.Connection:
    """Open the database for writing, make or migrate its tables. Never overwrites what it does not understand.

    Raises StoreError for a corrupt file, a newer version, or a file of another program.
    """
    existed = path.exists() and path.stat().st_size > 0
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        os.chmod(path, 0o600)
        db.execute("PRAGMA busy_timeout=10000")
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        application = int(db.execute("PRAGMA application_id").fetchone()[0])
        if existed:
            _check(db, path, version, application)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
        db.execute("PRAGMA cache_size=-2000")
        db.execute("PRAGMA journal_size_limit=67108864")
        _migrate(db, path, version)
    except sqlite3.DatabaseError as error:
        raise StoreError(_broken(path, str(error))) from error
    except OSError as error:
        raise StoreError(f"cannot open {path}: {error.strerror}; is the state directory writable?") from error
    return db


def _broken(path: Path, why: str) -> str:
    return (
        f"cannot use {path}: {why}. It was left as it is. Runs go on. Move it aside and start again: schedules then "
        "count from now and nothing is caught up; `reconcile doctor --rebuild` reads the history from the runs."
    )


def _check(db: sqlite3.Connection, path: Path, version: int, application: int) -> None:
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise StoreError(_broken(path, "it is not a database of reconcile"))
    if version > VERSION:
        raise StoreError(
            f"cannot use {path}: it was written by a newer version (format {version}, this one knows {VERSION}). "
            "It was left as it is. Install that version again."
        )
    answer = db.execute("PRAGMA quick_check(1)").fetchone()[0] if version else "ok"
    if answer != "ok":
        raise StoreError(_broken(path, str(answer)))


def _migrate(db: sqlite3.Connection, path: Path, version: int) -> None:
    if 0 < version < VERSION:
        with closing(sqlite3.connect(path.with_name(f"{path.name}.v{version}.bak"))) as copy:
            db.backup(copy)
    for number in range(version, VERSION):
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[number].split(";\n"):
                if statement.strip():
                    db.execute(statement)
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={number + 1}")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

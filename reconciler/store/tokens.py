"""Which run requests were handled, asked by any thread: over a connection of its own, opened when somebody asks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from reconciler.ports.database import reading


def handled_in(database: Path) -> Callable[[str], bool]:
    """Tell of a token whether it was handled; without a database none was."""

    def is_handled(token: str) -> bool:
        try:
            db = reading(database)
        except sqlite3.OperationalError:
            return False
        try:
            return db.execute("SELECT 1 FROM tokens WHERE token = ?", (token,)).fetchone() is not None
        finally:
            db.close()

    return is_handled

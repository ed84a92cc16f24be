"""The state of an older version is brought up to date, and kept beside as it was."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from reconciler.store.opening import APPLICATION_ID, connect
from reconciler.store.schema import MIGRATIONS, VERSION
from tests.support import database


def version_of(path: Path) -> int:
    with closing(connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_a_new_state_leaves_nothing_but_itself(tmp_path: Path) -> None:
    assert version_of(tmp_path / "state.db") == VERSION
    assert [path.name for path in tmp_path.iterdir()] == ["state.db"]


@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_state_of_an_older_version_keeps_what_it_has(tmp_path: Path, version: int) -> None:
    path = tmp_path / "state.db"
    with closing(database.make(tmp_path, MIGRATIONS[:version])) as db:
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={version}")
        database.target(db, "old")
    assert version_of(path) == VERSION
    with closing(connect(path)) as db:
        assert db.execute("SELECT job, serial FROM targets").fetchall() == [("old", 0)]
    before = tmp_path / f"state.db.v{version}.bak"
    with closing(connect(before)) as db:
        assert db.execute("SELECT job FROM targets").fetchall() == [("old",)]

"""A repository in a temporary folder, and the command line called in this process."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.cli.frame import run
from tests.support import database
from tests.support.database import NOON


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Cli = Callable[..., Said]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with an empty jobs.d, and the process in it."""
    made = tmp_path / "repository"
    (made / "jobs.d").mkdir(parents=True)
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: str) -> Said:
        code = run(arguments)
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture
def state(repository: Path) -> Iterator[sqlite3.Connection]:
    """A state with a few targets of an installation and two domains, and who may see them."""
    connection = database.make(repository / ".reconcile")
    last = {"run": "20261122T120000Z", "started": NOON, "finished": NOON + 10, "duration": 10.0}
    database.target(
        connection, "backup", state="success", description="Save everything", labels={"team": "ops"}, **last
    )
    database.target(
        connection, "import", "acme.example", state="failure", reason="ExitCode", failures=2, **last
    )
    database.target(connection, "import", "globex.example")
    database.ran(connection, "backup", "", "20261122T120000Z", "success", lines=3)
    database.ran(
        connection, "import", "acme.example", "20261122T120000Z", "failure", exit_code=2, reason="ExitCode"
    )
    database.document(connection, "Domain", "acme.example", description="ACME")
    database.document(connection, "Domain", "globex.example")
    database.document(connection, "Administrator", "alice", role="domain", domains=["acme.example"])
    database.document(connection, "Administrator", "root", role="system")
    parameters = {"full": {"type": "boolean", "default": False}}
    secret = {"names": ["acme.example", "globex.example"]}
    database.document(connection, "Job", "import", scope="domain", parameters=parameters, domains=secret)
    yield connection
    connection.close()

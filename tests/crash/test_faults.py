"""Full disks, states that cannot be used, two daemons at once: said plainly, and nothing is lost or overwritten."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.crash.installation import PATIENCE_SECONDS, Installation, Job, eventually

pytestmark = pytest.mark.full


def serve(installation: Installation, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a second daemon to its end."""
    return subprocess.run(
        [*installation.command(), "serve", "--listen", "", *options],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip


def settled(installation: Installation) -> None:
    installation.start()
    installation.wait_for_lines(6)
    installation.rest()


def test_a_second_daemon_on_the_same_state_refuses_and_names_the_first(installation):
    installation.start()
    installation.wait_for_lines(2)
    second = serve(installation)

    assert second.returncode == 1
    assert installation.daemon is not None
    assert f"pid {installation.daemon.pid}" in second.stderr + second.stdout
    installation.rest()
    assert installation.judge() == 0


def test_two_daemons_started_at_once_make_one_that_serves_and_nothing_runs_twice(installation):
    daemons = []
    for _ in range(3):
        installation.start()
        daemons.append(installation.daemon)
    eventually(lambda: sum(one.poll() is None for one in daemons) == 1)
    [installation.daemon] = [one for one in daemons if one.poll() is None]
    assert [one.returncode for one in daemons if one is not installation.daemon] == [1, 1]
    installation.wait_for_lines(6)
    installation.rest()
    assert installation.judge() == 0


def test_a_corrupt_state_is_refused_left_as_it_is_and_what_runs_goes_on(tmp_path):
    installation = Installation(tmp_path, (Job("long", work="sleep 6"),))
    try:
        installation.start()
        installation.wait_for_lines(1)
        installation.kill_daemon()
        for name in ("state.db-wal", "state.db-shm"):
            (installation.state / name).unlink(missing_ok=True)
        broken = b"not a database at all" * 500
        (installation.state / "state.db").write_bytes(broken)

        refused = serve(installation)

        assert refused.returncode == 1
        assert "state.db" in refused.stderr + refused.stdout
        assert "Move it aside" in refused.stderr + refused.stdout
        assert (installation.state / "state.db").read_bytes() == broken
        eventually(lambda: "end-0" in installation.ledger.read_text())
    finally:
        installation.close()


def test_a_state_of_a_newer_version_is_refused_and_left_as_it_is(installation):
    settled(installation)
    with sqlite3.connect(installation.state / "state.db") as db:
        db.execute("PRAGMA user_version=999")
    db.close()

    refused = serve(installation)

    assert refused.returncode == 1
    assert "newer version" in refused.stderr + refused.stdout
    [(version,)] = installation.ask("PRAGMA user_version")
    assert version == 999


def test_a_state_directory_that_cannot_be_made_is_said_with_what_to_do(installation):
    installation.state = Path("/proc/no-such-place/state")

    refused = serve(installation)

    assert refused.returncode == 1
    assert "/proc/no-such-place/state" in refused.stderr + refused.stdout
    assert "--state" in refused.stderr + refused.stdout


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Installation]:
    """An installation whose state is on a disk of 12 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    made = Installation(tmp_path)
    made.state.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", made.state], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    yield made
    made.close()
    eventually(
        lambda: subprocess.run(["umount", made.state], capture_output=True, check=False).returncode == 0
    )


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(65536))


def test_a_full_disk_is_said_and_when_there_is_room_again_everything_goes_on(small):
    small.start()
    small.wait_for_lines(6)
    filler = small.state / "filler"
    fill(filler)
    eventually(lambda: "cannot write the state" in small.said())
    assert small.daemon is not None
    assert small.daemon.poll() is None, small.said()
    filler.unlink()
    eventually(lambda: "what kept runs from starting is over" in small.said())
    small.wait_for_lines(10)
    small.rest()
    assert small.judge() == 0

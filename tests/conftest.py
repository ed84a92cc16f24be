"""What every test gets: a neutral environment, reproducible properties, real parts by name, and quiet."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A property that fails in CI must fail on the next machine too: the test decides its examples, not chance.
settings.register_profile(
    "check", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "check"))

_INHERITED = ("RECONCILE_", "GIT_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "NO_COLOR", "FORCE_COLOR", "TZ")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*programs): skipped where one of them is not installed")
    config.addinivalue_line("markers", "alone: measures time, so no other test runs meanwhile")
    for name in [name for name in os.environ if name.startswith(_INHERITED)]:
        del os.environ[name]
    # The developer's own git settings (signing, hooks, default branch) must not decide a test.
    os.environ.update(
        GIT_CONFIG_GLOBAL=os.devnull,
        GIT_CONFIG_NOSYSTEM="1",
        GIT_AUTHOR_NAME="Test",
        GIT_AUTHOR_EMAIL="test@example.org",
        GIT_COMMITTER_NAME="Test",
        GIT_COMMITTER_EMAIL="test@example.org",
        GIT_TERMINAL_PROMPT="0",
        LC_ALL="C.UTF-8",
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for program in marker.args:
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="session")
def _turns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all workers of one session share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(autouse=True)
def _quiet_for_those_that_measure(request: pytest.FixtureRequest, _turns: Path) -> Iterator[None]:
    """Hold a shared lock during each test, and an exclusive one during a test marked `alone`.

    Everyone passes the door first: the one who waits for the exclusive lock keeps it shut, or would starve.
    """
    alone = request.node.get_closest_marker("alone") is not None
    with open(_turns / "door", "w") as door, open(_turns / "room", "w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield

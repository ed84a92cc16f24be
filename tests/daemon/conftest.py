from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    """An empty installation; whatever it leaves running is ended."""
    installation = Installation(tmp_path / "place")
    yield installation
    installation.close()

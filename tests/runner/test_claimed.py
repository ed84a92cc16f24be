"""An attempt that was claimed is never told to have failed at its start: it may be running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from local import make_order

from reconciler.ports import attempt as files
from reconciler.runner.runs import Runs


def test_a_claimed_attempt_that_cannot_be_read_now_is_asked_about_again_and_not_told_as_a_failed_start(
    tmp_path: Path,
) -> None:
    order = make_order("r", "true")
    directory = tmp_path / order.attempt.path
    (directory / files.ORDER).mkdir(parents=True)  # reading it fails, as without descriptors or on a bad disk
    (directory / files.GO).touch()
    said: list[list[Any]] = []
    runs = Runs(str(tmp_path), said.append, lambda fd, action: None, lambda fd: None)

    with pytest.raises(OSError, match="directory"):
        runs.start(order.attempt.path, order.document())

    assert said == []

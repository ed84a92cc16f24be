"""The daemon's own log: what it says, and when that was."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler.core import facts as f
from reconciler.core.model import Reason, State, TargetId
from reconciler.daemon.journal import Journal

BACKUP = TargetId("backup")
RUN = "20261127T020000Z"


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-27T{text}").replace(tzinfo=UTC)


def test_a_line_carries_the_time_of_its_fact_however_late_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    Journal().tell(
        [
            (BACKUP, f.Started(at("02:00:00.009"), RUN, 1)),
            (BACKUP, f.Finished(at("02:07:31.5"), RUN, State.FAILURE, Reason.EXIT_CODE, "exit code 3")),
        ]
    )

    assert capsys.readouterr().err.splitlines() == [
        f"02:00:00 ● backup/{RUN} started (attempt 1)",
        f"02:07:31 warning: ✘ backup/{RUN} failure: ExitCode exit code 3",
    ]


def test_under_systemd_a_line_carries_its_level_and_leaves_the_time_to_the_journal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    Journal().tell([(BACKUP, f.OverdueBegan(at("03:00:00"), "never succeeded"))])

    assert capsys.readouterr().err == "<4>! backup is overdue: never succeeded\n"

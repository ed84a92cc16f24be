"""The thread that looks at the source: what the first look says counts before anything else is begun."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from reconciler.clock import monotonic
from reconciler.daemon.inbox import Inbox
from reconciler.daemon.loading import Loading
from reconciler.daemon.reconciler import Look, Reconciler

PATIENCE_SECONDS = 20.0


class _Stage:
    """A reconciler whose first looks are overtaken, and a source that notes when it is watched."""

    def __init__(self, overtaken: int) -> None:
        self.source = self
        self.overtaken = overtaken
        self.told: list[str] = []

    def look(self) -> Look:
        self.told.append("look")
        return Look(datetime.now(UTC))

    def take(self, look: Look) -> bool:
        self.overtaken -= 1
        self.told.append("taken" if self.overtaken < 0 else "overtaken")
        return self.overtaken < 0

    def watch(self, hint: Callable[[], None]) -> Any:
        self.told.append("watch")
        return None

    def expect_edits(self) -> None:
        self.told.append("expect edits")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


def _until(inbox: Inbox, happened: Callable[[], bool]) -> None:
    """Be the thread that decides until something has happened."""
    end = monotonic() + PATIENCE_SECONDS
    while not happened():
        assert monotonic() < end
        select.select([inbox], [], [], 0.1)
        inbox.run_all()


@pytest.mark.parametrize("overtaken", [0, 1, 3])
def test_a_first_look_that_was_overtaken_is_repeated_and_only_then_the_source_is_watched(
    inbox: Inbox, overtaken: int
) -> None:
    stage = _Stage(overtaken)
    loading = Loading(cast(Reconciler, stage), inbox, 60.0)
    loading.start()
    _until(inbox, lambda: loading.has_looked)
    assert stage.told == ["look", "overtaken"] * overtaken + ["look", "taken"]
    loading.go_on()
    _until(inbox, lambda: stage.told[-1] == "expect edits")
    assert stage.told[-2:] == ["watch", "expect edits"]
    loading.stop_soon()
    _until(inbox, lambda: loading.join(0.1))


def test_a_thread_that_waits_for_the_first_decisions_can_be_stopped(inbox: Inbox) -> None:
    stage = _Stage(0)
    loading = Loading(cast(Reconciler, stage), inbox, 60.0)
    loading.start()
    _until(inbox, lambda: loading.has_looked)
    loading.stop_soon()
    _until(inbox, lambda: loading.join(0.1))
    assert "expect edits" not in stage.told

"""When a request is too old to be carried out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.desired import Request, RunNow

ASKED = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "lasts"),
    [
        (Request("", "r", ("a",), ASKED, timedelta(minutes=5), {}, "", "d", "r.yaml"), timedelta(minutes=5)),
        (RunNow("Job//a#x", "Job", "", "a", "x", ASKED), timedelta(hours=1)),
    ],
)
def test_a_request_expires_after_its_last_moment_and_not_at_it(
    asked: Request | RunNow, lasts: timedelta
) -> None:
    assert asked.expires_at == ASKED + lasts
    assert not asked.is_expired(ASKED + lasts)
    assert asked.is_expired(ASKED + lasts + timedelta(microseconds=1))

"""`expect`: what is expected of a run and did not happen is a warning; what did not happen in time is overdue."""

from __future__ import annotations

import time

import pytest

from tests.support.installation import Daemon, Installation, job, until

pytestmark = pytest.mark.full


@pytest.mark.parametrize(
    ("command", "expect", "said"),
    [
        ("true", {"duration": {"min": "5s"}}, "expected at least 5 s"),
        ("sleep 1.2", {"duration": {"max": "1s"}}, "expected at most 1 s"),
        ("echo one", {"outputLines": {"min": 2}}, "wrote 1 line, expected at least 2"),
    ],
)
def test_a_success_that_is_not_as_expected_is_a_warning_that_says_why(
    place: Installation, command: str, expect: dict[str, object], said: str
):
    place.write("a.yaml", job("a", command, expect=expect))
    place.serve()
    assert place.run("run", "a", "--wait").returncode == 11
    (item,) = place.json("get", "runs")["items"]
    assert (item["state"], item["reason"]) == ("warning", "ExpectationBroken")
    assert said in item["message"]


def test_a_run_that_starts_later_than_expected_is_a_warning(place: Installation):
    place.write("b.yaml", job("b", place.gate(), locks=["l"]))
    place.write("a.yaml", job("a", "true", locks=["l"], expect={"startWithin": "1s"}))
    place.serve()
    place.run("run", "b")
    place.wait_runs("b", "running")
    assert place.run("run", "a").returncode == 0
    place.wait_runs("a", "queued")
    begun = time.monotonic()
    until(lambda: time.monotonic() > begun + 1.5, "a waits longer than it should")
    place.open_gate()
    place.wait_runs("a", "warning")
    assert "expected within 1 s" in place.json("history", "a")["items"][0]["message"]


def overdue(daemon: Daemon) -> str:
    _, page = daemon.get("/metrics")
    return next(
        line.split()[-1]
        for line in page.splitlines()
        if line.startswith("reconciler_job_overdue{") and '"a"' in line
    )


def test_a_job_that_never_ran_is_overdue_and_a_success_ends_it(place: Installation):
    place.write("a.yaml", job("a", "true", expect={"successEvery": "3s"}))
    daemon = place.serve()
    assert overdue(daemon) == "0"
    until(lambda: place.json("get", "jobs", "--status", "overdue")["items"], "it never succeeded")
    until(lambda: overdue(daemon) == "1")
    (condition,) = [one for one in place.json("describe", "a")["conditions"] if one["type"] == "Overdue"]
    assert (condition["status"], condition["message"]) == ("True", "never succeeded")
    assert "is overdue: never succeeded" in daemon.said
    place.write("a.yaml", job("a", "true", expect={"successEvery": "1h"}))
    assert place.run("run", "a", "--wait").returncode == 0
    until(lambda: not place.json("get", "jobs", "--status", "overdue")["items"])
    until(lambda: overdue(daemon) == "0")
    assert "OverdueEnded" in place.run("events", "a").stdout


def test_a_failing_job_is_overdue_though_it_runs(place: Installation):
    planning = {"mode": "scheduled", "schedule": {"cron": "* * * * * *"}}
    place.write("a.yaml", job("a", "exit 1", planning=planning, expect={"successEvery": "3s"}))
    place.serve()
    until(lambda: place.json("get", "jobs", "--status", "overdue")["items"])
    assert place.runs("a")

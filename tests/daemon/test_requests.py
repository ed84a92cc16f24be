"""A token runs once on a target, whatever is done to its file, its repository, the daemon or the state."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler.ports.failpoint import ALL
from tests.support.installation import Installation, document, job, until

pytestmark = pytest.mark.full

STALE, REFUSED = 8, 13


def git(place: Installation, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=place.root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def request(name: str, *targets: str, age: timedelta = timedelta(0), **spec: Any) -> str:
    at = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    return document("RunRequest", name, targets=list(targets), requestedAt=at, **spec)


def ran(place: Installation) -> Counter[str]:
    """How often each target ran under each token, as the jobs themselves wrote."""
    return Counter(place.ledger.read_text().splitlines()) if place.ledger.exists() else Counter()


def outcome(place: Installation, name: str) -> dict[str, Any]:
    """What became of a request, once it is known."""

    def found() -> dict[str, Any] | None:
        items = place.json("get", "requests", "--contains", name)["items"]
        return items[0] if items else None

    return until(found, f"request {name} is handled")  # type: ignore[return-value]


def ledger_job(place: Installation, name: str, **spec: Any) -> str:
    return job(name, f"echo $RECONCILE_JOB@$RECONCILE_DOMAIN $RECONCILE_RUN >> {place.ledger}", **spec)


@pytest.fixture
def applied(place: Installation) -> Installation:
    """Two jobs, applied once, so that requests are younger than the state."""
    place.write("a.yaml", ledger_job(place, "a"))
    place.write("b.yaml", ledger_job(place, "b"))
    assert place.run("apply").returncode == 0
    return place


@pytest.mark.needs("git")
def test_revert_cherry_pick_move_and_readding_never_run_a_token_again(applied: Installation) -> None:
    place = applied
    git(place, "init", "-q", "-b", "main")
    git(place, "add", "jobs.d")
    git(place, "commit", "-qm", "first")
    daemon = place.serve("--ref", "refs/heads/main", "--interval", "1s")

    def step(*words: str) -> None:
        git(place, *words)
        head = git(place, "rev-parse", "HEAD")
        done = place.run("status", "--wait-revision", head, "--timeout", "20s")
        assert done.returncode == 0, done

    place.write("run/x.yaml", request("token", "a"))
    git(place, "add", "jobs.d")
    step("commit", "-qm", "ask")
    asked = git(place, "rev-parse", "HEAD")
    place.wait_runs("a", "success")
    step("revert", "--no-edit", "HEAD")
    step("revert", "--no-edit", "HEAD")
    git(place, "mv", "jobs.d/run/x.yaml", "jobs.d/moved.yaml")
    step("commit", "-qm", "move")
    git(place, "rm", "-q", "jobs.d/moved.yaml")
    step("commit", "-qm", "remove")
    step("cherry-pick", asked)
    daemon.kill()
    place.serve("--ref", "refs/heads/main", "--interval", "1s")
    place.write("run/y.yaml", request("other", "b"))
    git(place, "add", "jobs.d")
    step("commit", "-qm", "ask for another")
    place.wait_runs("b", "success")
    assert [count for count in ran(place).values()] == [1, 1]
    assert len(place.runs("a")) == 1


def test_the_list_and_the_file_of_a_request_tell_the_same_and_all_times_alike(applied: Installation) -> None:
    place = applied
    text = request("token", "a")
    place.write("run/x.yaml", text)
    place.serve()
    place.wait_runs("a", "success")
    path = place.state / "requests/_installation/token.yaml"
    until(lambda: path.exists() and "state: success" in path.read_text().replace('"', ""))
    told = YAML(typ="safe").load(path.read_text())["status"]
    listed = outcome(place, "token")
    runs = told.pop("runs")
    assert [run["state"] for run in runs] == ["success"]
    assert told == listed
    assert told["requestedAt"] in text
    assert all(re.fullmatch(r"[-0-9]+T[:0-9]+Z", told[name]) for name in ("requestedAt", "handledAt"))
    assert "handled" not in told


def test_a_token_with_another_payload_is_refused_and_said(applied: Installation) -> None:
    place = applied
    place.serve()
    place.write("run/x.yaml", request("token", "a"))
    place.wait_runs("a", "success")
    place.write("run/x.yaml", request("token", "a", "b"))
    item = until(lambda: each if (each := outcome(place, "token")).get("conflict") else None)
    assert item["outcome"] == "accepted"
    assert "changed after it was handled" in item["conflict"]
    assert place.runs("b") == []
    assert len(place.runs("a")) == 1


def test_who_waits_for_a_request_that_was_changed_hears_that_it_is_stale(applied: Installation) -> None:
    place = applied
    place.write("slow.yaml", job("slow", "sleep 3"))
    place.serve()
    until(lambda: place.rows("SELECT 1 FROM targets WHERE job = 'slow'"))
    command = subprocess.Popen(
        place.command("run", "slow", "--wait"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    place.wait_runs("slow", "running")
    (path,) = (place.root / "jobs.d/run").glob("*.yaml")
    path.write_text(path.read_text().replace("- slow", "- a"))
    _, said = command.communicate(timeout=30)
    assert (command.returncode, "changed after" in said) == (STALE, True), said
    assert place.runs("a") == []


def test_with_a_lost_ledger_what_was_asked_before_is_expired(applied: Installation) -> None:
    place = applied
    place.write("run/x.yaml", request("token", "a"))
    daemon = place.serve()
    place.wait_runs("a", "success")
    daemon.terminate()
    until(lambda: datetime.now(UTC).timestamp() > place.rows("SELECT handled FROM tokens")[0][0] + 1)
    shutil.rmtree(place.state)
    place.serve()
    item = outcome(place, "token")
    assert (item["outcome"], "older than this state" in item["message"]) == ("expired", True)
    assert list(ran(place).values()) == [1]
    place.write("run/y.yaml", request("new", "b"))
    place.wait_runs("b", "success")


def test_a_request_out_of_its_time_is_refused_whatever_it_names(applied: Installation) -> None:
    place = applied
    place.serve()
    place.write("run/old.yaml", request("old", "no-such-job", age=timedelta(hours=2)))
    place.write("run/early.yaml", request("early", "a", age=-timedelta(minutes=10)))
    place.write("run/long.yaml", request("gone", "a", age=timedelta(minutes=2), expiresAfter="1m"))
    assert outcome(place, "old")["outcome"] == "expired"
    assert outcome(place, "early")["outcome"] == "refused"
    assert outcome(place, "gone")["outcome"] == "expired"
    assert ran(place) == Counter()


def test_a_domain_that_is_added_later_is_not_meant(place: Installation) -> None:
    place.write("one.yaml", document("Domain", "one.example"))
    place.write("a.yaml", ledger_job(place, "a", scope="domain"))
    place.serve()
    place.write("run/x.yaml", request("token", "a@*"))
    place.wait_runs("a", "success")
    place.write("two.yaml", document("Domain", "two.example"))
    until(lambda: place.rows("SELECT 1 FROM targets WHERE domain = 'two.example'"))
    place.write("run/y.yaml", request("later", "a@two.example"))
    place.wait_runs("a", "success", 2)
    assert sorted(ran(place)) == ["a@one.example r-token", "a@two.example r-later"]


def test_two_reconcilers_on_one_state_run_a_token_once(applied: Installation) -> None:
    place = applied
    daemons = [place.serve(ready=False) for _ in range(3)]
    until(lambda: any(" ready: " in each.said for each in daemons))
    for number in range(5):
        place.write(f"run/{number}.yaml", request(f"token-{number}", "a", "b"))
        subprocess.Popen(place.command("apply"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait(
            30
        )
    until(lambda: sum(ran(place).values()) >= 2)
    until(lambda: len(place.json("get", "requests")["items"]) == 5)
    assert sum(each.process.poll() is None for each in daemons) == 1
    assert set(ran(place).values()) == {1}


KILLED_AT = (
    "apply:before-commit", "apply:after-commit", "store:before-commit:at:2", "store:after-commit:at:2",
    "engine:before-start", "runner:after-mkdir", "runner:after-order", "executor:after-send", "engine:after-start",
    "runner:before-go", "runner:after-go", "runner:after-pid", "runner:before-exit", "runner:after-exit",
    "executor:before-events", "engine:after-events",
)  # fmt: skip


def killed_somewhere(place: Installation, failpoint: str, token: str) -> None:
    """Ask for two runs while a process of ours is killed at a failpoint; then start again and wait for them."""
    assert failpoint.partition(":at:")[0] in ALL
    once = place.root / f"once-{token}"
    place.write(f"run/{token}.yaml", request(token, "a", "b"))
    env = {"RECONCILE_FAILPOINT": failpoint, "RECONCILE_FAILPOINT_ONCE": str(once)}
    daemon = place.serve(env=env, ready=False)

    def is_over() -> bool:
        rows = place.rows("SELECT count(*) FROM runs WHERE run = ? AND finished IS NOT NULL", f"r-{token}")
        return rows == [(2,)] or daemon.process.poll() is not None

    until(once.exists, f"{failpoint} was never passed: {daemon.said}")
    until(is_over, f"{failpoint}: {daemon.said}")
    daemon.kill()
    place.serve()
    count = "SELECT count(*) FROM runs WHERE run = ? AND finished IS NOT NULL"
    until(lambda: place.rows(count, f"r-{token}") == [(2,)], f"{token} ends: {place.daemons[-1].said}")
    place.daemons[-1].kill()
    for pid in place.runners():  # it would outlive its daemon, and pass nothing on its successor's behalf
        os.kill(pid, signal.SIGKILL)
    until(lambda: not place.runners(), "its runner is gone")


@pytest.mark.parametrize("failpoint", KILLED_AT)
def test_a_kill_at_any_step_runs_no_token_twice(applied: Installation, failpoint: str) -> None:
    killed_somewhere(applied, failpoint, "token")
    counts = ran(applied)
    assert set(counts.values()) <= {1}, counts
    states = [run["state"] for name in ("a", "b") for run in applied.runs(name)]
    # A process that dies between a claim and an end may cost a run, and then the record says so; never two.
    assert len(counts) + states.count("interrupted") >= 2, (counts, states)


@pytest.mark.parametrize("part", range(4))
def test_two_hundred_kills_run_no_token_twice(applied: Installation, part: int) -> None:
    for number in range(50):
        killed_somewhere(applied, KILLED_AT[(50 * part + number) % len(KILLED_AT)], f"token-{number}")
    doubles = {key: count for key, count in ran(applied).items() if count > 1}
    assert doubles == {}
    assert json.dumps(sorted(applied.rows("SELECT count(*) FROM tokens"))) == "[[50]]"

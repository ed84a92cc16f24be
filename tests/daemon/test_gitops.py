"""Git as the source of truth: revisions waited for, plans kept, what needs an approval, what machines add."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Daemon, Installation, document, job, until

pytestmark = pytest.mark.full

BLOCKED, STALE, KEPT, TIMEOUT = 5, 8, 4, 9


def git(place: Installation, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=place.root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(place: Installation, message: str = "change") -> str:
    """Commit everything; give the commit."""
    git(place, "add", "-A", "jobs.d")
    git(place, "commit", "-qm", message)
    return git(place, "rev-parse", "HEAD")


@pytest.fixture
def repository(place: Installation) -> Installation:
    git(place, "init", "-q", "-b", "main")
    for name in ("one", "two", "three"):
        place.write(f"{name}.yaml", job(name, "true"))
    commit(place, "first")
    return place


def installation(**annotations: str) -> str:
    text = json.loads(document("Installation", "installation", timeZone="UTC"))
    text["metadata"]["annotations"] = {f"reconciler/{key}": value for key, value in annotations.items()}
    return json.dumps(text)


# Waiting for a revision.


@pytest.mark.needs("git")
def test_a_pipeline_waits_until_its_commit_is_applied_and_hears_how(repository: Installation) -> None:
    place = repository
    place.serve()

    def wait(revision: str, seconds: str = "20s") -> subprocess.CompletedProcess[str]:
        return place.run("status", "--wait-revision", revision, "--timeout", seconds)

    first = git(place, "rev-parse", "HEAD")
    assert wait(first).returncode == 0
    place.write("four.yaml", job("four", "true"))
    second = commit(place)
    assert wait(second).returncode == 0
    assert wait(first).returncode == 0, "a later commit contains it"
    place.write("four.yaml", "spec: [")
    assert wait(commit(place)).returncode == KEPT
    place.write("four.yaml", job("four", "true"))
    for name in ("one", "two", "three"):
        (place.root / f"jobs.d/{name}.yaml").unlink()
    done = wait(commit(place))
    assert (done.returncode, "as a whole" in done.stderr) == (BLOCKED, True)
    assert wait("0" * 40, "0s").returncode == TIMEOUT


@pytest.mark.needs("git")
def test_with_transactional_a_commit_is_applied_as_a_whole_or_not_at_all(repository: Installation) -> None:
    place = repository
    place.serve("--transactional")
    place.write("four.yaml", job("four", "true"))
    place.write("one.yaml", "spec: [")
    bad = commit(place)
    assert place.run("status", "--wait-revision", bad, "--timeout", "20s").returncode == BLOCKED
    assert not place.rows("SELECT 1 FROM targets WHERE job = 'four'")
    place.write("one.yaml", job("one", "true"))
    good = commit(place)
    assert place.run("status", "--wait-revision", good, "--timeout", "20s").returncode == 0
    assert place.rows("SELECT gone FROM targets WHERE job = 'four'") == [(0,)]


@pytest.mark.needs("git")
def test_a_restart_does_not_forget_the_revision_in_force_while_the_source_is_refused(
    repository: Installation,
) -> None:
    place = repository
    place.write("tick.yaml", job("tick", "true", planning={"mode": "scheduled", "schedule": {"cron": "* * * * * *"}}))
    good = commit(place)
    place.serve("--transactional").terminate()
    place.write("one.yaml", "spec: [")
    bad = commit(place)
    place.serve("--transactional")
    assert place.run("status", "--wait-revision", bad, "--timeout", "20s").returncode == BLOCKED
    assert place.json("status")["source"]["revision"] == good
    place.wait_runs("tick", "success", len(place.runs("tick")) + 2)
    started = "SELECT DISTINCT revision FROM runs WHERE job = 'tick' AND attempts > 0"
    assert place.rows(started) == [(good,)]


# Plans in files.


@pytest.mark.parametrize("with_daemon", [False, True])
def test_a_kept_plan_is_applied_once_and_only_if_nothing_changed(
    place: Installation, with_daemon: bool
) -> None:
    place.write("a.yaml", installation())
    for name in ("one", "two", "three"):
        place.write(f"{name}.yaml", job(name, "true"))
    assert place.run("apply").returncode == 0
    if with_daemon:
        place.serve()
    plan = place.root / "plan.json"
    for name in ("one", "two"):
        (place.root / f"jobs.d/{name}.yaml").unlink()
    if with_daemon:
        until(lambda: place.json("status")["source"]["prune"])
    assert "--approve" in place.run("plan", "--out", str(plan)).stdout
    assert place.run("apply").returncode == BLOCKED
    done = place.run("apply", str(plan))
    assert done.returncode == 0, done.stderr
    assert place.rows("SELECT job FROM targets WHERE gone = 0") == [("three",)]
    again = place.run("apply", str(plan))
    assert (again.returncode, "already" in again.stderr) == (STALE, True)


def test_a_plan_of_another_moment_or_another_hand_is_stale(place: Installation) -> None:
    place.write("one.yaml", job("one", "true"))
    place.run("apply")
    place.write("two.yaml", job("two", "true"))
    plan = place.root / "plan.json"
    assert place.run("plan", "--out", str(plan)).returncode == 0
    place.write("three.yaml", job("three", "true"))
    assert place.run("apply", str(plan)).returncode == STALE
    assert place.rows("SELECT job FROM targets WHERE gone = 0") == [("one",)]
    (place.root / "jobs.d/three.yaml").unlink()
    plan.write_text(plan.read_text().replace('"approval": ""', '"approval": "abc"'))
    assert place.run("apply", str(plan)).returncode == STALE
    assert place.run("apply", str(place.root / "jobs.d/one.yaml")).returncode == STALE
    assert place.run("apply", str(plan), "--approve", "abc").returncode == 64


# Drift.


@pytest.mark.parametrize("with_daemon", [False, True])
def test_a_local_pause_is_drift_everywhere_and_can_be_ended(place: Installation, with_daemon: bool) -> None:
    every_second = {"mode": "scheduled", "schedule": {"cron": "* * * * * *"}}
    place.write("tick.yaml", job("tick", "true", planning=every_second))
    place.run("apply")
    daemon = place.serve() if with_daemon else None
    done = place.run("pause", "tick", "--local", "--for", "2h", "--reason", "disk swap")
    assert done.returncode == 0, done.stderr
    assert "disk swap" in place.run("plan").stdout
    assert "disk swap" in place.run("plan", "-o", "markdown").stdout
    assert place.json("plan")["drift"][0]["target"] == "tick"
    assert "disk swap" in place.run("get", "jobs").stdout
    assert "disk swap" in place.run("describe", "tick").stdout
    assert place.json("status")["targets"]["drifted"] == 1
    assert (
        "paused locally" in place.run("events", "tick").stdout.lower()
        or "disk swap" in place.run("events", "tick").stdout
    )
    if daemon:
        until(lambda: "reconciler_targets_drifted 1" in daemon.get("/metrics")[1])
        place.write("tock.yaml", job("tock", "true", planning=every_second))
        place.wait_runs("tock", "success")  # so that whatever `tick` began before its pause is there
        started = len(place.runs("tick"))
        place.wait_runs("tock", "success", len(place.runs("tock")) + 2)
        assert len(place.runs("tick")) == started
    assert place.run("resume", "tick", "--local").returncode == 0
    assert place.json("plan")["drift"] == []
    assert place.json("get", "jobs")["items"][0]["drift"] == ""
    if daemon:
        place.wait_runs("tick", "success", len(place.runs("tick")) + 1)


def test_a_local_pause_ends_by_itself(place: Installation) -> None:
    every_second = {"mode": "scheduled", "schedule": {"cron": "* * * * * *"}}
    place.write("tick.yaml", job("tick", "true", planning=every_second))
    place.serve()
    place.run("pause", "tick", "--local", "--for", "2s")
    assert place.rows("SELECT drift != '' FROM targets") == [(1,)]
    until(lambda: place.rows("SELECT drift FROM targets") == [("",)])
    place.wait_runs("tick", "success", len(place.runs("tick")) + 1)


# Asking for a look.


def post(daemon: Daemon, path: str, body: bytes = b"{}", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://{daemon.address}{path}", body, named, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.needs("git")
def test_a_forge_that_knows_the_secret_has_the_remote_fetched_at_once(
    repository: Installation, tmp_path: Path
) -> None:
    place = repository
    git(place, "clone", "-q", "--bare", ".", str(tmp_path / "remote"))
    git(place, "remote", "add", "origin", str(tmp_path / "remote"))
    daemon = place.serve("--ref", "refs/heads/main", "--remote", "origin", "--interval", "1h")
    assert post(daemon, "/-/sync") == 404, "no secret, no door"
    (place.root / "secrets/sync").write_text("s3cret\n")
    signed = hmac.new(b"s3cret", b'{"ref": 1}', hashlib.sha256).hexdigest()
    for wrong in (
        {},
        {"Authorization": "Bearer other"},
        {"Authorization": "Basic s3cret"},
        {"X_Hub_Signature_256": f"sha256={signed}"},
        {"X_Hub_Signature_256": "sha256=ü"},
    ):
        assert post(daemon, "/-/sync", b"{}", **wrong) == 401
    place.write("four.yaml", job("four", "true"))
    commit(place)
    git(place, "push", "-q", "origin", "main")
    assert not place.rows("SELECT 1 FROM targets WHERE job = 'four'")
    assert post(daemon, "/-/sync", Authorization="Bearer s3cret") == 200
    until(lambda: place.rows("SELECT 1 FROM targets WHERE job = 'four'"))
    assert post(daemon, "/-/sync", b'{"ref": 1}', X_Hub_Signature_256=f"sha256={signed}") == 200
    until(lambda: 'reconciler_resyncs_total{trigger="sync"} 2.0' in daemon.get("/metrics")[1])
    assert post(daemon, "/-/other") == 404
    assert post(daemon, "/v1/apply") == 404, "commands are for the control socket"


def test_a_body_that_is_too_long_or_says_no_length_is_refused(place: Installation) -> None:
    (place.root / "secrets/sync").write_text("s3cret")
    daemon = place.serve()
    host, port = daemon.address.split(":")
    for length in ("-1", "99999999999", "x"):
        with socket.create_connection((host, int(port)), 10) as link:
            link.sendall(f"POST /-/sync HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
            assert link.recv(100).startswith(b"HTTP/1.1 413")


# What needs an approval.


def test_a_request_that_was_handled_does_not_hold_up_the_removal_of_its_job(place: Installation) -> None:
    for name in ("one", "two", "three"):
        place.write(f"{name}.yaml", job(name, "true"))
    place.serve()
    assert place.run("run", "one", "--wait").returncode == 0
    (place.root / "jobs.d/one.yaml").unlink()
    until(lambda: place.rows("SELECT gone FROM targets WHERE job = 'one'") == [(1,)])
    assert place.json("status")["rejectedFiles"] == []
    assert place.run("plan", "--detailed-exitcode").returncode == 0


def test_the_annotation_on_the_installation_approves_what_it_names(place: Installation) -> None:
    place.write("installation.yaml", installation())
    for name in ("one", "two", "three"):
        place.write(f"{name}.yaml", job(name, "true"))
    place.serve()
    for name in ("one", "two", "three"):
        (place.root / f"jobs.d/{name}.yaml").unlink()
    prune: dict[str, Any] = until(lambda: place.json("status")["source"]["prune"])
    place.write("installation.yaml", installation(approve="0" * 16))
    place.write("other.yaml", job("other", "true"))
    until(lambda: place.rows("SELECT 1 FROM targets WHERE job = 'other'"))
    assert place.rows("SELECT count(*) FROM targets WHERE gone = 1") == [(0,)]
    digest = place.json("status")["source"]["prune"]["digest"]
    place.write("installation.yaml", installation(approve=digest))
    until(lambda: place.rows("SELECT count(*) FROM targets WHERE gone = 1") == [(3,)])
    assert not place.json("status")["source"]["prune"]
    assert prune["targets"] == ["one", "three", "two"]


def test_a_sentinel_that_disappears_stops_everything_but_running_work(place: Installation) -> None:
    place.write("installation.yaml", installation())
    place.write("slow.yaml", job("slow", "sleep 1"))
    place.write("b.yaml", job("b", "true"))
    place.serve()
    place.run("run", "slow")
    place.wait_runs("slow", "running")
    (place.root / "jobs.d/installation.yaml").unlink()
    (place.root / "jobs.d/b.yaml").unlink()
    place.write("new.yaml", job("new", "true"))
    until(lambda: place.json("status")["source"]["refused"])
    place.wait_runs("slow", "success")
    assert place.rows("SELECT job FROM targets WHERE gone = 0 ORDER BY job") == [("b",), ("slow",)]
    assert place.run("apply").returncode == BLOCKED


def test_a_renamed_job_keeps_its_history_in_one_commit(place: Installation) -> None:
    place.write("old.yaml", job("old", "echo words"))
    place.write("other.yaml", job("other", "true"))
    place.serve()
    assert place.run("run", "old", "--wait").returncode == 0
    renamed = json.loads(job("new", "echo words"))
    renamed["metadata"]["annotations"] = {"reconciler/renamed-from": "old"}
    place.write("old.yaml", json.dumps(renamed))
    until(lambda: place.rows("SELECT 1 FROM targets WHERE job = 'new' AND gone = 0"))
    assert len(place.json("history", "new")["items"]) == 1
    (item,) = place.json("get", "jobs", "--contains", "new")["items"]
    assert item["lastRun"]["state"] == "success"
    assert "words" in place.run("logs", "new").stdout
    assert place.run("run", "new", "--wait").returncode == 0
    assert len(place.json("history", "new")["items"]) == 2


@pytest.mark.parametrize("form", ["scope", "planning"])
def test_what_replaces_or_starts_targets_waits_and_says_why(place: Installation, form: str) -> None:
    place.write("d.yaml", document("Domain", "acme.example"))
    for name in ("p", "q", "r"):
        place.write(f"{name}.yaml", job(name, "true"))
    scheduled = {"mode": "scheduled", "schedule": {"cron": "0 2 * * *"}}
    place.write("a.yaml", job("a", "true", planning=scheduled))
    place.write("plan-a.yaml", document("Planning", "a", mode="disabled"))
    place.serve()
    if form == "scope":
        place.write("a.yaml", job("a", "true", planning=scheduled, scope="domain"))
    else:
        (place.root / "jobs.d/plan-a.yaml").unlink()
    prune = until(lambda: place.json("status")["source"]["prune"])
    assert ("scope" if form == "scope" else "would start") in prune["reason"]
    assert ("scope" if form == "scope" else "without Planning a") in place.run("plan").stdout
    assert place.rows("SELECT mode FROM targets WHERE job = 'a' AND gone = 0") == [("disabled",)]
    assert place.run("apply", "--approve", prune["digest"]).returncode == 0
    wanted = [("acme.example", "disabled")] if form == "scope" else [("", "scheduled")]
    assert place.rows("SELECT domain, mode FROM targets WHERE job = 'a' AND gone = 0") == wanted


def test_a_clone_on_another_machine_refuses_to_run_anything(place: Installation) -> None:
    place.write("a.yaml", job("a", f"touch {place.ledger}"))
    place.write("i.yaml", document("Installation", "installation", hosts=["elsewhere.example"]))
    daemon = place.serve(ready=False)
    assert daemon.process.wait(30) == BLOCKED
    done = place.run("apply")
    assert (done.returncode, "elsewhere.example" in done.stderr) == (BLOCKED, True)
    assert place.run("apply", "--host", "elsewhere.example").returncode == 0
    place.serve("--host", "elsewhere.example")
    assert place.run("run", "a", "--wait").returncode == 0
    # And a daemon that runs stops deciding when the installation moves to another machine.
    place.write("i.yaml", document("Installation", "installation", hosts=["third.example"]))
    assert place.daemons[-1].process.wait(30) == BLOCKED


# From the command line to the remote and back.


@pytest.mark.needs("git")
def test_what_a_verb_commits_is_pushed_fetched_and_in_force(repository: Installation, tmp_path: Path) -> None:
    place = repository
    git(place, "clone", "-q", "--bare", ".", str(tmp_path / "remote"))
    git(place, "remote", "add", "origin", str(tmp_path / "remote"))
    place.serve("--ref", "refs/heads/main", "--remote", "origin", "--interval", "1s")
    assert "--commit" in place.run("schedule", "one", "--cron", "0 2 * * *").stderr
    done = place.run("schedule", "one", "--cron", "0 3 * * *", "--commit")
    assert done.returncode == 0, done.stderr
    head = git(place, "rev-parse", "HEAD")
    assert place.run("status", "--wait-revision", head, "--timeout", "20s").returncode == 0
    assert place.json("get", "jobs", "--contains", "one")["items"][0]["planning"]["text"] == "0 3 * * *"
    assert "--commit" in place.run("run", "two", "--wait").stderr
    done = place.run("run", "two", "--wait", "--commit", "--timeout", "30s")
    assert done.returncode == 0, done.stderr
    assert "run: two" in git(place, "log", "-1", "--format=%s", "origin/main")


@pytest.mark.needs("git")
def test_a_force_push_waits_until_it_is_approved(repository: Installation, tmp_path: Path) -> None:
    place = repository
    git(place, "clone", "-q", "--bare", ".", str(tmp_path / "remote"))
    git(place, "remote", "add", "origin", str(tmp_path / "remote"))
    place.write("four.yaml", job("four", "true"))
    commit(place)
    git(place, "push", "-q", "origin", "main")
    options = ("--ref", "refs/heads/main", "--remote", "origin", "--interval", "1s")
    place.serve(*options)
    git(place, "reset", "-q", "--hard", "HEAD~1")
    place.write("five.yaml", job("five", "true"))
    head = commit(place)
    git(place, "push", "-q", "--force", "origin", "main")
    held = until(lambda: place.json("status")["source"]["held"])
    assert "does not contain it" in held["message"]
    assert place.run("status", "--wait-revision", head, "--timeout", "5s").returncode == BLOCKED
    assert not place.rows("SELECT 1 FROM targets WHERE job = 'five'")
    done = place.run("apply", *options, "--approve", held["approval"])
    assert done.returncode == 0, done
    assert place.rows("SELECT job FROM targets WHERE gone = 0 AND job IN ('four', 'five')") == [("five",)]

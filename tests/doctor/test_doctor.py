"""`reconcile doctor` finds what is wrong with an installation and says what to do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.installation import Installation, document, job, until

pytestmark = pytest.mark.full


def examined(place: Installation, *words: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit code, and findings by check."""
    done = place.run("doctor", "--secrets", str(place.root / "secrets"), "-o", "json", *words)
    found: dict[str, list[dict[str, Any]]] = {}
    for item in json.loads(done.stdout)["items"]:
        found.setdefault(item["check"], []).append(item)
    return done.returncode, found


def worst(findings: list[dict[str, Any]]) -> dict[str, Any]:
    return max(findings, key=lambda each: ("ok", "info", "warning", "error").index(each["severity"]))


def test_a_sound_installation_has_no_error_and_every_part_was_looked_at(place: Installation):
    place.write("a.yaml", job("a", "true"))
    place.serve()
    assert place.run("run", "a", "--wait").returncode == 0
    code, found = examined(place)
    assert code == 0
    looked_at = {
        "state",
        "permissions",
        "disk",
        "daemon",
        "clock",
        "time zones",
        "cgroups",
        "file watches",
        "orphans",
    }
    assert looked_at <= set(found)
    for check in ("state", "permissions", "daemon", "orphans", "run directories"):
        assert worst(found[check])["severity"] == "ok", found[check]
    said = place.run("doctor")
    assert "a daemon is running" in said.stdout


def test_a_group_that_is_let_in_to_the_socket_is_no_finding(place: Installation):
    place.write("a.yaml", job("a", "true", report={"webhooks": ["pager"]}))
    place.run("apply")
    place.state.chmod(0o710)
    _, found = examined(place)
    assert worst(found["permissions"])["severity"] == "ok"
    assert "no secret `pager`, needed by reports of Job a" in worst(found["secrets"])["message"]


def test_what_is_not_well_is_said_with_what_to_do(place: Installation):
    place.write("all.yaml", document("Installation", "installation", retention={"total": "900TiB"}))
    place.write("a.yaml", job("a", "true", secrets={"A": "gone", "B": "open"}, user="nobody-knows"))
    place.write("bad.yaml", "kind: [")
    secret = place.root / "secrets" / "open"
    secret.write_text("x")
    secret.chmod(0o644)
    place.serve()
    place.state.chmod(0o755)
    (place.state / "runs/_installation/a/stranger").mkdir(parents=True)
    code, found = examined(place)
    assert code == 1
    assert "chmod 700" in worst(found["permissions"])["help"]
    assert "retention.total" in worst(found["disk"])["message"]
    messages = [each["message"] for each in found["secrets"]]
    assert any("no secret `gone`" in message and "needed by a" in message for message in messages)
    assert any("`open` can be read by everybody" in message for message in messages)
    assert "no user `nobody-knows`" in worst(found["users"])["message"]
    assert "cannot run" in worst(found["targets"])["message"]
    assert "1 files are rejected" in worst(found["source"])["message"]
    assert "a/stranger" in worst(found["run directories"])["message"]
    assert all(each["help"] for findings in found.values() for each in findings if each["severity"] != "ok")


def test_processes_that_outlived_their_run_are_named(place: Installation):
    place.write("a.yaml", job("a", "true"))
    place.serve()
    assert place.run("run", "a", "--wait").returncode == 0
    (run,) = place.runs("a")
    marks = {"RECONCILE_JOB": "a", "RECONCILE_RUN": run["run"], "RECONCILE_ATTEMPT": "1",
             "RECONCILE_STATE_DIR": str(place.state)}  # fmt: skip
    stray = subprocess.Popen(["sleep", "60"], env={**os.environ, **marks})
    try:
        _, found = examined(place)
        assert str(stray.pid) in worst(found["orphans"])["message"]
        assert f"kill {stray.pid}" in worst(found["orphans"])["help"]
    finally:
        stray.kill()
        stray.wait()


def test_a_state_that_is_damaged_or_strange_is_told_without_touching_it(place: Installation):
    place.write("a.yaml", job("a", "true"))
    daemon = place.serve()
    daemon.terminate()
    assert worst(examined(place)[1]["daemon"])["severity"] == "warning"
    database = place.state / "state.db"
    whole = database.read_bytes()
    for broken in (b"not a database at all" * 100, whole[:4096] + b"\xff" * 8192 + whole[12288:]):
        database.write_bytes(broken)
        code, found = examined(place)
        assert code == 1
        assert worst(found["state"])["severity"] == "error"
        assert "--rebuild" in worst(found["state"])["help"]
        assert database.read_bytes() == broken
    database.unlink()
    code, found = examined(place)
    assert (code, worst(found["state"])["severity"]) == (1, "error")


@contextmanager
def mail_server(*greetings: bytes) -> Iterator[int]:
    """A server that says these lines, one for each line that it gets, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            link, _ = listener.accept()
            with link:
                stream = link.makefile("rwb")
                for greeting in greetings:
                    stream.write(greeting)
                    stream.flush()
                    stream.readline()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def mail_finding(place: Installation, port: int, **more: str) -> dict[str, Any]:
    mail = {"smtp": f"smtp://127.0.0.1:{port}", "from": "a@example.org", **more}
    place.write("all.yaml", document("Installation", "installation", mail=mail))
    place.run("apply")
    return worst(examined(place)[1]["mail"])


def test_the_mail_server_is_asked_whether_it_can_do_what_is_wanted(place: Installation):
    with mail_server(b"220 hello\r\n", b"250 at your service\r\n") as port:
        assert mail_finding(place, port, tls="none")["severity"] == "ok"
    with mail_server(b"220 hello\r\n", b"250 at your service\r\n") as port:
        assert "STARTTLS" in mail_finding(place, port)["message"]
    assert "cannot be reached" in mail_finding(place, port, tls="none")["message"]


def test_a_lost_state_is_rebuilt_from_the_runs_and_nothing_runs_again(place: Installation):
    every_hour = {"mode": "automatic"}
    place.write("ok.yaml", job("ok", "echo fine", automatic={"every": "1h"}, planning=every_hour))
    place.write("bad.yaml", job("bad", "echo ::error::no; exit 3", retry={"attempts": 2, "delay": "1s"}))
    place.write("slow.yaml", job("slow", f"echo $$ >> {place.ledger}; {place.gate()}; exit 9"))
    daemon = place.serve()
    place.wait_runs("ok", "success")
    assert place.run("run", "bad", "--reason", "OPS-1", "--wait").returncode == 10
    place.run("run", "slow")
    place.wait_runs("slow", "running")
    columns = "job, run, state, reason, message, trigger, requester, note, exit_code, attempts, lines, errors, started"
    query = f"SELECT {columns} FROM runs WHERE job != 'slow' ORDER BY run"
    until(lambda: all(path.exists() for path in [
        place.state / "runs/_installation" / name / place.runs(name)[0]["run"] / "run.yaml" for name in ("ok", "bad")
    ]))  # fmt: skip
    before = place.rows(query)
    assert place.run("doctor", "--rebuild").returncode == 5, "not while a daemon writes the state"
    daemon.kill()
    for path in place.state.glob("state.db*"):
        path.unlink()
    done = place.run("doctor", "--rebuild")
    assert done.returncode == 0, done.stderr
    assert "3 runs of 3 targets" in done.stderr
    assert "1 of them still running" in done.stderr
    assert place.rows(query) == before
    place.serve()
    place.open_gate()
    (slow,) = place.wait_runs("slow", "failure")
    assert slow["exit_code"] == 9
    assert len(place.ledger.read_text().split()) == 1
    assert [run["state"] for run in place.runs("ok")] == ["success"], "its interval counts from now"
    assert len(place.runs("bad")) == 1, "a request that was handled is not handled again"
    items = {item["target"]: item for item in place.json("get", "jobs")["items"]}
    assert items["ok"]["lastRun"]["state"] == "success"
    assert items["bad"]["failures"] == 1
    assert "fine" in place.run("logs", "ok").stdout


def test_history_taken_in_later_lies_before_what_happened_since(place: Installation):
    place.write("a.yaml", job("a", "true"))
    daemon = place.serve()
    assert place.run("run", "a", "--wait").returncode == 0
    (old,) = place.runs("a")
    daemon.terminate()
    for path in place.state.glob("state.db*"):
        path.unlink()
    for path in (place.root / "jobs.d" / "run").iterdir():
        path.unlink()
    daemon = place.serve()
    place.write("a.yaml", job("a", "exit 1"))
    assert place.run("run", "a", "--wait").returncode == 10
    daemon.terminate()
    assert place.run("doctor", "--rebuild").returncode == 0
    assert [run["state"] for run in place.runs("a")] == ["success", "failure"]
    item = place.json("get", "jobs")["items"][0]
    assert item["lastRun"]["state"] == "failure"
    assert item["lastSuccess"] is not None
    assert place.json("history", "a")["items"][1]["run"] == old["run"]
    assert "0 runs" in place.run("doctor", "--rebuild").stderr

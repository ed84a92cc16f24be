"""Reports of real runs, sent by a real daemon that is killed, restarted and kept waiting."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.reports.smtpd import Server
from tests.support.installation import Installation, document, job, until

pytestmark = pytest.mark.full

REPORT = {"send": True, "recipients": ["ops@example.org"]}


def written(place: Installation, server: str, **report: Any) -> None:
    mail = {"smtp": server, "tls": "none", "from": "reconciler@example.org"}
    place.write("a.yaml", document("Installation", "installation", mail=mail, report={**REPORT, **report}))
    place.write("bad.yaml", job("bad", "echo hello; echo ::error::it broke; exit 3"))


def letters(place: Installation) -> list[tuple[Any, ...]]:
    return place.rows("SELECT state, tries, error FROM letters ORDER BY id")


def over(place: Installation) -> list[tuple[Any, ...]]:
    return place.rows("SELECT run FROM runs WHERE finished IS NOT NULL")


def test_a_failure_is_in_the_mailbox_a_moment_later_and_success_is_not(
    place: Installation, server: Server
) -> None:
    written(place, server.address)
    place.write("good.yaml", job("good", "echo fine"))
    place.serve()
    assert place.run("run", "good", "--wait").returncode == 0
    assert place.run("run", "bad", "--reason", "OPS-42", "--wait").returncode == 10
    (message,) = until(lambda: server.messages)
    assert message["Subject"] == "✘ failure: bad – exit code 3"
    text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "✘ it broke" in text
    assert "OPS-42" in text
    assert "jobs.d/a.yaml" in text
    until(lambda: letters(place) == [("sent", 1, "")])


@pytest.mark.needs("git")
def test_the_mail_names_who_wrote_the_definition(place: Installation, server: Server) -> None:
    written(place, server.address)
    for words in (
        ("init", "-q"),
        ("add", "jobs.d"),
        ("commit", "-q", "-m", "first", "--author", "Ada <ada@example.org>"),
    ):
        subprocess.run(["git", "-C", str(place.root), *words], check=True)
    place.serve()
    place.run("run", "bad", "--wait")
    (message,) = until(lambda: server.messages)
    text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "by Ada <ada@example.org>" in text


@pytest.mark.parametrize(("where", "copies"), [("letters:after-sending", 2), ("letters:after-settling", 1)])
def test_a_kill_between_sending_and_recording_sends_twice_under_one_name_and_nowhere_else(
    place: Installation, server: Server, where: str, copies: int
) -> None:
    written(place, server.address)
    daemon = place.serve(env={"RECONCILE_FAILPOINT": where})
    place.run("run", "bad")
    until(lambda: daemon.process.poll() is not None, "the daemon is killed")
    assert len(server.accepted) == 1
    place.serve()
    until(lambda: [state for state, *_ in letters(place)] == ["sent"])
    assert len(server.accepted) == copies
    assert len({message["Message-ID"] for message in server.messages}) == 1


@pytest.mark.full
@pytest.mark.parametrize("where", ["store:before-commit", "store:after-commit", "engine:after-events"])
def test_a_kill_at_any_commit_loses_no_report(place: Installation, server: Server, where: str) -> None:
    written(place, server.address)
    place.serve().terminate()
    codes = []
    for number in range(1, 9):
        daemon = place.serve(env={"RECONCILE_FAILPOINT": f"{where}:at:{number}"}, ready=False)
        until(lambda daemon=daemon: " ready: " in daemon.said or daemon.process.poll() is not None)  # type: ignore[misc]
        if daemon.process.poll() is None:
            before = len(over(place))
            place.run("run", "bad")
            until(
                lambda daemon=daemon, before=before: (  # type: ignore[misc]
                    daemon.process.poll() is not None or len(over(place)) > before
                )
            )
            daemon.process.terminate()
        codes.append(daemon.process.wait(30))
    assert -9 in codes, f"{where} was never passed: {codes}"
    place.serve()
    until(lambda: not place.rows("SELECT 1 FROM runs WHERE state IN ('queued', 'running')"))
    failed = place.rows("SELECT count(*) FROM runs WHERE state = 'failure'")[0][0]
    assert failed > 0
    until(lambda: [state for state, *_ in letters(place)] == ["sent"] * failed)
    assert len({message["Message-ID"] for message in server.messages}) == failed


def test_a_server_that_never_answers_delays_no_run(place: Installation) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        written(place, f"smtp://127.0.0.1:{silent.getsockname()[1]}")
        place.serve()
        place.run("run", "bad", "--wait")
        begun = time.monotonic()
        for number in range(3):
            place.write("more.yaml", job(f"more{number}", "exit 1"))
            until(lambda number=number: place.rows("SELECT 1 FROM targets WHERE job = ?", f"more{number}"))  # type: ignore[misc]
            assert place.run("run", f"more{number}", "--wait").returncode == 10
        assert time.monotonic() - begun < 20
        assert [state for state, *_ in letters(place)] == ["pending"] * 4


def test_what_blocks_reports_is_told_by_status_log_and_metrics_until_it_is_over(
    place: Installation, server: Server
) -> None:
    written(place, server.address)
    server.answers["MAIL"] = "553 sender not allowed"
    daemon = place.serve()
    place.run("run", "bad", "--wait")
    until(lambda: "sender not allowed" in daemon.said)
    assert "sender not allowed" in place.run("status").stdout
    page = until(lambda: "reconciler_reports_blocked 1.0" in (text := daemon.get("/metrics")[1]) and text)
    assert 'reconciler_reports_total{result="failed"} 1.0' in page
    assert 'reconciler_reports_total{result="sent"} 0.0' in page
    assert letters(place)[0][:2] == ("pending", 1)
    server.answers.clear()
    mail = {"smtp": server.address, "tls": "none", "from": "allowed@example.org"}
    place.write("a.yaml", document("Installation", "installation", mail=mail, report=REPORT))
    until(lambda: letters(place)[0][:2] == ("sent", 2), "a corrected `mail` is tried at once")
    assert "Reports" not in place.run("status").stdout
    assert "reports leave again" in daemon.said


def test_once_sends_its_reports_before_it_leaves(place: Installation, server: Server) -> None:
    written(place, server.address)
    for number in range(3):
        place.write(f"{number}.yaml", document("Domain", f"d{number}.example"))
    place.write("bad.yaml", job("bad", "exit 3", scope="domain"))
    place.run("apply")
    assert place.run("run", "-A", "bad").returncode == 0
    done = place.run("serve", "--once")
    assert done.returncode == 10, done.stderr
    (message,) = server.messages
    assert message["Subject"] == "✘ bad: 3 failed, of 3"


def test_an_administrator_of_a_domain_hears_only_of_that_domain(place: Installation, server: Server) -> None:
    mail = {"smtp": server.address, "tls": "none", "from": "reconciler@example.org"}
    place.write("a.yaml", document("Installation", "installation", mail=mail))
    for name in ("acme.example", "globex.example"):
        place.write(f"{name}.yaml", document("Domain", name))
    place.write("bad.yaml", job("bad", "exit 3", scope="domain"))
    report = {"recipients": ["it@acme.example"]}
    place.write("domains/acme.example/bad.yaml", document("Planning", "bad", report=report))
    place.run("apply")
    place.run("run", "-A", "bad")
    place.run("serve", "--once")
    ((recipients, _),) = server.accepted
    assert recipients == ["it@acme.example"]
    text = server.messages[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "acme.example" in text
    assert "globex" not in text
    assert "jobs.d/domains/acme.example/bad.yaml" in text


def test_preview_and_test_show_and_send_without_a_daemon(
    place: Installation, server: Server, tmp_path: Path
) -> None:
    written(place, server.address, send=False)
    place.run("apply")
    place.run("run", "bad")
    place.run("serve", "--once")
    assert server.accepted == []
    shown = place.run("report", "--preview", "bad")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("Subject: ✘ failure: bad – exit code 3\n")
    assert "it broke" in shown.stdout
    place.run("report", "--preview", "bad", "--html", str(tmp_path / "r.html"))
    assert "it broke" in (tmp_path / "r.html").read_text()
    tested = place.run("report", "--test", "me@example.org")
    assert tested.returncode == 0, tested.stderr
    assert server.accepted[0][0] == ["me@example.org"]
    server.answers["RCPT"] = "550 no such user"
    refused = place.run("report", "--test", "me@example.org")
    assert refused.returncode == 1
    assert "no such user" in refused.stderr
    assert place.run("report", "--test", "me").returncode == 64
    assert place.run("report", "--preview", "nothing").returncode == 6


def test_secrets_that_a_run_prints_are_masked_in_its_report(place: Installation, server: Server) -> None:
    written(place, server.address)
    (place.root / "secrets" / "token").write_text("correct horse battery")
    place.write("bad.yaml", job("bad", 'echo "::error::with $TOKEN"; exit 1', secrets={"TOKEN": "token"}))
    place.serve()
    place.run("run", "bad", "--wait")
    (message,) = until(lambda: server.messages)
    assert "::error::with ***" not in message.as_string()
    assert "with ***" in message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert b"battery" not in server.accepted[0][1]


def test_a_webhook_hears_of_a_failure_too(place: Installation, server: Server) -> None:
    written(place, server.address, recipients=[], webhooks=["pager"])
    (place.root / "secrets" / "pager").write_text("http://127.0.0.1:9/nobody")
    daemon = place.serve()
    place.run("run", "bad", "--wait")
    until(lambda: "could not send the report" in daemon.said)
    assert (
        json.loads(place.rows("SELECT value FROM meta WHERE key = 'delivery'")[0][0])["counts"]["failed"] == 1
    )

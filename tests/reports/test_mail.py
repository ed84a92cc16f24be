"""Mail over real connections: TLS, authentication, and a server that dies at each step of the conversation."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.doctoring import jobs as doctoring
from reconciler.core.report import message_id
from reconciler.notifiers import send_all
from reconciler.notifiers.mail import Mailer, server_of
from reconciler.ports.notifier import Outcome, Parcel, Receipt, Setting
from tests.reports.smtpd import PASSWORD, USER, Server, make_certificate, serving

ITEM = {
    "kind": "failure", "state": "failure", "job": "backup", "domain": "acme.example", "target": "backup@acme.example",
    "run": "20261122T020000Z", "reason": "ExitCode", "message": "exit code 3", "exitCode": 3, "at": 1_795_348_800.0,
    "started": 1_795_348_700.0, "finished": 1_795_348_800.0, "usual": 60.0, "trigger": "schedule", "planning": "@daily",
    "slot": 1_795_348_700.0, "attempts": 1, "lines": 2, "errors": 1, "warnings": 0, "path": "jobs.d/a.yaml:3",
    "revision": "a" * 40, "level": "info", "attachLog": 0, "because": "jobs.d/a.yaml:9", "count": 1,
    "tail": "hello\n::error::it broke\n", "nextRun": 1_795_435_200.0,
}  # fmt: skip


def parcel(recipient: str = "ops@example.org", number: int = 1, **item: Any) -> Parcel:
    body = {"style": "run", "zone": "Europe/Paris", "items": [{**ITEM, **item}]}
    return Parcel(
        number, "mail", recipient, message_id("u", recipient, f"run {number}", 0), 1_795_348_800.0, body
    )


def setting(folder: Path, server: Server | None, **mail: Any) -> Setting:
    given = (
        {"smtp": server.address, "tls": "none", "from": "reconciler@example.org", **mail} if server else None
    )
    return Setting(given, folder, "mail1.example.net", "uid")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def secured(
    folder: Path, server: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch, **mail: Any
) -> Setting:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    (folder / "smtp").write_bytes(PASSWORD + b"\n")
    return setting(folder, server, username=USER.decode(), passwordSecret="smtp", **mail)


def outcomes(receipts: list[Receipt]) -> list[Outcome]:
    return [receipt.outcome for receipt in receipts]


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_mail_goes_over_tls_with_a_password_from_the_secrets(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch, tls: str
) -> None:
    with serving(certificate, tls=tls, auth=True) as server:
        how = secured(tmp_path, server, certificate, monkeypatch, tls=tls)
        (receipt,) = send_all([parcel()], how)
        assert receipt.outcome is Outcome.SENT, receipt.message
        (message,) = server.messages
        assert message["Message-ID"] == f"<{parcel().message_id}@example.org>"


@pytest.mark.needs("openssl")
def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(certificate, tls="starttls") as server:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        (receipt,) = send_all([parcel()], setting(tmp_path, server, tls="starttls"))
        assert receipt.outcome is Outcome.UNREACHABLE
        assert "certificate" in receipt.message.lower()
        assert server.accepted == []


@pytest.mark.needs("openssl")
def test_a_wrong_password_is_no_reason_to_give_letters_up(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(certificate, tls="starttls", auth=True) as server:
        how = secured(tmp_path, server, certificate, monkeypatch, tls="starttls")
        (tmp_path / "smtp").write_text("guess")
        receipts = list(send_all([parcel(number=1), parcel(number=2)], how))
        assert outcomes(receipts) == [Outcome.UNREACHABLE] * 2
        assert "535" in receipts[0].message
        assert server.connections == 2, "one, and once more as it turned to TLS"


def test_a_server_without_starttls_gets_nothing_in_clear_text(tmp_path: Path) -> None:
    with serving() as server:
        (receipt,) = send_all([parcel()], setting(tmp_path, server, tls="starttls"))
        assert receipt.outcome is Outcome.UNREACHABLE
        assert "STARTTLS" in receipt.message
        assert server.accepted == []


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BODY"])
def test_a_server_that_dies_at_any_step_costs_no_letter(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with serving(certificate, tls="starttls", auth=True) as server:
        how = secured(tmp_path, server, certificate, monkeypatch, tls="starttls")
        server.dies_at = step
        (receipt,) = send_all([parcel()], how)
        assert receipt.outcome in (Outcome.UNREACHABLE, Outcome.LATER)
        assert receipt.message
        server.dies_at = ""
        assert outcomes(list(send_all([parcel()], how))) == [Outcome.SENT]
        names = {message["Message-ID"] for message in server.messages}
        assert len(names) == 1
        # Only where the server had taken it and could not say so is it there twice.
        assert len(server.accepted) == (2 if step == "BODY" else 1)


@pytest.mark.parametrize(
    ("verb", "answer", "expected"),
    [
        ("RCPT", "550 no such user", Outcome.REFUSED),
        ("RCPT", "450 greylisted", Outcome.LATER),
        ("DATA", "554 looks like spam", Outcome.REFUSED),
        ("DATA", "452 disk full", Outcome.LATER),
        ("MAIL", "553 sender not allowed", Outcome.UNREACHABLE),
    ],
)
def test_each_refusal_means_what_it_says(tmp_path: Path, verb: str, answer: str, expected: Outcome) -> None:
    with serving() as server:
        server.answers[verb] = answer
        (receipt,) = send_all([parcel()], setting(tmp_path, server))
        assert receipt.outcome is expected
        assert answer[4:] in receipt.message


def test_one_refused_letter_does_not_stop_the_others_on_the_same_connection(tmp_path: Path) -> None:
    with serving() as server:
        how = setting(tmp_path, server)
        server.answers["RCPT"] = "550 gone"
        mailer = Mailer(how)
        found = []
        for receipt in mailer.send([parcel(number=number) for number in range(3)]):
            found.append(receipt.outcome)
            server.answers.clear()
        assert found == [Outcome.REFUSED, Outcome.SENT, Outcome.SENT]
        assert server.connections == 1


def test_nobody_there_is_said_with_the_address_and_not_tried_for_every_letter(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mail = {"smtp": f"smtp://127.0.0.1:{port}", "tls": "none", "from": "a@example.org"}
    receipts = list(send_all([parcel(number=n) for n in range(5)], Setting(mail, tmp_path, "h")))
    assert outcomes(receipts) == [Outcome.UNREACHABLE] * 5
    assert f"127.0.0.1:{port}" in receipts[0].message


def test_without_a_mail_server_letters_wait_and_say_what_is_missing(tmp_path: Path) -> None:
    (receipt,) = send_all([parcel()], setting(tmp_path, None))
    assert receipt.outcome is Outcome.UNREACHABLE
    assert "`mail`" in receipt.message


def test_the_message_says_it_is_automatic_and_hangs_on_its_target(tmp_path: Path) -> None:
    with serving() as server:
        how = setting(tmp_path, server)
        list(send_all([parcel(number=1), parcel(number=2)], how))
        first, second = server.messages
        assert first["Subject"] == "✘ failure: backup@acme.example – exit code 3"
        assert first["Auto-Submitted"] == "auto-generated"
        assert first["Date"].datetime.timestamp() == 1_795_348_800
        assert first["References"] == first["In-Reply-To"] == second["References"]
        assert first["Message-ID"] != second["Message-ID"]
        assert [part.get_content_type() for part in first.walk()] == [
            "multipart/alternative", "text/plain", "text/html",
        ]  # fmt: skip


def test_the_log_is_attached_as_many_lines_as_asked_for(tmp_path: Path) -> None:
    with serving() as server:
        tail = "".join(f"line {number}\n" for number in range(500))
        list(send_all([parcel(attachLog=100, tail=tail)], setting(tmp_path, server)))
        (attached,) = server.messages[0].iter_attachments()
        assert attached.get_filename() == "backup@acme.example-20261122T020000Z.log"
        assert attached.get_content().splitlines()[0] == "line 400"


@pytest.mark.parametrize(
    "evil",
    [
        "x\r\nBcc: all@example.org",
        "x\nSubject: other",
        "x\r\n\r\n<html>",
        "x\x00y",
        "a" * 5000,
        "\udcff\ud800",
        "=?utf-8?q?x?=",
    ],
)
def test_nothing_that_a_run_says_reaches_the_headers_as_more_than_text(tmp_path: Path, evil: str) -> None:
    with serving() as server:
        item = {
            "message": evil,
            "requester": evil,
            "note": evil,
            "trigger": "request",
            "description": evil,
            "cause": evil,
        }
        (receipt,) = send_all([parcel(**item)], setting(tmp_path, server))
        assert receipt.outcome is Outcome.SENT
        (message,) = server.messages
        assert message["Bcc"] is None
        assert len(message.get_all("Subject")) == 1
        assert len(message["Subject"]) < 200
        assert server.accepted[0][0] == ["ops@example.org"]
        head = server.accepted[0][1].split(b"\r\n\r\n")[0]
        assert {line.split(b":")[0] for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))} == {
            b"From", b"To", b"Subject", b"Date", b"Message-ID", b"In-Reply-To", b"References", b"Auto-Submitted",
            b"X-Auto-Response-Suppress", b"MIME-Version", b"Content-Type",
        }  # fmt: skip


def test_a_domain_in_another_script_goes_as_punycode_without_asking_for_anything(tmp_path: Path) -> None:
    with serving() as server:
        list(send_all([parcel("ops@bücher.example")], setting(tmp_path, server)))
        assert server.accepted[0][0] == ["ops@xn--bcher-kva.example"]
        assert server.options == []


def test_a_name_in_another_script_asks_for_smtputf8(tmp_path: Path) -> None:
    with serving() as server:
        (receipt,) = send_all([parcel("jürgen@bücher.example")], setting(tmp_path, server))
        assert receipt.outcome is Outcome.SENT
        assert "SMTPUTF8" in server.options
        assert server.accepted[0][0] == ["jürgen@xn--bcher-kva.example"]
        assert "jürgen@" in server.messages[0]["To"]


@pytest.mark.parametrize(
    ("mail", "server"),
    [
        ({"smtp": "smtp://mx.example.org"}, ("mx.example.org", 587, "starttls")),
        ({"smtp": "smtp://mx.example.org", "tls": "none"}, ("mx.example.org", 25, "none")),
        ({"smtp": "smtps://mx.example.org", "tls": "starttls"}, ("mx.example.org", 465, "tls")),
        ({"smtp": "smtp://:2525", "tls": "tls"}, ("localhost", 2525, "tls")),
    ],
)
def test_the_server_and_its_usual_port_follow_from_the_installation(
    mail: dict[str, str], server: tuple[str, int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server_of(mail) == server
    asked: list[tuple[str, int]] = []

    def refuse(host: str, port: int, **_: object) -> None:
        asked.append((host, port))
        raise ConnectionRefusedError

    monkeypatch.setattr("smtplib.SMTP", refuse)
    monkeypatch.setattr("smtplib.SMTP_SSL", refuse)
    doctoring._mail(mail)
    assert asked == [server[:2]], "`reconcile doctor` asks the same server"

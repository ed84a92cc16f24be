"""Webhooks and services: signed events to a real HTTP server, and what each answer means."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from reconciler.notifiers import found, send_all
from reconciler.ports.notifier import Outcome, Parcel, Setting
from tests.reports.test_mail import ITEM


class Receiver(ThreadingHTTPServer):
    status = 204

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook?x=1"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def parcel(name: str = "pager", number: int = 1) -> Parcel:
    return Parcel(number, "webhook", name, "ab" * 20, 1_795_348_800.0, {"style": "run", "items": [ITEM]})


def setting(folder: Path) -> Setting:
    return Setting(None, folder, "mail1.example.net", "uid1")


def test_an_event_is_signed_and_says_what_happened(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "pager").write_text(f"{receiver.address}\nthe key\n")
    (receipt,) = send_all([parcel()], setting(tmp_path))
    assert receipt.outcome is Outcome.SENT
    ((path, headers, body),) = receiver.got
    assert path == "/hook?x=1"
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    assert (
        headers["X-Reconciler-Signature"]
        == "sha256=" + hmac.new(b"the key", body, hashlib.sha256).hexdigest()
    )
    event = json.loads(body)
    assert {key: event[key] for key in ("specversion", "id", "source", "type", "subject", "time")} == {
        "specversion": "1.0", "id": "ab" * 20, "source": "urn:reconciler:uid1", "type": "reconciler.report.failure",
        "subject": "backup@acme.example", "time": "2026-11-22T12:00:00+00:00",
    }  # fmt: skip
    (outcome,) = event["data"]["outcomes"]
    assert (outcome["target"], outcome["exitCode"]) == ("backup@acme.example", 3)
    assert "tail" not in outcome


def test_blank_lines_of_the_secret_do_not_make_the_address_the_key(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "pager").write_text(f"\n  {receiver.address}\r\n\r\nthe key\r\n")
    (receipt,) = send_all([parcel()], setting(tmp_path))
    assert receipt.outcome is Outcome.SENT
    ((_, headers, body),) = receiver.got
    signature = hmac.new(b"the key", body, hashlib.sha256).hexdigest()
    assert headers["X-Reconciler-Signature"] == f"sha256={signature}"


def test_without_a_key_nothing_is_signed(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "pager").write_text(receiver.address)
    assert [receipt.outcome for receipt in send_all([parcel()], setting(tmp_path))] == [Outcome.SENT]
    assert "X-Reconciler-Signature" not in receiver.got[0][1]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(500, Outcome.LATER), (429, Outcome.LATER), (404, Outcome.REFUSED), (302, Outcome.REFUSED)],
)
def test_each_answer_means_what_it_says(
    tmp_path: Path, receiver: Receiver, status: int, expected: Outcome
) -> None:
    (tmp_path / "pager").write_text(receiver.address)
    receiver.status = status
    (receipt,) = send_all([parcel()], setting(tmp_path))
    assert receipt.outcome is expected
    assert str(status) in receipt.message
    assert "hook" not in receipt.message, "the path of an address may be its password"
    assert len(receiver.got) == 1


def test_one_dead_webhook_does_not_keep_another_from_being_told(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "dead").write_text("http://127.0.0.1:9/x")
    (tmp_path / "pager").write_text(receiver.address)
    outcomes = {
        r.parcel: r.outcome for r in send_all([parcel("dead", 1), parcel("pager", 2)], setting(tmp_path))
    }
    assert outcomes == {1: Outcome.LATER, 2: Outcome.SENT}


def test_a_missing_secret_is_said_and_may_still_come(tmp_path: Path) -> None:
    (receipt,) = send_all([parcel()], setting(tmp_path))
    assert receipt.outcome is Outcome.LATER
    assert "`pager`" in receipt.message


@pytest.mark.parametrize("address", ["", "not an address", "\n\n"])
def test_a_secret_that_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    (tmp_path / "pager").write_text(address)
    (receipt,) = send_all([parcel()], setting(tmp_path))
    assert receipt.outcome is Outcome.REFUSED


def test_services_need_apprise_and_say_so(tmp_path: Path) -> None:
    (tmp_path / "pager").write_text("slack://TokenA/TokenB/TokenC/#ops")
    if find_spec("apprise") is not None:
        pytest.skip("Apprise is installed")
    (receipt,) = send_all([parcel()], setting(tmp_path))
    assert receipt.outcome is Outcome.LATER
    assert "reconciler[apprise]" in receipt.message


def test_the_folder_is_the_list_of_notifiers() -> None:
    assert set(found()) == {"mailto", "http", "https", "*"}

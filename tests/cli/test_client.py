"""What goes through the control socket, for those who may not read the state themselves."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.acting import daemon_answers
from reconciler.cli.client import ask
from reconciler.cli.exits import Exit, Failure
from reconciler.core.access import Viewer
from reconciler.daemon.http import Doors, serve_control
from reconciler.daemon.sync import SyncDoor

ALICE = Viewer("alice", "domain", ("acme.example",))


@pytest.fixture(params=["short", "very-long-" * 12])
def served(repository: Path, state: sqlite3.Connection, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The state behind a real control socket, where everybody is alice; also below a path that no address holds."""
    folder = repository / request.param
    (repository / ".reconcile").rename(folder)
    doors = Doors(
        database=folder / "state.db",
        command=lambda name, payload, who: {"name": name, "who": who.name},
        viewer=lambda uid: ALICE,
        impersonate=lambda who, name: who,
        metrics=lambda: b"",
        ready=lambda: "",
        sync=SyncDoor(folder, lambda: None),
    )
    server = serve_control(folder, doors)
    yield folder
    server.close()


def test_a_view_is_answered_for_whoever_asks(served: Path) -> None:
    assert daemon_answers(str(served))
    items = ask(str(served), "/v1/jobs", {"contains": "imp ört"})["items"]
    assert items == []
    items = ask(str(served), "/v1/jobs", {})["items"]
    assert [item["target"] for item in items] == ["import@acme.example"]


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/v1/log", {"name": "backup"}, Exit.NOT_FOUND),
        ("/v1/jobs", {"status": "odd"}, Exit.USAGE),
        ("/v1/nosuch", {}, Exit.NOT_FOUND),
    ],
)
def test_a_refusal_has_its_exit_code(served: Path, path: str, query: dict[str, str], code: Exit) -> None:
    with pytest.raises(Failure) as failure:
        ask(str(served), path, query)
    assert failure.value.exit_code == code


def test_without_a_daemon_it_says_so(tmp_path: Path) -> None:
    assert not daemon_answers(str(tmp_path))
    with pytest.raises(Failure) as failure:
        ask(str(tmp_path), "/v1/jobs", {})
    assert failure.value.exit_code == Exit.NO_DAEMON
    assert "reconcile serve" in failure.value.hint


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\n\r\nnot json", b"HTTP/1.1 500 Oops\r\n\r\n{}"]
)
def test_an_answer_that_makes_no_sense_is_a_short_error(tmp_path: Path, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "control.sock"))
        door.listen()

        def serve() -> None:
            link, _ = door.accept()
            with link:
                link.recv(4096)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Failure) as failure:
            ask(str(tmp_path), "/v1/jobs", {})
        thread.join()
    assert failure.value.exit_code in (Exit.INTERNAL, Exit.FAILED)


def test_an_answer_in_chunks_is_put_together(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "control.sock"))
        door.listen()

        def serve() -> None:
            link, _ = door.accept()
            with link:
                link.recv(4096)
                link.sendall(head + b'4\r\n{"it\r\n8\r\nems":[]}\r\n0\r\n\r\n')

        thread = threading.Thread(target=serve)
        thread.start()
        assert ask(str(tmp_path), "/v1/jobs", {}) == {"items": []}
        thread.join()

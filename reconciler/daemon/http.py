"""The daemon's two doors: TCP (health, readiness, metrics) and the control socket (views and commands).

Threads answer; whatever changes state is put into the inbox and carried out by the thread that decides.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from reconciler.core.access import Viewer
from reconciler.daemon.sync import MAX_BODY as SYNC_BODY
from reconciler.daemon.sync import SyncDoor
from reconciler.ports.database import opened
from reconciler.views import BadQuery, UnknownName, look

MAX_BODY = 1 << 20
READ_TIMEOUT_SECONDS = 30


class CommandError(Exception):
    """A command that was not carried out. `status` is the HTTP status that carries its meaning."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status, self.hint = status, hint


@dataclass(frozen=True, slots=True)
class Doors:
    """What the servers answer with."""

    database: Path
    command: Callable[[str, Mapping[str, Any], Viewer], Mapping[str, Any]]
    viewer: Callable[[int], Viewer | None]
    """Who a user id is; None: forbidden."""
    impersonate: Callable[[Viewer, str], Viewer]
    metrics: Callable[[], bytes]
    sync: SyncDoor
    ready: Callable[[], str]
    """Empty when ready, else what is missing."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = READ_TIMEOUT_SECONDS
    server_version = "reconcile"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        doors = self.server.doors
        if url.path == "/-/healthy":
            # Who answers lives: a daemon that cannot decide any more crashes.
            self._plain("", "healthy")
        elif url.path == "/-/ready":
            self._plain(doors.ready(), "ready")
        elif url.path == "/metrics":
            self._send(200, doors.metrics(), "text/plain; version=0.0.4; charset=utf-8")
        elif self.server.control and url.path.startswith("/v1/"):
            self._guarded(lambda: self._view(url.path[4:], dict(parse_qsl(url.query))))
        else:
            self._json(404, {"error": f"there is nothing at {url.path}"})

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        if self.server.control and url.path.startswith("/v1/"):
            self._guarded(lambda: self._command(url.path[4:]))
        elif url.path == "/-/sync":
            self._guarded(self._sync)
        else:
            self._json(404, {"error": f"there is nothing at {url.path}"})

    def _plain(self, problem: str, fine: str) -> None:
        self._send(503 if problem else 200, (problem or fine).encode() + b"\n", "text/plain; charset=utf-8")

    def _guarded(self, answer: Callable[[], Mapping[str, Any]]) -> None:
        try:
            self._json(200, answer())
        except UnknownName as error:
            self._json(404, {"error": str(error), "hint": error.hint})
        except BadQuery as error:
            self._json(400, {"error": str(error)})
        except CommandError as error:
            self._json(error.status, {"error": str(error), "hint": error.hint})

    def _who(self, impersonated: str) -> Viewer:
        raw = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", raw)
        viewer = self.server.doors.viewer(uid)
        if viewer is None:
            raise CommandError(403, "you are no Administrator here", "an Administrator lists `unix:<you>`")
        return self.server.doors.impersonate(viewer, impersonated) if impersonated else viewer

    def _view(self, name: str, query: dict[str, str]) -> Mapping[str, Any]:
        who = self._who(query.pop("as", ""))
        with opened(self.server.doors.database) as db:
            return look(name, db, who, query)

    def _body(self, most: int) -> bytes:
        text = self.headers.get("Content-Length") or "0"
        length = int(text) if text.isdigit() else -1
        if not 0 <= length <= most:
            # What was sent is not read, so nothing more can be understood on this connection.
            self.close_connection = True
            raise CommandError(413, f"a body says its length, and has at most {most} bytes")
        return self.rfile.read(length)

    def _sync(self) -> Mapping[str, Any]:
        status, said = self.server.doors.sync.answer(dict(self.headers), self._body(SYNC_BODY))
        if status >= 400:
            raise CommandError(status, said)
        return {"message": said}

    def _command(self, name: str) -> Mapping[str, Any]:
        try:
            payload = json.loads(self._body(MAX_BODY) or b"{}")
        except ValueError as error:
            raise CommandError(400, f"the body is not JSON: {error}") from error
        if not isinstance(payload, dict):
            raise CommandError(400, "the body is not a JSON object")
        who = self._who(str(payload.pop("as", "") or ""))
        return self.server.doors.command(name, payload, who)

    def _json(self, status: int, body: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(body, ensure_ascii=False).encode(), "application/json; charset=utf-8")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are no events of ours."""


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64
    doors: Doors
    control = False

    def accept_all(self) -> None:
        """Answer until closed. `serve_forever` would wake up all the time, or be slow to end."""
        while True:
            try:
                request, address = self.get_request()
            except OSError:
                return
            self.process_request(request, address)

    def close(self) -> None:
        """Accept no more; requests under way end with their threads."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""


class _ControlServer(_Server):
    address_family = socket.AF_UNIX
    control = True


def serve_tcp(listen: str, doors: Doors) -> tuple[_Server, str]:
    """Listen on `host:port` (port 0: any) in a thread; return the server and the address it has."""
    host, _, port = listen.rpartition(":")
    server = _Server((host.strip("[]") or "127.0.0.1", int(port)), _Handler)
    server.doors = doors
    _start(server, "metrics")
    name, number = server.server_address[:2]
    return server, f"{name!s}:{number}"


def serve_control(state: Path, doors: Doors) -> _Server:
    """Listen on `<state>/control.sock` (0660) in a thread. The caller holds the state's lock, so a leftover goes.

    Its group is that of the state directory: `chgrp` and `chmod 0710` on the directory let a group come in.
    """
    path = state / "control.sock"
    path.unlink(missing_ok=True)
    # A long state path does not fit into sun_path (108 bytes): bind by a short name through the open folder.
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        address = str(path) if len(str(path)) < 100 else f"/proc/self/fd/{folder}/control.sock"
        server = _ControlServer(address, _Handler)  # type: ignore[arg-type]
    finally:
        os.close(folder)
    os.chmod(path, 0o660)
    os.chown(path, -1, state.stat().st_gid)
    server.doors = doors
    _start(server, "control")
    return server


def _start(server: _Server, name: str) -> None:
    threading.Thread(target=server.accept_all, name=name, daemon=True).start()

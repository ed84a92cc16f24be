"""Ask the daemon over its control socket: HTTP/1.1 with JSON, by hand: `http.client` takes 30 ms to import."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from reconciler.cli.exits import Exit, Failure
from reconciler.ports.control import SOCKET, connected

EXITS = {
    400: Exit.USAGE,
    401: Exit.FORBIDDEN,
    403: Exit.FORBIDDEN,
    404: Exit.NOT_FOUND,
    409: Exit.STALE,
    423: Exit.BLOCKED,
    503: Exit.NO_DAEMON,
}


def ask(state: str, path: str, query: Mapping[str, str], timeout_seconds: float = 30.0) -> dict[str, Any]:
    """GET a view. Raise Failure with the exit code of the answer."""
    from urllib.parse import urlencode

    words = urlencode({key: value for key, value in query.items() if value})
    head = f"GET {path}?{words} HTTP/1.1\r\nHost: reconcile\r\nConnection: close\r\n\r\n"
    status, body = _exchange(state, head.encode("ascii"), timeout_seconds)
    try:
        answer: dict[str, Any] = json.loads(body)
    except ValueError:
        raise Failure(Exit.INTERNAL, f"the daemon answered {status} without JSON") from None
    if status != 200:
        message = str(answer.get("error") or f"the daemon answered {status}")
        raise Failure(EXITS.get(status, Exit.FAILED), message, str(answer.get("hint") or ""))
    return answer


def _exchange(state: str, request: bytes, timeout_seconds: float) -> tuple[int, bytes]:
    path = os.path.join(state, SOCKET)
    parts = []
    try:
        with connected(state, timeout_seconds) as link:
            link.sendall(request)
            while part := link.recv(1 << 16):
                parts.append(part)
    except PermissionError:
        hint = "ask for an Administrator with `unix:<you>`"
        raise Failure(Exit.FORBIDDEN, f"{path} may not be used by you", hint) from None
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise Failure(
            Exit.NO_DAEMON, f"no daemon answers on {path}", "start one with `reconcile serve`"
        ) from None
    except TimeoutError:
        raise Failure(Exit.TIMEOUT, f"the daemon did not answer within {timeout_seconds:g} s") from None
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    words = lines[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise Failure(Exit.INTERNAL, f"{path} does not speak HTTP")
    if any(line.lower().replace(b" ", b"") == b"transfer-encoding:chunked" for line in lines):
        body = _joined(body)
    return int(words[1]), body


def _joined(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if length == 0:
            break
        parts.append(body[:length])
        body = body[length + 2 :]
    return b"".join(parts)

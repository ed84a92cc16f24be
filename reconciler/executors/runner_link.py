"""The connection to a runner: find the living ones, start one, exchange messages without waiting."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

_INHERITED = 3
_READ_BYTES = 1 << 16
"""More than this malloc(3) maps and unmaps anew each time."""
_RUNNER = Path(__file__).resolve().parent.parent / "runner"


class RunnerLink:
    """One runner. `synced`: it has said all that it holds; `draining`: it takes no new runs."""

    def __init__(self, end: socket.socket, draining: bool, child: int | None = None) -> None:
        end.setblocking(False)
        self._end, self.child = end, child
        self._incoming, self._outgoing = b"", bytearray()
        self.draining = draining
        self.greeted = self.synced = False

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: list[Any]) -> None:
        """Put a message behind those that wait; `flush` sends them all at once."""
        self._outgoing += json.dumps(message).encode() + b"\n"

    def flush(self) -> None:
        """Send what the socket takes. A runner that has gone is noticed by `receive`."""
        with contextlib.suppress(OSError):
            while self._outgoing:
                del self._outgoing[: self._end.send(self._outgoing)]

    @property
    def has_unsent(self) -> bool:
        """Whether the socket did not take all of it yet."""
        return bool(self._outgoing)

    def receive(self) -> list[list[Any]] | None:
        """Return the messages that have come; None once the runner is gone."""
        try:
            content = self._end.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            content = b""
        if not content:
            return None
        *lines, self._incoming = (self._incoming + content).split(b"\n")
        messages: list[list[Any]] = [json.loads(line) for line in lines]
        for message in messages:
            self.greeted |= message[0] == "hello"
            self.synced |= message[0] == "synced"
            self.draining |= message[0] == "draining"
        return messages

    def close(self) -> None:
        """Hang up; the runner lives on."""
        self._end.close()


def living_runners(folder: Path, names: str = "*.sock") -> list[RunnerLink]:
    """Connect to every runner that listens in the folder under such a name."""
    links = []
    for path in sorted(folder.glob(names)):
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A socket's address holds only 107 bytes of path, so it is reached through a descriptor of its folder.
        where = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            end.connect(f"/proc/self/fd/{where}/{path.name}")
        except OSError:
            end.close()
            continue
        finally:
            os.close(where)
        links.append(RunnerLink(end, draining=path.name.startswith("drain-")))
    return links


def start_runner(state: Path) -> RunnerLink:
    """Start a runner in its own session, joined to us by a socket pair. Raises OSError when this machine cannot."""
    ours, its = socket.socketpair()
    argv = [sys.executable, "-I", "-S", "-X", "utf8", str(_RUNNER), str(state), str(_INHERITED)]
    log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(state / "runner" / "log"), log, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
        (os.POSIX_SPAWN_DUP2, its.fileno(), _INHERITED),
    ]
    environment = {
        name: value for name, value in os.environ.items() if name.startswith("RECONCILE_FAILPOINT")
    }
    try:
        pid = os.posix_spawn(
            argv[0], argv, environment, file_actions=actions, setsid=True, setsigmask=(),
            setsigdef=signal.valid_signals(),
        )  # fmt: skip
    except OSError:
        ours.close()
        raise
    finally:
        its.close()
    return RunnerLink(ours, draining=False, child=pid)

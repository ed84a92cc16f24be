"""The connection to a runner: find the living ones, start one, exchange messages without waiting."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_RUNNER = Path(__file__).resolve().parent.parent / "runner"


class RunnerLink:
    """One runner. `synced`: it has said all that it holds; `draining`: it takes no new runs."""

    def __init__(self, end: socket.socket, draining: bool, child: subprocess.Popen[bytes] | None = None) -> None:
        end.setblocking(False)
        self._end, self._child = end, child
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

    def receive(self) -> list[list[Any]] | None:
        """Return the messages that have come; None once the runner is gone."""
        try:
            content = self._end.recv(1 << 18)
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
        """Hang up; reap the runner if it was our child and has ended."""
        self._end.close()
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=1.0)


def living_runners(folder: Path) -> list[RunnerLink]:
    """Connect to every runner that listens in the folder; what nobody listens on any more is removed."""
    links = []
    for path in sorted(folder.glob("*.sock")):
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


def start_runner(state: Path) -> RunnerLink | None:
    """Start a runner in its own session, joined to us by a socket pair; None when this machine cannot now."""
    ours, its = socket.socketpair()
    environment = {name: value for name, value in os.environ.items() if name.startswith("RECONCILE_FAILPOINT")}
    try:
        with open(state / "runner" / "log", "ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", str(_RUNNER), str(state), str(its.fileno())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environment,
                pass_fds=(its.fileno(),), start_new_session=True,
            )  # fmt: skip
    except OSError:
        ours.close()
        return None
    finally:
        its.close()
    return RunnerLink(ours, draining=False, child=child)

"""The runner's loop: one thread, one epoll; a Unix socket for the daemon, SIGCHLD, pidfds of adopted runs.

Messages are JSON arrays, one a line. From the daemon: `hello FORMAT`, `start KEY ORDER`, `adopt KEY`,
`stop KEY REASON BY`. To it: `hello FORMAT PID`, then what runs and what could not be written, `synced`;
`started KEY AT PID TICKS`, `ended KEY RECORD`, `refused KEY` (draining: another runner shall start it), `draining`.
A daemon is greeted after all that an earlier one had asked for is done.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys
from collections import deque

from reconciler.ports import attempt
from reconciler.ports.attempt import TYPE_CHECKING
from reconciler.runner import linux
from reconciler.runner.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SOCKET, LOCK = "runner.sock", "lock"
EXIT_OTHER_RUNS = 3
_IDLE_SECONDS = 10.0
_STARTS_BETWEEN_LOOKS = 32
_READ_BYTES = 1 << 16
"""More than this malloc(3) maps and unmaps anew each time."""
_POLL_SECONDS_MAX = 30.0


class _Link:
    """One connection of a daemon."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.end = end
        self.incoming = b""
        self.outgoing = bytearray()
        self.full = False

    def send(self) -> bool:
        """Write what the socket takes; False when the daemon has gone."""
        try:
            while self.outgoing:
                del self.outgoing[: self.end.send(self.outgoing)]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


class Server:
    """Serve daemons until there is nothing left to do for a while."""

    def __init__(self, state: str, inherited: int | None) -> None:
        self._folder = f"{state}/runner"
        self._lock = os.open(f"{self._folder}/{LOCK}", os.O_RDWR | os.O_CREAT, 0o600)
        self._epoll = select.epoll()
        self._links: dict[int, _Link] = {}
        self._watched: dict[int, Callable[[], None]] = {}
        self._asked: deque[list[Any]] = deque()
        self._listener: socket.socket | None = None
        self._draining = False
        self._spare = os.open("/dev/null", os.O_RDONLY)
        self._inherited = inherited
        self._runs = Runs(f"{state}/runs", self._say, self._watch, self._unwatch)

    def run(self) -> int:
        """Return the exit code: 0, or 3 when another runner serves this state directory."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return EXIT_OTHER_RUNS
        self._listen()
        self._hear_signals()
        if self._inherited is not None:
            os.set_inheritable(self._inherited, False)
            self._meet(socket.socket(fileno=self._inherited))
        self._runs.insist(self._runs.leftovers.clean_up)
        idle_since = linux.now()[1]
        while True:
            pause = self._runs.fire()
            self._flush()
            if self._asked:
                pause = 0.0
            elif self._runs.nothing_left and (not self._links or self._draining):
                pause = idle_since + (0.0 if self._draining else _IDLE_SECONDS) - linux.now()[1]
                if pause <= 0:
                    return self._leave()
            for fd, _ in self._epoll.poll(-1 if pause is None else min(max(pause, 0.0), _POLL_SECONDS_MAX)):
                idle_since = linux.now()[1]
                if fd in self._watched:
                    self._runs.insist(self._watched[fd])
            for _ in range(min(len(self._asked), _STARTS_BETWEEN_LOOKS)):
                self._answer(self._asked.popleft())
            self._runs.reap()

    # -- descriptors

    def _watch(self, fd: int, action: Callable[[], None]) -> None:
        self._watched[fd] = action
        # By edges: an ended process stays readable, and its status may become known only later.
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)

    def _unwatch(self, fd: int) -> None:
        del self._watched[fd]
        self._epoll.unregister(fd)

    def _listen(self) -> None:
        path = f"{self._folder}/{SOCKET}"
        if os.path.lexists(path):
            os.unlink(path)
        self._listener = _at_folder(self._folder, lambda end: end.bind(SOCKET))
        self._listener.listen(8)
        self._listener.setblocking(False)
        self._watched[self._listener.fileno()] = self._accept
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)

    def _hear_signals(self) -> None:
        hear, tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._asked.append(["drain"]))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._watched[hear] = lambda: _empty(hear)
        self._epoll.register(hear, select.EPOLLIN)

    def _accept(self) -> None:
        listener = self._listener
        if listener is None:
            return
        try:
            end, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # Out of descriptors: take it with the spare one and hang up, or it would wake us for ever.
            os.close(self._spare)
            try:
                listener.accept()[0].close()
            finally:
                self._spare = os.open("/dev/null", os.O_RDONLY)
            return
        self._meet(end)

    def _meet(self, end: socket.socket) -> None:
        link = _Link(end)
        self._links[end.fileno()] = link
        self._watched[end.fileno()] = lambda: self._hear(link)
        self._epoll.register(end.fileno(), select.EPOLLIN)
        for other in list(self._links.values()):
            while other is not link and self._read(other):
                pass
        self._asked.append(["greet", link])

    def _hear(self, link: _Link) -> None:
        self._read(link)

    def _greet(self, link: _Link) -> None:
        greeting: list[list[Any]] = [["hello", attempt.FORMAT, os.getpid()], *self._runs.sync(), ["synced"]]
        if self._draining:
            greeting.append(["draining"])
        link.outgoing += b"".join(_line(message) for message in greeting)

    def _read(self, link: _Link) -> bool:
        """Take what a daemon has sent; False when there is no more at the moment."""
        try:
            content = link.end.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            content = b""
        if not content:
            self._lose(link)
            return False
        *lines, link.incoming = (link.incoming + content).split(b"\n")
        self._asked.extend(json.loads(line) for line in lines)
        return True

    def _lose(self, link: _Link) -> None:
        fd = link.end.fileno()
        self._unwatch(fd)
        del self._links[fd]
        link.end.close()

    def _say(self, message: list[Any]) -> None:
        line = _line(message)
        for link in self._links.values():
            link.outgoing += line

    def _flush(self) -> None:
        for link in [link for link in self._links.values() if link.outgoing]:
            if not link.send():
                self._lose(link)
            elif bool(link.outgoing) != link.full:
                link.full = bool(link.outgoing)
                more = select.EPOLLOUT if link.full else 0
                self._epoll.modify(link.end.fileno(), select.EPOLLIN | more)

    # -- what is asked

    def _answer(self, message: list[Any]) -> None:
        match message:
            case ["hello", version]:
                if version != attempt.FORMAT:
                    self._drain()
            case ["drain"]:
                self._drain()
            case ["greet", _Link() as link]:
                self._greet(link)
            case ["start", key, *_] if self._draining:
                self._say(["refused", key])
            case ["start", key, order]:
                self._runs.insist(lambda: self._runs.start(key, order))
            case ["adopt", key]:
                self._runs.insist(lambda: self._runs.adopt(key))
            case ["stop", key, reason, by]:
                self._runs.insist(lambda: self._runs.stop(key, reason, by))

    def _drain(self) -> None:
        """Leave name and lock to a new runner and only see our runs end; their daemon still finds us, by our pid."""
        if self._draining:
            return
        self._draining = True
        os.rename(f"{self._folder}/{SOCKET}", f"{self._folder}/drain-{os.getpid()}.sock")
        os.close(self._lock)
        self._say(["draining"])

    def _leave(self) -> int:
        name = f"drain-{os.getpid()}.sock" if self._draining else SOCKET
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._folder}/{name}")
        return 0


def _at_folder(folder: str, act: Callable[[socket.socket], None]) -> socket.socket:
    """Make a socket and do this to it inside the folder: a socket's address holds only 107 bytes of path."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.chdir(folder)
    try:
        act(end)
    finally:
        os.chdir("/")
    return end


def _line(message: list[Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _empty(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass


def main(state: str, inherited: int | None = None) -> None:
    """Serve this state directory; `inherited` is the descriptor of the socket to the daemon that started us."""
    os.umask(0o077)
    for name in os.listdir("/proc/self/fd"):
        # What a library of the daemon left open for its children would live in every run.
        if int(name) > 2 and int(name) != inherited:
            with contextlib.suppress(OSError):
                os.close(int(name))
    linux.become_subreaper()
    os.chdir("/")
    sys.exit(Server(state, inherited).run())

"""How other threads have something done by the one thread that decides: a queue and a descriptor to wake it."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Inbox:
    """Calls put here by any thread are carried out by `run_all` in the deciding thread, in order."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def fileno(self) -> int:
        return self._reader

    def put(self, call: Callable[[], Any]) -> Future[Any]:
        """Have `call` carried out; the future gives its result or raises its error."""
        future: Future[Any] = Future()
        self._calls.put((call, future))
        self.wake()
        return future

    def wake(self) -> None:
        """Make the deciding thread look around. Safe in signal handlers."""
        try:
            os.write(self._writer, b"x")
        except BlockingIOError:
            return

    def run_all(self) -> int:
        """Carry out what is waiting; returns how many calls that were."""
        try:
            while os.read(self._reader, 4096):
                pass
        except BlockingIOError:
            pass
        done = 0
        while True:
            try:
                call, future = self._calls.get_nowait()
            except queue.Empty:
                return done
            done += 1
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except Exception as error:
                future.set_exception(error)

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)

"""Reads behind the logs of attempts, in a thread of its own: counts by severity, and `log.idx` (when what was seen).

A flood slows nobody down: a look reads at most `LOOK_BYTES` of a log, and what was given back to the disk meanwhile
(`log.gap`) is passed over. A log that is short and read at its end at once needs no index.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reconciler.core.logs import Counts, LogScanner
from reconciler.ports.attempt import GAP, LOG, read_journal
from reconciler.ports.executor import AttemptId
from reconciler.ports.logs import LogCounts
from reconciler.views.attempts import INDEX, Entry, entries

LOOK_BYTES: Final = 8 << 20
AT_ONCE_BYTES: Final = 256 << 10
"""What is left of a log at its end is read by the caller of `finish`, up to so much."""
AT_ONCE_SECONDS: Final = 0.005
"""How long `finish` waits for a look of the thread at the same log."""
CHUNK_BYTES: Final = 256 << 10
INTERVAL_SECONDS: Final = 0.3
LATE_SECONDS: Final = 2.0
"""What was written while nobody had looked for so long was seen late."""
MAX_ENTRIES: Final = 4096
"""Of one index; then every second one goes, and new ones come half as often."""


class _Tail:
    """One log that is followed; its lock is held while it is read."""

    def __init__(self, attempt: AttemptId, folder: str, seconds: tuple[float, float]) -> None:
        self.attempt = attempt
        self.folder = folder
        self.lock = threading.Lock()
        self.finishing = False
        self.reported = Counts()
        self.spacing = 1.0
        self.known = 0
        self.scanner = LogScanner()
        self.indexed = 0
        self.last_entry = -1e9
        self.looked = seconds[1]
        self._resumed = not os.path.lexists(folder)
        """Of an attempt that is only about to begin there is nothing to go on from."""

    def _resume(self, seconds: tuple[float, float]) -> None:
        """Go on where the index ends. How long nobody looked: since its last entry, else since the start."""
        wall, boot = seconds
        known = entries(self.folder)
        if known:
            last = known[-1]
            counts = Counts(last.lines, last.infos, last.warnings, last.errors, last.progress)
            self.scanner, self.indexed, self.known = LogScanner(last.end, counts), last.end, len(known)
            self.looked = boot - max(0.0, wall - last.at)
            return
        start = read_journal(self.folder).start
        if start is not None:
            self.looked = boot - max(0.0, wall - float(start.get("at", wall)))

    def look(self, seconds: tuple[float, float], most: int) -> bool:
        """Read on; True when there is more than `most` bytes."""
        wall, boot = seconds
        if not self._resumed:
            self._resumed = True
            self._resume(seconds)
        try:
            fd = os.open(f"{self.folder}/{LOG}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            stat = os.fstat(fd)
            if stat.st_size > self.scanner.fed:
                self._read(fd, min(stat.st_size, self.scanner.fed + most))
        finally:
            os.close(fd)
        late = boot - self.looked > LATE_SECONDS
        self.looked = boot
        if self.scanner.offset > self.indexed and (late or boot - self.last_entry >= self.spacing):
            self.last_entry = boot
            self._index(min(wall, stat.st_mtime) if late else wall, late)
        return stat.st_size > self.scanner.fed

    def _read(self, fd: int, end: int) -> None:
        place = self.scanner.fed
        while place < end:
            data = os.pread(fd, min(CHUNK_BYTES, end - place), place)
            if not data:
                return
            gap = _gap(self.folder)
            if gap is not None and gap[0] < place + len(data) and place < gap[1]:
                # Part of this went back to the disk, perhaps while it was read: what is a hole reads as zeros.
                self.scanner.feed(data[: max(0, gap[0] - place)])
                self.scanner.skip(gap[1])
                place = gap[1]
                end = max(end, place)
                continue
            self.scanner.feed(data)
            place += len(data)

    def _index(self, at: float, late: bool) -> None:
        entry = Entry(self.scanner.offset, at, late, *self.scanner.counts)
        path = f"{self.folder}/{INDEX}"
        try:
            if self.known >= MAX_ENTRIES:
                self._thin(path)
            with open(path, "a", encoding="ascii", opener=_private) as file:
                file.write(str(entry))
        except OSError:
            # A full disk costs the times of some lines, never the counts.
            return
        self.known += 1
        self.indexed = self.scanner.offset

    def _thin(self, path: str) -> None:
        kept = entries(self.folder)[1::2]
        temporary = f"{path}.tmp"
        with open(temporary, "w", encoding="ascii", opener=_private) as file:
            file.writelines(map(str, kept))
        os.replace(temporary, path)
        self.known = len(kept)
        self.spacing *= 2


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _gap(folder: str) -> tuple[int, int] | None:
    try:
        with open(f"{folder}/{GAP}", "rb") as file:
            record = json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return None
    begin = int(record["offset"])
    return begin, begin + int(record["length"])


class LogFollower:
    """`ports.logs.Logs` over the directories below `runs`; `seconds` reads (wall, boot) time."""

    def __init__(self, runs: Path, seconds: Callable[[], tuple[float, float]]) -> None:
        self._runs = str(runs)
        self._seconds = seconds
        self._tails: dict[AttemptId, _Tail] = {}
        self._final: list[tuple[AttemptId, LogCounts]] = []
        self._moved: dict[AttemptId, _Tail] = {}
        """Whose counts have changed since `poll` told of them."""
        self._is_resting = True
        """Whether the thread waits until it is woken."""
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._closed = threading.Event()
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread: threading.Thread | None = None

    def fileno(self) -> int:
        """Readable when `poll` has something."""
        return self._reader

    def follow(self, attempt: AttemptId) -> None:
        """Begin (or go on) to read the log of an attempt that runs."""
        with self._lock:
            if attempt in self._tails:
                return
            self._tails[attempt] = _Tail(attempt, f"{self._runs}/{attempt.path}", self._seconds())
            was_resting, self._is_resting = self._is_resting, False
        if was_resting:
            self._begin()

    def finish(self, attempt: AttemptId) -> LogCounts | None:
        """The counts of an attempt that is over, at once when little of its log is unread."""
        with self._lock:
            tail = self._tails.get(attempt)
            if tail is None:
                tail = _Tail(attempt, f"{self._runs}/{attempt.path}", self._seconds())
                self._tails[attempt] = tail
        if tail.lock.acquire(timeout=AT_ONCE_SECONDS):
            try:
                if not tail.known:
                    # It was over before the first look: the log's own time says enough, unless that was long ago.
                    tail.last_entry = float("inf")
                if not tail.look(self._seconds(), AT_ONCE_BYTES):
                    return self._over(tail)
            finally:
                tail.lock.release()
        tail.finishing = True
        self._begin()
        return None

    def poll(self) -> tuple[list[tuple[AttemptId, LogCounts]], list[tuple[AttemptId, LogCounts]]]:
        """Return (final counts of finished attempts, counts so far of running ones) since the last call."""
        try:
            while os.read(self._reader, 4096):
                pass
        except BlockingIOError:
            pass
        with self._lock:
            final, self._final = self._final, []
            moved, self._moved = self._moved, {}
        running = []
        for attempt, tail in moved.items():
            counts = tail.scanner.counts
            if counts != tail.reported and not tail.finishing and attempt in self._tails:
                tail.reported = counts
                running.append((tail.attempt, LogCounts(*counts)))
        return final, running

    def close(self) -> None:
        """Stop reading; what was indexed so far is gone on from later."""
        self._closed.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join()
        os.close(self._reader)
        os.close(self._writer)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow_all, name="logs", daemon=True)
            self._thread.start()
        self._work.set()

    def _over(self, tail: _Tail) -> LogCounts:
        with self._lock:
            self._tails.pop(tail.attempt, None)
        return LogCounts(*tail.scanner.finish())

    def _follow_all(self) -> None:
        timeout: float | None = None
        while True:
            self._work.wait(timeout)
            self._work.clear()
            if self._closed.is_set():
                return
            fresh = timeout is None
            with self._lock:
                tails = list(self._tails.values())
                # It goes on once more when there is nothing left: in a busy time it need not be woken again.
                self._is_resting = not tails and not fresh
            timeout = None if self._is_resting else INTERVAL_SECONDS
            if fresh and not any(tail.finishing for tail in tails):
                # Most runs are over before the first look; their end reads them.
                continue
            if any([self._look(tail) for tail in tails]):
                self._wake()
            if any(tail.finishing and tail.attempt in self._tails for tail in tails):
                timeout = 0.0

    def _look(self, tail: _Tail) -> bool:
        """Look at one log; True when `poll` has something to tell of it."""
        with tail.lock:
            if tail.attempt not in self._tails:
                return False
            more = tail.look(self._seconds(), LOOK_BYTES)
            if not tail.finishing or more:
                has_moved = tail.scanner.counts != tail.reported
                if has_moved:
                    with self._lock:
                        self._moved[tail.attempt] = tail
                return has_moved
            counts = self._over(tail)
        with self._lock:
            self._final.append((tail.attempt, counts))
        return True

    def _wake(self) -> None:
        try:
            os.write(self._writer, b"x")
        except BlockingIOError:
            return

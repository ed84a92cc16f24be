"""The log of one attempt as it lies in its directory: pieces of whole lines, gaps, secrets, and when it was seen."""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from reconciler.core.logs import gap_text
from reconciler.ports.attempt import EXIT, GAP, LOG, read_journal

INDEX: Final = "log.idx"
PIECE_BYTES: Final = 1 << 20
"""How much of a log one answer holds; a longer line is cut into pieces."""


class Entry(NamedTuple):
    """One line of `log.idx`: what ends at `end` was first seen at `at`, and the counts up to there."""

    end: int
    at: float
    late: bool
    lines: int
    infos: int
    warnings: int
    errors: int
    progress: int | None

    def __str__(self) -> str:
        flag = "~" if self.late else "="
        percent = "-" if self.progress is None else self.progress
        counts = f"{self.lines} {self.infos} {self.warnings} {self.errors} {percent}"
        return f"{self.end} {flag}{self.at:.3f} {counts}\n"

    @classmethod
    def parse(cls, line: str) -> Entry | None:
        """Read what `str` writes; None for a line that a crash cut short."""
        words = line.split()
        if len(words) != 7 or not line.endswith("\n"):
            return None
        try:
            progress = None if words[6] == "-" else int(words[6])
            lines, infos, warnings, errors = (int(word) for word in words[2:6])
            return cls(
                int(words[0]),
                float(words[1][1:]),
                words[1][0] == "~",
                lines,
                infos,
                warnings,
                errors,
                progress,
            )
        except ValueError:
            return None


def entries(folder: str) -> list[Entry]:
    """The index of an attempt's log; empty when there is none."""
    try:
        with open(f"{folder}/{INDEX}", encoding="ascii", errors="replace") as file:
            return [entry for line in file if (entry := Entry.parse(line)) is not None]
    except FileNotFoundError:
        return []


class Line(NamedTuple):
    """A line as it stands in the log, without its end; `gap` for one that stands for what was not kept."""

    offset: int
    text: str
    gap: bool = False


class AttemptLog:
    """Read the log of the attempt in `folder`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.unread_secrets: list[str] = []
        """Names of the secrets whose values nobody can mask: they are gone, or not for this reader."""
        self._entries = entries(folder)
        self._ends = [entry.end for entry in self._entries]
        self._ended_at = os.stat(f"{folder}/{LOG}").st_mtime if self.is_over and self.size else None
        """What the index does not tell of an attempt that is over was written right before its end."""

    @property
    def size(self) -> int:
        try:
            return os.stat(f"{self.folder}/{LOG}").st_size
        except FileNotFoundError:
            return 0

    @property
    def is_over(self) -> bool:
        return os.path.exists(f"{self.folder}/{EXIT}")

    def seen_at(self, offset: int) -> tuple[float | None, bool]:
        """When the line at an offset was first seen, and whether that was late; (None, False): not yet."""
        place = bisect_right(self._ends, offset)
        if place == len(self._entries):
            return self._ended_at, False
        entry = self._entries[place]
        return entry.at, entry.late

    def secrets(self) -> list[str]:
        """The values that this attempt was given, as far as they can be read now; see `unread_secrets`."""
        order = read_journal(self.folder).order or {}
        values = []
        self.unread_secrets = []
        for name in dict(order.get("secrets") or {}).values():
            try:
                with open(
                    f"{order.get('secretsFolder', '')}/{name}", encoding="utf-8", errors="replace"
                ) as file:
                    values.append(file.read().rstrip("\n"))
            except OSError:
                self.unread_secrets.append(str(name))
        return values

    def piece(self, offset: int, over: bool) -> tuple[list[Line], int]:
        """Whole lines from an offset on, and the offset to go on from; the last line too when it is `over`."""
        gap, data = self._stable(offset)
        if gap is not None and gap[0] <= offset < gap[1]:
            text = gap_text({"offset": gap[0], "length": gap[1] - gap[0]})
            return [Line(offset, text, True)], gap[1]
        before_gap = gap is not None and offset + len(data) == gap[0]
        end = data.rfind(b"\n") + 1
        if end == 0 or before_gap or (over and len(data) < PIECE_BYTES):
            end = len(data) if before_gap or over or len(data) >= PIECE_BYTES else 0
        lines, place = [], offset
        for raw in data[:end].split(b"\n") if end else ():
            lines.append(Line(place, raw.decode("utf-8", "surrogateescape")))
            place += len(raw) + 1
        if lines and not lines[-1].text and data[end - 1 : end] == b"\n":
            lines.pop()
        return lines, offset + end

    def last(self, count: int, over: bool) -> tuple[list[Line], int]:
        """The last so many lines, found from the end; and the offset behind them."""
        gap = self._gap()
        floor = gap[1] if gap is not None else 0
        begin, newlines = self.size, 0
        with open(f"{self.folder}/{LOG}", "rb") as file:
            while begin > floor and newlines <= count and self.size - begin < 16 * PIECE_BYTES:
                step = min(1 << 16, begin - floor)
                begin -= step
                file.seek(begin)
                newlines += file.read(step).count(b"\n")
        lines: list[Line] = []
        offset = begin
        for piece, behind in self.pieces(begin, over):
            lines = (lines + piece)[-count:]
            offset = behind
        return lines, offset

    def pieces(self, offset: int, over: bool) -> Iterator[tuple[list[Line], int]]:
        """All pieces from an offset to what is there now."""
        while True:
            lines, behind = self.piece(offset, over)
            if behind == offset:
                return
            yield lines, behind
            offset = behind

    def _stable(self, offset: int) -> tuple[tuple[int, int] | None, bytes]:
        """The gap, and the bytes before it: read again when the gap grew meanwhile, or holes would be text."""
        while True:
            gap = self._gap()
            length = PIECE_BYTES
            if gap is not None and offset < gap[0]:
                length = min(length, gap[0] - offset)
            try:
                with open(f"{self.folder}/{LOG}", "rb") as file:
                    file.seek(offset)
                    data = file.read(length)
            except FileNotFoundError:
                return None, b""
            if self._gap() == gap:
                return gap, data

    def _gap(self) -> tuple[int, int] | None:
        try:
            with open(f"{self.folder}/{GAP}", "rb") as file:
                record = json.loads(file.read())
        except (FileNotFoundError, ValueError):
            return None
        begin, length = int(record["offset"]), int(record["length"])
        return (begin, begin + length) if length else None

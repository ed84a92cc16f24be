"""What log lines say: severity, progress, counts; and how they are shown safely.

Recognised (CONTRACT.md 2, Logs): `::warning::text` `::error::text` `::notice::text` `::progress 40`,
`<3>`..`<7>` prefixes (sd-daemon) and JSON lines with `level` or `severity`. Any other line is `info`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

LEVELS: Final = ("progress", "info", "warning", "error")
RANK: Final = {level: rank for rank, level in enumerate(LEVELS)}

HEAD_BYTES: Final = 64 << 10
"""How much of a line is looked at. A JSON line that is longer is plain text."""

_PLAIN: Final = {
    b"::warning::": "warning",
    b"::error::": "error",
    b"::debug::": "progress",
    **{f"<{n}>".encode(): level for n, level in enumerate(("error",) * 4 + ("warning",))},
    b"<7>": "progress",
}
"""Marks that are counted without a look at the rest of their line."""
_MARKED = re.compile(rb"^(?:::(?:(?:warning|error|debug)\s|progress)|\{)", re.MULTILINE)
"""The beginnings that need one."""
_COMMAND = re.compile(r"::(warning|error|notice|debug)(?:\s[^\r\n]*?)?::(.*)", re.DOTALL)
_PROGRESS = re.compile(r"::progress(?:::|\s+)\s*(\d{1,3})(?:\.\d+)?\s*%?(?:::)?\s*(.*)", re.DOTALL)
_JSON_LEVEL = re.compile(r'"(?:level|severity)"\s*:\s*"?([A-Za-z0-9]+)')

_COMMANDS: Final = {"warning": "warning", "error": "error", "notice": "info", "debug": "progress"}
_PRIORITIES: Final = ("error", "error", "error", "error", "warning", "info", "info", "progress")
_WORDS: Final = {
    **dict.fromkeys(("emerg", "emergency", "alert", "crit", "critical", "fatal", "panic"), "error"),
    **dict.fromkeys(("err", "error", "severe"), "error"),
    **dict.fromkeys(("warn", "warning"), "warning"),
    **dict.fromkeys(("notice", "info", "information", "informational", "default"), "info"),
    **dict.fromkeys(("debug", "trace", "verbose", "fine"), "progress"),
}


class Said(NamedTuple):
    """What one line says. `marked`: it carried a recognised mark; `text` is what is left without it."""

    level: str
    text: str
    percent: int | None = None
    marked: bool = False


def read_line(line: str) -> Said:
    """Recognise the severity of one line, without its line end."""
    first = line[:1]
    if first == ":" and line.startswith("::"):
        return _read_command(line)
    if first == "<" and len(line) > 2 and line[2] == ">" and line[1] in "01234567":
        return Said(_PRIORITIES[int(line[1])], line[3:], None, True)
    if first == "{":
        level = _json_level(line)
        if level is not None:
            return Said(level, line, None, True)
    return Said("info", line)


def _read_command(line: str) -> Said:
    match = _COMMAND.fullmatch(line)
    if match is not None:
        return Said(_COMMANDS[match[1]], match[2].lstrip(), None, True)
    match = _PROGRESS.fullmatch(line)
    if match is not None and int(match[1]) <= 100:
        return Said("progress", match[2].strip() or f"{int(match[1])} %", int(match[1]), True)
    return Said("info", line)


def _json_level(line: str) -> str | None:
    """The level of a JSON line, None when it is none. Only what may be a warning is parsed in full."""
    words = {_word_level(word) for word in _JSON_LEVEL.findall(line)}
    words.discard(None)
    if not words or not line.rstrip().endswith("}"):
        return None
    if words == {"info"} or words == {"progress"}:
        return words.pop()
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        return None
    value = body.get("level", body.get("severity"))
    return _word_level(str(value)) if value is not None else None


def _word_level(word: str) -> str | None:
    if word.isascii() and word.isdigit():
        number = int(word)
        if number < 8:
            return _PRIORITIES[number]
        # bunyan and pino count from 10 (trace) to 60 (fatal).
        steps = ((50, "error"), (40, "warning"), (30, "info"), (10, "progress"))
        return next((level for least, level in steps if number >= least), None)
    return _WORDS.get(word.lower())


class Counts(NamedTuple):
    """What a log holds up to an offset: whole lines by severity, and the last progress in percent."""

    lines: int = 0
    infos: int = 0
    warnings: int = 0
    errors: int = 0
    progress: int | None = None


NOTHING: Final = Counts()


class LogScanner:
    """Count the lines of a log as it grows, in bounded memory whatever it holds.

    `offset` is the start of the first line that is not counted yet: a scanner made with it (and the counts)
    and fed from there goes on as if it had never stopped.
    """

    __slots__ = ("_head", "_length", "_others", "errors", "lines", "offset", "progress", "warnings")

    def __init__(self, offset: int = 0, counts: Counts = NOTHING) -> None:
        self.offset = offset
        self.lines, self.warnings, self.errors = counts.lines, counts.warnings, counts.errors
        self._others = counts.lines - counts.infos - counts.warnings - counts.errors
        self.progress = counts.progress
        self._head = b""
        self._length = 0
        """Of the line that has not ended yet; `_head` is its beginning."""

    @property
    def fed(self) -> int:
        """The offset of the next byte to feed."""
        return self.offset + self._length

    @property
    def counts(self) -> Counts:
        infos = self.lines - self._others - self.warnings - self.errors
        return Counts(self.lines, infos, self.warnings, self.errors, self.progress)

    def feed(self, data: bytes) -> None:
        """Take the bytes that follow what was fed before."""
        last = data.rfind(b"\n")
        if last < 0:
            self._keep(data)
            return
        begin = 0
        if self._length:
            begin = data.find(b"\n") + 1
            self._keep(data[: begin - 1])
            self._read(self._head)
            self.lines += 1
            self.offset += self._length + 1
            self._head, self._length = b"", 0
        end = last + 1
        if end > begin:
            self._lines(data, begin, end)
        self._keep(data[end:])

    def skip(self, offset: int) -> None:
        """Go on at a later offset: what lies between is lost, and with it the line that was not complete."""
        self._head, self._length = b"", 0
        self.offset = offset

    def finish(self) -> Counts:
        """Count a last line without line end; nothing is fed after it."""
        if self._length:
            self._read(self._head)
            self.lines += 1
            self.offset += self._length
            self._head, self._length = b"", 0
        return self.counts

    def _keep(self, data: bytes) -> None:
        room = HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += data[:room]
        self._length += len(data)

    def _lines(self, data: bytes, begin: int, end: int) -> None:
        self.lines += data.count(b"\n", begin, end)
        self.offset += end - begin
        # Most logs are not marked: three searches of a constant are far cheaper than a look at each line.
        if not (
            data.startswith((b"::", b"<", b"{"), begin)
            or data.find(b"\n::", begin, end) >= 0
            or data.find(b"\n<", begin, end) >= 0
            or data.find(b"\n{", begin, end) >= 0
        ):
            return
        for mark, level in _PLAIN.items():
            # A line that does not begin the data has the end of the one before it in front.
            count = data.count(b"\n" + mark, max(0, begin - 1), end) + (begin == 0 and data.startswith(mark))
            if count:
                self._add(level, count)
        block = data if begin == 0 and end == len(data) else data[begin:end]
        for match in _MARKED.finditer(block):
            start = match.start()
            stop = block.find(b"\n", start)
            self._read(block[start : min(stop, start + HEAD_BYTES)])

    def _read(self, line: bytes) -> None:
        said = read_line(line.decode("utf-8", "replace").removesuffix("\r"))
        if said.percent is not None:
            self.progress = said.percent
        self._add(said.level, 1)

    def _add(self, level: str, count: int) -> None:
        if level == "error":
            self.errors += count
        elif level == "warning":
            self.warnings += count
        elif level == "progress":
            self._others += count


MASK: Final = "***"


def mask(text: str, secrets: Iterable[str]) -> str:
    """Replace the values of secrets, and each line of those that have several, by `***`.

    Values of fewer than 4 characters are left alone: masking every `1` hides the log and protects nothing.
    """
    parts = {line.strip() for value in secrets for line in (value, *value.splitlines())}
    for part in sorted((part for part in parts if len(part) >= 4), key=len, reverse=True):
        text = text.replace(part, MASK)
    return text


_UNSAFE = re.compile(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0xDC80 <= code <= 0xDCFF:
        # A byte that is no UTF-8, as `surrogateescape` carries it.
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"


def shown(line: str) -> str:
    """Make a line harmless for a terminal: what a carriage return overwrote is gone, controls are pictures.

    `ESC` becomes `␛`, so that `ESC[31m` can be read and does nothing; what changes the direction of text is
    shown as its code.
    """
    line = line.removesuffix("\r")
    if "\r" in line:
        line = next((part for part in reversed(line.split("\r")) if part), "")
    if _UNSAFE.search(line) is None:
        return line
    return _UNSAFE.sub(_visible, line)


def gap_text(gap: Mapping[str, Any]) -> str:
    """Say what of a log was not kept, as one line."""
    size = float(gap.get("length", 0))
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"[gap: {size:.0f} B not kept]" if unit == "B" else f"[gap: {size:.1f} {unit} not kept]"
        size /= 1024
    raise AssertionError("the loop returns")

"""systemd's unit files (systemd.syntax(7)) and command lines (systemd.service(5)), as far as timers need them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Zµ]*)\s*")
_SPAN_SECONDS = {
    **dict.fromkeys(("us", "usec", "µs"), 1e-6),
    **dict.fromkeys(("ms", "msec"), 1e-3),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604800.0),
    **dict.fromkeys(("M", "month", "months"), 2629800.0),
    **dict.fromkeys(("y", "year", "years"), 31557600.0),
}
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
_SPECIFIER = re.compile(r"%(.)")


class Value(NamedTuple):
    text: str
    place: str


@dataclass(slots=True)
class Unit:
    """One unit with its drop-ins: the values of each `Section.Key`, in order, an empty one having reset the list."""

    name: str
    place: str
    values: dict[str, list[Value]] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)

    def all(self, key: str) -> list[Value]:
        return self.values.get(key, [])

    def last(self, key: str, default: str = "") -> str:
        """The value that counts where a key takes one."""
        values = self.all(key)
        return values[-1].text if values else default

    def is_on(self, key: str) -> bool:
        return self.last(key).lower() in ("yes", "true", "on", "1")


def read(name: str, text: str, unit: Unit) -> None:
    """Add what a unit file, or a drop-in, says. Lines that are no assignment are kept as comments."""
    section = ""
    pending = ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith(("#", ";")):
            unit.comments.append(stripped.lstrip("#; "))
            continue
        pending += stripped
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        whole, pending = pending, ""
        if re.fullmatch(r"\[.+\]", whole):
            section = whole[1:-1]
        elif "=" in whole:
            key, _, value = whole.partition("=")
            _assign(unit, f"{section}.{key.strip()}", Value(value.strip(), f"{name}:{number}"))
        elif whole:
            unit.comments.append(f"{name}:{number}: {whole}")


def _assign(unit: Unit, key: str, value: Value) -> None:
    if value.text:
        unit.values.setdefault(key, []).append(value)
    else:
        unit.values.pop(key, None)


def seconds(text: str) -> float:
    """A time span (`5min 20s`, `90`) in seconds; raise ValueError for what is none."""
    total, at = 0.0, 0
    while match := _SPAN.match(text, at):
        if match[2] not in _SPAN_SECONDS:
            break
        total += float(match[1]) * _SPAN_SECONDS[match[2]]
        at = match.end()
    if at != len(text) or not text:
        raise ValueError(f"`{text}` is no time span")
    return total


def expand(text: str, unit: str) -> tuple[str, list[str]]:
    """Put the specifiers that the unit's name decides into `text`; also those that only a machine can tell."""
    stem = unit.rpartition(".")[0]
    prefix, _, instance = stem.partition("@")
    known = {"%": "%", "n": unit, "N": stem, "p": prefix, "i": instance, "I": instance.replace("-", "/"), "j": prefix}
    unknown = [match for match in _SPECIFIER.findall(text) if match not in known]
    return _SPECIFIER.sub(lambda match: known.get(match[1], match[0]), text), [f"%{letter}" for letter in unknown]


def words(text: str) -> list[str]:
    """Split a command line or a list of assignments: quotes, and C escapes; raise ValueError for an open quote."""
    found: list[str] = []
    word: str | None = None
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            value, at = _escape(text, at + 1)
            word = (word or "") + value
            continue
        if quote:
            if char == quote:
                quote = ""
            else:
                word = (word or "") + char
        elif char in "\"'" and word is None:
            quote, word = char, ""
        elif char in " \t":
            if word is not None:
                found.append(word)
            word = None
        else:
            word = (word or "") + char
        at += 1
    if quote:
        raise ValueError("a quote is not closed")
    return [*found, word] if word is not None else found


def _escape(text: str, at: int) -> tuple[str, int]:
    letter = text[at]
    if letter in _ESCAPES:
        return _ESCAPES[letter], at + 1
    if letter == "x" and (match := re.compile(r"[0-9a-fA-F]{2}").match(text, at + 1)):
        return chr(int(match[0], 16)), at + 3
    return letter, at + 1


def environment(values: list[Value]) -> Mapping[str, str]:
    """The variables of `Environment=` lines."""
    found: dict[str, str] = {}
    for value in values:
        for word in words(value.text):
            name, equals, rest = word.partition("=")
            if equals:
                found[name] = rest
    return found

"""Write JSON values as block YAML, so that any YAML 1.1 or 1.2 reader gives the same values back.

Only what is written is known here; a string is plain only where nobody could read it as anything else, and is
quoted as in JSON otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+-]*(?: [A-Za-z0-9_./@+(-][A-Za-z0-9_./@+()-]*)*")
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf"))


class Inline(dict[str, Any]):
    """A mapping that is written on one line, as in JSON."""


def dump(value: Any) -> str:
    """One document, with its last line end."""
    lines: list[str] = []
    _block(value, 0, lines)
    return "\n".join(lines) + "\n"


_encode = json.JSONEncoder(ensure_ascii=False).encode


def scalar(value: Any) -> str:
    """A value on one line: a string plain or quoted, anything else as in JSON."""
    if isinstance(value, str):
        return _text(value) if len(value) < 80 else _text_of(value)
    return _safe(_encode(value))


def _text_of(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return _safe(_encode(value))


_text = lru_cache(maxsize=2048)(_text_of)
"""Keys, states and reasons come again and again."""


def _safe(text: str) -> str:
    # DEL, C1 and line separators may stand in JSON, not in YAML 1.1.
    return text if text.isascii() and "\x7f" not in text else _escaped(text)


def _escaped(text: str) -> str:
    unsafe = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
    return unsafe.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _block(value: Any, indent: int, lines: list[str]) -> None:
    pad = "  " * indent
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            _entry(f"{pad}{scalar(str(key))}:", item, indent + 1, lines)
    elif isinstance(value, (list, tuple)) and value:
        for item in value:
            if isinstance(item, Mapping) and item and not isinstance(item, Inline):
                inner: list[str] = []
                _block(item, indent + 1, inner)
                lines.append(f"{pad}- {inner[0].lstrip()}")
                lines.extend(inner[1:])
            else:
                _entry(f"{pad}-", item, indent + 1, lines)
    else:
        lines.append(pad + scalar(value))


def _entry(head: str, item: Any, indent: int, lines: list[str]) -> None:
    if isinstance(item, (Mapping, list, tuple)) and item and not isinstance(item, Inline):
        lines.append(head)
        _block(item, indent, lines)
    else:
        lines.append(f"{head} {scalar(item)}")

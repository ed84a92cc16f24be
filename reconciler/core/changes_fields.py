"""Which fields of a document differ, as dotted paths; what may be a secret is never shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

HIDDEN: Final = "(hidden)"
ABSENT: Final = ""
_MAX_TEXT: Final = 2000

# Values belong into the secrets directory; who writes one into `environment` all the same must not find it in a mail.
_SECRET_NAME: Final = re.compile(
    r"(?i)passw|passphrase|secret|token|credential|api_?key|private_?key|_pw$|_pwd$"
)
_USER_INFO: Final = re.compile(r"(?<=://)[^/\s@\"']+@")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field; `old` or `new` is "" where it was not there or is not there any more."""

    path: str
    old: str
    new: str

    @property
    def old_shown(self) -> str:
        return self.old or "(none)"

    @property
    def new_shown(self) -> str:
        return self.new or "(none)"


def field_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    """Compare two bodies field by field, in the order of their names."""
    return tuple(_differences(old, new, ()))


def _differences(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[FieldChange]:
    if old == new and type(old) is type(new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), (*path, key))
        return
    if _is_records(old) and _is_records(new):
        for index in range(max(len(old), len(new))):
            one, other = (each[index] if index < len(each) else None for each in (old, new))
            yield from _differences(one, other, (*path, str(index)))
        return
    for one, other in ((old, new), (new, old)):
        # A block that comes or goes is shown by its fields.
        if isinstance(one, Mapping) and other is None:
            for key in sorted(one):
                gone, come = (one[key], None) if one is old else (None, one[key])
                yield from _differences(gone, come, (*path, key))
            return
    yield FieldChange(_dotted(path), _shown(old, path), _shown(new, path))


def _is_records(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and any(isinstance(e, Mapping) for e in value)
    )


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(f'"{part}"' if "." in part or "/" in part else part for part in path)


def _shown(value: Any, path: tuple[str, ...]) -> str:
    if value is None:
        return ABSENT
    if "environment" in path and _SECRET_NAME.search(path[-1]):
        return HIDDEN
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    if path[-1] == "icsText":
        return f"({len(text)} characters)"
    text = _USER_INFO.sub(f"{HIDDEN}@", text)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"

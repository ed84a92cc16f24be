"""Read and write the units that people type: durations such as `1h30m` and sizes such as `64MiB`."""

from __future__ import annotations

import itertools
import re
from functools import lru_cache
from typing import Final

_SECONDS: Final = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\d{1,12}(?:\.\d{1,12})?[wdhms])+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)([wdhms])", re.ASCII)
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,12})?)\s?([A-Za-z]*)", re.ASCII)
_BYTES: Final = {
    "": 1,
    "B": 1,
    **{unit: 1 << 10 for unit in ("K", "Ki", "KiB")},
    **{unit: 1 << 20 for unit in ("M", "Mi", "MiB")},
    **{unit: 1 << 30 for unit in ("G", "Gi", "GiB")},
    **{unit: 1 << 40 for unit in ("T", "Ti", "TiB")},
}
_DECIMAL_BYTES: Final = {"KB": "KiB", "MB": "MiB", "GB": "GiB", "TB": "TiB"}


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> float:
    """Read `90d`, `1h30m`, `15s` or `0.5s` as seconds; units are w, d, h, m, s, the largest first.

    Raise ValueError with what to write instead.
    """
    word = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", word):
        raise ValueError(f"`{text}` has no unit: write `{word}s`, `{word}m`, `{word}h` or `{word}d`")
    if not _DURATION.fullmatch(word):
        raise ValueError(f"`{text}` is not a duration: write numbers with w, d, h, m or s, such as `1h30m`")
    parts = _DURATION_PART.findall(word)
    sizes = [_SECONDS[unit] for _, unit in parts]
    if any(later >= earlier for earlier, later in itertools.pairwise(sizes)):
        raise ValueError(f"`{text}` is not a duration: write each unit once, the largest first: `1h30m`")
    return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def format_duration(seconds: float) -> str:
    """Write seconds as people type them (`2m10s`, `1d2h`, `0.25s`), so that `parse_duration` reads it back.

    Fractions are kept to the millisecond, and only below an hour, where someone may care.
    """
    if seconds < 0:
        return "-" + format_duration(-seconds)
    rest = round(seconds, 3) if seconds < 3600 else round(seconds)
    text = ""
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, _SECONDS[unit])
        if count:
            text += f"{count:.0f}{unit}"
    if rest or not text:
        text += f"{round(rest, 3):g}s"
    return text


def parse_size(text: str) -> int:
    """Read `64MiB`, `512Mi`, `10G`, `100B` or a plain number as bytes; all prefixes are powers of 1024.

    Raise ValueError with what to write instead.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"`{text}` is not a size: write a number and B, KiB, MiB or GiB, such as `64MiB`")
    number, unit = match.groups()
    if unit.upper() in _DECIMAL_BYTES:
        binary = _DECIMAL_BYTES[unit.upper()]
        raise ValueError(f"`{text}`: sizes are powers of 1024, write `{number}{binary}`")
    if unit not in _BYTES:
        raise ValueError(f"`{text}` is not a size: `{unit}` is none of B, KiB, MiB, GiB, TiB")
    return int(float(number) * _BYTES[unit]) if "." in number else int(number) * _BYTES[unit]


def plural(count: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 target`, `2 targets`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"

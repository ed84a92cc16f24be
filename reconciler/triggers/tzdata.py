"""Which edition of the time zone database answers: what another one answered has to be asked again."""

from __future__ import annotations

import functools
import zoneinfo
from pathlib import Path


@functools.cache
def tzdata_version() -> str:
    """The version of the tz database in use (`2026a`), or what else changes with it; for cache keys.

    It is that of the machine's own database where there is one, otherwise that of the `tzdata` package.
    """
    for folder in map(Path, zoneinfo.TZPATH):
        if (folder / "UTC").exists():
            return _named_version(folder) or f"{folder}@{folder.stat().st_mtime_ns}"
    # Only where there is no other: importing this costs more than everything else here.
    from importlib.metadata import version

    return version("tzdata")


def _named_version(folder: Path) -> str:
    """What the database says of itself, "" when it does not say."""
    for name, prefix in (("tzdata.zi", "# version "), ("+VERSION", "")):
        try:
            with (folder / name).open(encoding="utf-8") as file:
                line = file.readline().strip()
        except OSError:
            continue
        if line.startswith(prefix):
            return line.removeprefix(prefix)
    return ""

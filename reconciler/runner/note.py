"""What the runner says of itself, in `runner/log`."""

from __future__ import annotations

import contextlib
import os


def note(text: str) -> None:
    """Say it where its output goes; a disk that is full may be the one that this is written to."""
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode(errors="replace"))

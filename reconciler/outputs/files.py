"""Files that others read while we write: replaced as a whole, and only when they say something else."""

from __future__ import annotations

import os
from pathlib import Path


def read(path: Path) -> str | None:
    """The text of a file, None when there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def write(path: Path, text: str, before: str | None) -> bool:
    """Put `text` in the place of what stood there `before`; False when that is the same. Raises OSError."""
    if text == before:
        return False
    put(path, text.encode())
    return True


def put(path: Path, content: bytes) -> None:
    """Put `content` in the place of whatever stands there. Raises OSError."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        _create(temporary, content)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create(temporary, content)
    os.replace(temporary, path)


def _create(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        while content:
            content = content[os.write(fd, content) :]
    finally:
        os.close(fd)

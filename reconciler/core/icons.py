"""The icon of each state (CONTRACT.md 4). Apart from the model, so that a list is printed without loading that."""

from __future__ import annotations

from typing import Final

ICONS: Final = {
    "queued": "○",
    "running": "●",
    "success": "✔",
    "warning": "⚠",
    "failure": "✘",
    "interrupted": "◌",
    "cancelled": "■",
    "skipped": "»",
    "missed": "!",
}
NEVER: Final = "–"

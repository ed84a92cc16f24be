"""Let time pass between two looks."""

from __future__ import annotations

import sys


def pause(seconds: float) -> None:
    """Show what was said so far, and wait."""
    from reconciler.clock import sleep

    sys.stdout.flush()
    sleep(seconds)

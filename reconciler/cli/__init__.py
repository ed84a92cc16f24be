"""The command line. Nothing is imported before it is needed: a list takes no more than click and sqlite."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Run `reconcile` with the arguments of this process; return the exit code."""
    from reconciler.cli.frame import run

    # A verb is over before looking for garbage pays; the daemon turns it on again.
    gc.disable()
    return run(sys.argv[1:])

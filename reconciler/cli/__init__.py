"""The command line. Nothing is imported before it is needed: a list takes no more than click and sqlite."""

from __future__ import annotations

import sys


def main() -> int:
    """Run `reconcile` with the arguments of this process; return the exit code."""
    from reconciler.cli.frame import run

    return run(sys.argv[1:])

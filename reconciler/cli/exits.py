"""What the command line's exit codes mean (CONTRACT.md 4), and the error that carries one."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    CHANGES = 2
    INVALID = 3
    KEPT_LAST_GOOD = 4
    BLOCKED = 5
    NOT_FOUND = 6
    FORBIDDEN = 7
    STALE = 8
    TIMEOUT = 9
    RUN_FAILED = 10
    RUN_WARNING = 11
    RUN_INTERRUPTED = 12
    RUN_REFUSED = 13
    USAGE = 64
    INTERNAL = 70
    NO_DAEMON = 75
    INTERRUPTED = 130


class Failure(Exception):
    """End with this exit code, one sentence on stderr, and what to do next."""

    def __init__(self, exit_code: Exit, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.hint = hint

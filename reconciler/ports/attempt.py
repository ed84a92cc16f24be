"""The directory of an attempt, as the one who orders it, the runner and the readers agree on it.

`<state>/runs/<domain|_installation>/<job>/<run>/<n>/` holds, in the order in which they appear:

| file         | written by             | says                                                              |
|--------------|------------------------|-------------------------------------------------------------------|
| `order.json` | the daemon             | all that a start needs, but no value of a secret                  |
| `go`         | the runner, O_EXCL     | claimed: this attempt never starts again                          |
| `log`        | the run itself         | stdout and stderr, one stream                                     |
| `pid`        | the runner             | the leader: pid, start time (`ticks` of /proc), boot id           |
| `stop`       | the runner             | why it is being stopped, by whom, since when                      |
| `log.gap`    | the runner             | the part of the log that went back to the disk: offset, length    |
| `exit`       | who saw the end first  | exit code or signal, reason, message, time; renamed into place    |

The runner imports this module, so it imports nothing of ours and little of the standard library.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FORMAT = 1
"""Of order, pid, exit and the messages between daemon and runner. A runner of another format drains."""

ORDER, GO, LOG, PID, STOP, GAP, EXIT = "order.json", "go", "log", "pid", "stop", "log.gap", "exit"

UNKNOWN_REASONS = ("ExitUnknown", "MachineRestarted")
"""Reasons of an end that nobody saw; a record with a real exit replaces one of these."""

MARKS = ("RECONCILE_RUN", "RECONCILE_ATTEMPT", "RECONCILE_JOB", "RECONCILE_DOMAIN", "RECONCILE_STATE_DIR")
"""The variables that tell the processes of one attempt from all others."""


def marks_of(environment: Mapping[str, str]) -> frozenset[bytes]:
    """Return the `NAME=value` entries that every process of this attempt carries, if any."""
    if "RECONCILE_RUN" not in environment:
        return frozenset()
    return frozenset(os.fsencode(f"{name}={environment[name]}") for name in MARKS if name in environment)


def read_record(path: str) -> dict[str, Any] | None:
    """Read one JSON object; None when it is absent, or cut short by a crash while it was written."""
    try:
        with open(path, "rb", buffering=0) as stream:
            record = json.loads(stream.read())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def create(path: str, record: Mapping[str, Any]) -> None:
    """Create the file with one write; raise FileExistsError when it is there."""
    _write_new(path, os.O_EXCL, record)


def replace(path: str, record: Mapping[str, Any]) -> None:
    """Put the record in the place of whatever is there; readers see the old one or the new one."""
    temporary = f"{path}.{os.getpid()}.tmp"
    _write_new(temporary, os.O_TRUNC, record)
    os.rename(temporary, path)


def publish_end(directory: str, record: dict[str, Any]) -> dict[str, Any]:
    """Write `exit` unless a real end is already recorded; return the record that stands.

    For all who are not the leader's parent. The first real record wins; an unknown end replaces nothing.
    """
    path = f"{directory}/{EXIT}"
    temporary = f"{path}.{os.getpid()}.tmp"
    _write_new(temporary, os.O_TRUNC, record)
    try:
        os.link(temporary, path)
        return record
    except FileExistsError:
        standing = read_record(path)
        if standing is not None and (is_known(standing) or not is_known(record)):
            return standing
        os.rename(temporary, path)
        return record
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def is_known(record: Mapping[str, Any]) -> bool:
    """Say whether somebody saw this end, rather than found the process gone."""
    return record.get("reason") not in UNKNOWN_REASONS


def end_record(
    exit_code: int | None, signal: int | None, reason: str, message: str, at: tuple[float, float, str]
) -> dict[str, Any]:
    """Make the content of `exit`; `at` is (epoch seconds, seconds of CLOCK_BOOTTIME, boot id)."""
    wall, boot, boot_id = at
    return {
        "format": FORMAT, "exitCode": exit_code, "signal": signal, "reason": reason, "message": message,
        "at": wall, "boot": boot, "bootId": boot_id,
    }  # fmt: skip


def end_of(
    directory: str, outcome: tuple[int | None, int | None], at: tuple[float, float, str], perhaps_stopped: bool
) -> dict[str, Any]:
    """Make the record of a leader that ended with this (exit code, signal); a noted stop gives the reason."""
    exit_code, signal = outcome
    note = read_record(f"{directory}/{STOP}") if perhaps_stopped else None
    if note is None:
        reason = "Signal" if signal is not None else "ExitCode" if exit_code else ""
        return end_record(exit_code, signal, reason, "", at)
    record = end_record(exit_code, signal, note["reason"], "", at)
    if note["reason"] == "TimedOut":
        order = read_record(f"{directory}/{ORDER}") or {}
        record["message"] = f"stopped after its timeout of {order.get('timeout')} s"
    record["by"] = note["by"]
    return record


def unknown_end(boot_of_claim: str, at: tuple[float, float, str]) -> dict[str, Any]:
    """Make the record of an attempt whose process is gone, and of which nobody can say how it ended."""
    if boot_of_claim != at[2]:
        return end_record(None, None, "MachineRestarted", "the machine was restarted while it ran", at)
    return end_record(None, None, "ExitUnknown", "it ended while nobody was there to see its exit code", at)


def _write_new(path: str, flag: int, record: Mapping[str, Any]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag, 0o600)
    try:
        content = json.dumps(record).encode()
        while content:
            content = content[os.write(fd, content) :]
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(fd)

"""The directory of an attempt, as the one who orders it, the runner and the readers agree on it.

`<state>/runs/<domain|_installation>/<job>/<run>/<n>/` holds `log` (stdout and stderr, one stream, written by the run
itself), `log.gap` (the part of it that went back to the disk) and the attempt's journal, one JSON object a line:

| name         | the line       | written by            | says                                                        |
|--------------|----------------|-----------------------|-------------------------------------------------------------|
| `order.json` | the first      | the runner            | all that a start needs, but no value of a secret            |
| `go`         |                | the runner            | claimed: this attempt never starts again                    |
| `pid`        | has `pid`      | the runner            | the leader: pid, start time (`ticks` of /proc), boot id     |
|              | has `stop`     | the runner            | why it is being stopped, by whom, since when                |
| `exit`       | has `reason`   | who saw it end        | exit code or signal, reason, message, time                  |

The names are links to this one file and say how far the attempt came. A new inode costs ext4 20 us, and 400 us for
minutes after many were deleted; a link costs 7 us, and making one is the claim that nobody can make twice.

The runner imports this module, so it imports nothing of ours and little of the standard library.
"""

from __future__ import annotations

import errno
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FORMAT = 2
"""Of the journal and of the messages between daemon and runner. A runner of another format drains."""

ORDER, GO, PID, EXIT = "order.json", "go", "pid", "exit"
LOG, GAP = "log", "log.gap"

MARKS = ("RECONCILE_RUN", "RECONCILE_ATTEMPT", "RECONCILE_JOB", "RECONCILE_DOMAIN", "RECONCILE_STATE_DIR")
"""The variables that tell the processes of one attempt from all others."""

_UNKNOWN = ("ExitUnknown", "MachineRestarted")


class Journal:
    """What an attempt's journal says; each part is None until it is written."""

    __slots__ = ("end", "order", "start", "stop")

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.order = lines[0] if lines else None
        self.start = next((line for line in lines[1:] if "pid" in line), None)
        self.stop = next((line for line in lines[1:] if "stop" in line), None)
        ends = [line for line in lines[1:] if "reason" in line]
        # The first that somebody saw; an end that was only concluded gives way to it.
        self.end = next((end for end in ends if end["reason"] not in _UNKNOWN), ends[0] if ends else None)


def read_journal(directory: str) -> Journal:
    """Read all that is known of the attempt; a line that was cut short by a full disk is left out."""
    try:
        fd = os.open(f"{directory}/{ORDER}", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return Journal([])
    try:
        content = os.read(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)
    lines = []
    for line in content.split(b"\n")[:-1]:
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return Journal(lines)


def is_claimed(directory: str) -> bool:
    """Say whether a runner has ever taken up this attempt."""
    return os.path.lexists(f"{directory}/{GO}")


def is_ordered(directory: str) -> bool:
    """Say whether the attempt was written down as we understand it, so that whoever finds it carries it out."""
    order = read_journal(directory).order
    return is_claimed(directory) or (order is not None and order.get("format") == FORMAT)


def claim(directory: str) -> None:
    """Claim the attempt's start for ever; raise FileExistsError when it is claimed."""
    os.link(f"{directory}/{ORDER}", f"{directory}/{GO}")


def make(directory: str) -> bool:
    """Make the directory of an attempt, unless an earlier try has; say whether it is new."""
    run = os.path.dirname(directory)
    try:
        os.mkdir(run, 0o700)
    except FileExistsError:
        pass  # an earlier attempt's, or an earlier try at this one
    except FileNotFoundError:
        os.makedirs(run, 0o700, exist_ok=True)
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        return False
    return True


def write_order(directory: str, order: Mapping[str, Any]) -> None:
    """Begin the journal, or begin it again where somebody died before the attempt was claimed."""
    try:
        _write(f"{directory}/{ORDER}", os.O_CREAT | os.O_EXCL, order)
    except FileExistsError:
        replace(f"{directory}/{ORDER}", order)


def write_start(directory: str, start: Mapping[str, Any]) -> None:
    """Note the leader: pid, ticks, bootId, at, boot."""
    _append(directory, start)
    os.link(f"{directory}/{ORDER}", f"{directory}/{PID}")


def write_stop(directory: str, reason: str, by: str, boot: float) -> None:
    """Note that the attempt is being stopped since `boot`, so that its end gets this reason whoever sees it."""
    _append(directory, {"stop": reason, "by": by, "boot": boot})


def write_end(directory: str, end: dict[str, Any], alone: bool) -> dict[str, Any]:
    """Note the end; return the one that stands. `alone`: nobody else can have seen it, so do not look."""
    standing = None if alone else read_journal(directory).end
    if standing is not None and (standing["reason"] not in _UNKNOWN or end["reason"] in _UNKNOWN):
        return standing
    _append(directory, end)
    try:
        os.link(f"{directory}/{ORDER}", f"{directory}/{EXIT}")
    except FileExistsError:
        return read_journal(directory).end or end
    return end


def replace(path: str, record: Mapping[str, Any]) -> None:
    """Put one line in the place of whatever is there; readers see the old file or the new one."""
    temporary = f"{path}.{os.getpid()}.tmp"
    _write(temporary, os.O_CREAT | os.O_TRUNC, record)
    os.rename(temporary, path)


def _append(directory: str, record: Mapping[str, Any]) -> None:
    _write(f"{directory}/{ORDER}", os.O_APPEND, record)


def _write(path: str, flags: int, record: Mapping[str, Any]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
    try:
        content = json.dumps(record).encode() + b"\n"
        written = os.write(fd, content)
        if written < len(content):
            os.ftruncate(fd, os.fstat(fd).st_size - written)  # the disk is full, and half a line is none
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(fd)


def marks_of(environment: Mapping[str, str]) -> frozenset[bytes]:
    """Return the `NAME=value` entries that every process of this attempt carries, if any."""
    if "RECONCILE_RUN" not in environment:
        return frozenset()
    return frozenset(os.fsencode(f"{name}={environment[name]}") for name in MARKS if name in environment)


def end_record(
    exit_code: int | None, signal: int | None, reason: str, message: str, at: tuple[float, float, str]
) -> dict[str, Any]:
    """Make the line of an end; `at` is (epoch seconds, seconds of CLOCK_BOOTTIME, boot id)."""
    wall, boot, boot_id = at
    return {
        "exitCode": exit_code, "signal": signal, "reason": reason, "message": message,
        "at": wall, "boot": boot, "bootId": boot_id,
    }  # fmt: skip


def end_of(
    outcome: tuple[int | None, int | None],
    stop: tuple[str, str] | None,
    timeout: float | None,
    at: tuple[float, float, str],
) -> dict[str, Any]:
    """Make the line of a leader that ended with this (exit code, signal); a `stop` (reason, by) gives the reason."""
    exit_code, signal = outcome
    if stop is None:
        reason = "Signal" if signal is not None else "ExitCode" if exit_code else ""
        return end_record(exit_code, signal, reason, "", at)
    message = f"stopped after its timeout of {timeout:g} s" if stop[0] == "TimedOut" else ""
    return {**end_record(exit_code, signal, stop[0], message, at), "by": stop[1]}


def unknown_end(boot_of_claim: str, at: tuple[float, float, str]) -> dict[str, Any]:
    """Make the line of an attempt whose process is gone, and of which nobody can say how it ended."""
    if boot_of_claim != at[2]:
        return end_record(None, None, "MachineRestarted", "the machine was restarted while it ran", at)
    return end_record(None, None, "ExitUnknown", "it ended while nobody was there to see its exit code", at)

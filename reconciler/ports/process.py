"""Processes as Linux shows them: which boot, who is behind a pid, how it ended, who belongs to a run."""

from __future__ import annotations

import errno
import os
import signal
import struct
import time
from fcntl import ioctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NamedTuple

    class Process(NamedTuple):
        """One line of /proc: `ticks` is the start time since boot, which with the pid names it for ever."""

        pid: int
        state: str
        parent: int
        group: int
        session: int
        ticks: int
        status: int
        """The wait status once the state is `Z`, where we may see it."""

else:
    from collections import namedtuple

    # typing costs the runner a megabyte and three milliseconds.
    Process = namedtuple("Process", "pid state parent group session ticks status")

# linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info) with its first version of 64 bytes, and PIDFD_INFO_EXIT.
_PIDFD_GET_INFO = (3 << 30) | (64 << 16) | (0xFF << 8) | 11
_PIDFD_INFO_EXIT = 1 << 3
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def boot_id() -> str:
    """Return the id of this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()


def look(pid: int) -> Process | None:
    """Return what /proc says of this pid, or None when there is no such process."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        content = os.read(fd, 2048)
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
    # The name may hold blanks and parentheses; the fields begin behind the last one (proc_pid_stat(5)).
    fields = content[content.rindex(b")") + 2 :].split()
    parent, group, session, ticks, status = (int(fields[index]) for index in (1, 2, 3, 19, 49))
    return Process(pid, fields[0].decode(), parent, group, session, ticks, status)


def ticks_now() -> int:
    """Return the start time that a process born now has in /proc: where it is the same before and after a birth, it
    is that of the child, and reading it from /proc, which takes the kernel 50 us, can be spared.

    fs/proc/array.c: the nanoseconds of CLOCK_BOOTTIME at the fork, in ticks (proc_pid_stat(5), field 22).
    """
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) * _TICKS_PER_SECOND // 1_000_000_000


def open_pidfd(pid: int, ticks: int) -> int | None:
    """Open exactly that process, living or not yet reaped; None when it is gone, even if its pid is taken."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    found = look(pid)
    if found is None or found.ticks != ticks:
        os.close(fd)
        return None
    return fd


def status_of_ended(pid: int, ticks: int, pidfd: int) -> int | None:
    """Return the wait status of a process that ended and is not our child; None when the kernel keeps it.

    A zombie shows it in /proc (where we may trace it), a reaped one through the pidfd (Linux 6.15 and later).
    """
    found = look(pid)
    if found is not None and found.ticks == ticks and found.state == "Z":
        return found.status
    info = bytearray(64)
    struct.pack_into("=Q", info, 0, _PIDFD_INFO_EXIT)
    try:
        ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:
        return None
    mask: int = struct.unpack_from("=Q", info, 0)[0]
    status: int = struct.unpack_from("=i", info, 60)[0]
    return status if mask & _PIDFD_INFO_EXIT else None


def exit_of(status: int) -> tuple[int | None, int | None]:
    """Split a wait status into (exit code, signal); one of them is None."""
    if os.WIFSIGNALED(status):
        return None, os.WTERMSIG(status)
    return os.waitstatus_to_exitcode(status), None


def children(pid: int) -> list[int]:
    """Return the children of this process of ours (single-threaded), zombies too."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:
            return [int(word) for word in stream.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [process.pid for process in everything() if process.parent == pid]


def everything() -> list[Process]:
    """Return every process that /proc shows."""
    found = (look(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process is not None]


def carries(pid: int, marks: frozenset[bytes]) -> bool:
    """Say whether this process was started with all of these `NAME=value` entries."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as stream:
            content = stream.readall()
    except OSError:
        return False
    return marks <= set(content.split(b"\0"))


def leader_with(marks: frozenset[bytes]) -> Process | None:
    """Find the first leader of a session that carries these marks; None without marks."""
    if not marks:
        return None
    leaders = [one for one in everything() if one.session == one.pid and carries(one.pid, marks)]
    return min(leaders, key=lambda one: one.ticks, default=None)


def attempt_of(pid: int) -> str | None:
    """Return the path below `runs/` of the attempt that this process was started for, by its environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as stream:
            content = stream.readall()
    except OSError:
        return None
    if b"RECONCILE_RUN=" not in content:
        return None
    found = dict(os.fsdecode(entry).partition("=")[::2] for entry in content.split(b"\0"))
    job, run, number = (found.get(f"RECONCILE_{name}") for name in ("JOB", "RUN", "ATTEMPT"))
    if not (job and run and number):
        return None
    return f"{found.get('RECONCILE_DOMAIN') or '_installation'}/{job}/{run}/{number}"


def command_line(pid: int) -> bytes:
    """Return the words of a process's command line, each ended by NUL; empty for a zombie."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as stream:
            return stream.readall()
    except OSError:
        return b""


def output_of(pid: int) -> str:
    """Return the path of the process's standard output, "" where it may not be seen."""
    try:
        return os.readlink(f"/proc/{pid}/fd/1")
    except OSError:
        return ""


def members(
    leader: int, ticks: int, marks: frozenset[bytes], log: str, table: Iterable[Process]
) -> list[Process]:
    """Return the living processes of a run: leader, session, all with its marks or log, their children.

    A child that forked twice and called setsid is found by its environment, or by the log that it writes to.
    """
    living = [one for one in table if one.state not in "ZX" and one.pid > 1]
    if not leader or any(one.pid == leader and one.ticks != ticks for one in living):
        # The pid was given to a stranger, which the kernel does only once nobody of the session is left.
        leader = -1
    mine = {
        one.pid
        for one in living
        if leader in (one.pid, one.session, one.group)
        or (marks and carries(one.pid, marks))
        or output_of(one.pid) == log
    }
    mine.discard(os.getpid())
    grown = True
    while grown:
        heirs = {one.pid for one in living if one.parent in mine}
        grown = not heirs <= mine
        mine |= heirs
    return [one for one in living if one.pid in mine]


def signal_exactly(process: Process, number: int) -> None:
    """Send a signal to this very process; that it has gone meanwhile, or is not ours, is no error."""
    pidfd = open_pidfd(process.pid, process.ticks)
    if pidfd is None:
        return
    try:
        signal.pidfd_send_signal(pidfd, number)
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.EPERM):
            raise
    finally:
        os.close(pidfd)

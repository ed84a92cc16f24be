"""What the machine gives: its clock, the time zones, cgroups and file watches."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from typing import Final

from reconciler.cli.doctoring import Finding, Subject

_UNSYNCHRONISED: Final = 0x40
BEHIND_SECONDS: Final = 300.0
WEEK_SECONDS: Final = 7 * 86400.0


def findings(subject: Subject) -> Iterator[Finding]:
    yield from _clock(subject)
    yield from _zones()
    yield from _cgroups(subject)
    yield from _watches(subject)


class _Timex(ctypes.Structure):
    """adjtimex(2); what follows the first fields is not looked at."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def _clock(subject: Subject) -> Iterator[Finding]:
    timex = _Timex()
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    help = "enable time synchronisation, such as `timedatectl set-ntp true` or chrony"
    if answer < 0:
        yield Finding("clock", "info", "the kernel does not say whether the clock is synchronised", help)
    elif timex.status & _UNSYNCHRONISED:
        yield Finding(
            "clock", "warning", "the clock is not synchronised: schedules are as wrong as it is", help
        )
    else:
        yield Finding("clock", "ok", f"synchronised, at most {timex.maxerror / 1e6:.2g} s wrong")
    stored = subject.rows("SELECT value FROM meta WHERE key = 'clock'")
    if stored and float(stored[0][0]) > subject.now + BEHIND_SECONDS:
        behind = float(stored[0][0]) - subject.now
        text = (
            f"the clock is {behind:.0f} s behind the last commit of the state: it was set back, or was ahead"
        )
        yield Finding(
            "clock", "error", text, "set it right; until then slots that have their run do not run again"
        )
    steps = subject.rows(
        "SELECT count(DISTINCT at) FROM facts WHERE kind = 'ClockSetBack' AND at > ?",
        subject.now - WEEK_SECONDS,
    )
    if steps and steps[0][0]:
        text = f"the clock was set back {steps[0][0]} times within a week"
        yield Finding(
            "clock", "warning", text, "see what sets it: a virtual machine's host, two NTP clients, a person"
        )


def _zones() -> Iterator[Finding]:
    import zoneinfo

    from reconciler.triggers.tzdata import tzdata_version

    version = tzdata_version()
    if any(os.path.exists(f"{folder}/UTC") for folder in zoneinfo.TZPATH):
        yield Finding("time zones", "ok", f"the machine's own, edition {version}")
    else:
        text = f"the machine has no time zone database; the package `tzdata` {version} is used"
        yield Finding("time zones", "info", text, "install tzdata, so that it is updated with the system")


def _cgroups(subject: Subject) -> Iterator[Finding]:
    from reconciler.runner.cgroup import own_groups

    limited = [name for name, spec in subject.jobs() if (spec.get("limits") or {}).get("memory")]
    try:
        groups = own_groups()
    except OSError:
        groups = []
    if groups:
        yield Finding("cgroups", "ok", f"memory limits count a run's whole tree ({groups[0][0]})")
        return
    text = (
        "no cgroup with a memory limit can be made here: limits.memory bounds each process of a run by itself"
    )
    help = "with systemd: `Delegate=yes` in the unit; in a container: a writable cgroup2 with the memory controller"
    yield Finding("cgroups", "warning" if limited else "info", text, help)


def _watches(subject: Subject) -> Iterator[Finding]:
    folders = 0
    if subject.repository:
        folders = sum(1 for _ in os.walk(os.path.join(subject.repository, "jobs.d")))
    patterns = {
        pattern for _, spec in subject.jobs() for pattern in (spec.get("automatic") or {}).get("onChange", ())
    }
    needed = folders + len(patterns)
    try:
        with open("/proc/sys/fs/inotify/max_user_watches", encoding="ascii") as file:
            most = int(file.read())
        with open("/proc/sys/fs/inotify/max_user_instances", encoding="ascii") as file:
            instances = int(file.read())
    except (OSError, ValueError):
        yield Finding("file watches", "info", "the kernel does not say how many files may be watched")
        return
    words = f"{needed} of {most} watches needed"
    if needed > most * 0.8 or instances < 16:
        help = "sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512; until then edits wait"
        yield Finding("file watches", "warning", f"{words}, {instances} instances", f"{help} for --interval")
    else:
        yield Finding("file watches", "ok", words)

"""A cgroup for a run with a memory limit: joining one costs 16 ms, so runs without that limit do without.

The limit counts the whole tree, and the kernel tells whether it killed for it. Version 2 with the memory controller
delegated to us is used where it is, else the memory hierarchy of version 1. Where neither can be written, the run gets
RLIMIT_DATA: a bound on each process's own writable memory. (RLIMIT_AS would also count address space that is only
reserved, which Java, Go and node do by the gigabyte.)
"""

from __future__ import annotations

import binascii
import os

from reconciler.ports.attempt import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple

    class _Kind(NamedTuple):
        limit: str
        swap: str
        events: str

else:
    from collections import namedtuple

    _Kind = namedtuple("_Kind", "limit swap events")

_V2 = _Kind("memory.max", "memory.swap.max", "memory.events")
_V1 = _Kind("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control")


def own_groups(
    mounts: str = "/proc/self/mounts", membership: str = "/proc/self/cgroup"
) -> list[tuple[str, _Kind]]:
    """Return where a child group with a memory limit may be made: (folder, file names), best first."""
    with open(membership, encoding="utf-8") as stream:
        mine = {line.split(":", 2)[1]: line.rstrip("\n").split(":", 2)[2] for line in stream}
    found = []
    with open(mounts, encoding="utf-8") as stream:
        for _, folder, kind, options, *_rest in (line.split() for line in stream):
            if kind == "cgroup2" and "" in mine:
                found.append((folder + mine[""].rstrip("/"), _V2))
            elif kind == "cgroup" and "memory" in options.split(",") and "memory" in mine:
                found.append((folder + mine["memory"].rstrip("/"), _V1))
    return sorted((place for place in found if _can_limit(*place)), key=lambda place: place[1] is _V1)


def _can_limit(folder: str, kind: _Kind) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    if kind is _V1:
        return True
    try:
        with open(f"{folder}/cgroup.subtree_control", encoding="ascii") as stream:
            return "memory" in stream.read().split()
    except OSError:
        return False


class Group:
    """One run's cgroup. Its name follows from the attempt's directory, so that a later runner finds it again."""

    def __init__(self, parent: str, kind: _Kind, directory: str) -> None:
        run = directory.rsplit("/", 2)[1]
        self._folder = f"{parent}/reconcile-{binascii.crc32(os.fsencode(directory)):08x}-{run}"[:250]
        self._kind = kind

    def exists(self) -> bool:
        return os.path.isdir(self._folder)

    def make(self, memory_bytes: int) -> None:
        """Make the group with its limit."""
        kind = self._kind
        os.makedirs(self._folder, exist_ok=True)
        _write(f"{self._folder}/{kind.limit}", memory_bytes)
        try:
            # Without this a run at its limit swaps for hours instead of ending.
            _write(f"{self._folder}/{kind.swap}", memory_bytes if kind is _V1 else 0)
        except OSError:
            return  # no swap accounting in this kernel

    def join(self) -> None:
        """Move this process (the child, before exec) into the group."""
        _write(f"{self._folder}/cgroup.procs", os.getpid())

    def was_hit(self) -> bool:
        """Say whether the kernel killed in this group because its memory was used up."""
        try:
            with open(f"{self._folder}/{self._kind.events}", encoding="ascii") as stream:
                return any(
                    line.split() > ["oom_kill", "0"] for line in stream if line.startswith("oom_kill ")
                )
        except OSError:
            return False

    def remove(self) -> bool:
        """Remove the group; False while processes are left in it."""
        try:
            os.rmdir(self._folder)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


def make(directory: str, memory_bytes: int) -> Group | None:
    """Make a group for the attempt in this directory, or return None where the machine lets us make none."""
    for folder, kind in own_groups():
        group = Group(folder, kind, directory)
        try:
            group.make(memory_bytes)
        except OSError:
            group.remove()
            continue
        return group
    return None


def find(directory: str) -> Group | None:
    """Find the group that an earlier runner made for this attempt."""
    groups = (Group(folder, kind, directory) for folder, kind in own_groups())
    return next((group for group in groups if group.exists()), None)


def _write(path: str, value: int) -> None:
    with open(path, "w", encoding="ascii") as stream:
        stream.write(str(value))

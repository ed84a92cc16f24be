"""How the C library keeps memory: a daemon gives back what a load or a page of metrics needed for a moment."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_LARGE_BYTES = 128 << 10


def be_thrifty() -> None:
    """Take one arena for all threads, and map large blocks on their own, so that freeing returns them (mallopt(3)).

    By itself glibc raises the size from which it does so to that of the largest block ever freed. Elsewhere: nothing.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_ARENA_MAX, 1)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Return free memory to the system (malloc_trim(3)), after something large was done with."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)

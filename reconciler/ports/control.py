"""How one connects to the daemon's control socket, however long the path of the state is."""

from __future__ import annotations

import os
import socket
from typing import Final

SOCKET: Final = "control.sock"
_LONGEST: Final = 100
"""An address holds 108 bytes."""


def connected(state: str, timeout_seconds: float) -> socket.socket:
    """Connect to the daemon of a state. Raise OSError."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(timeout_seconds)
    path = os.path.join(state, SOCKET)
    folder = -1
    try:
        if len(os.fsencode(path)) >= _LONGEST:
            # A long path is told by the open folder.
            folder = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            path = f"/proc/self/fd/{folder}/{SOCKET}"
        link.connect(path)
    except BaseException:
        link.close()
        raise
    finally:
        if folder >= 0:
            os.close(folder)
    return link

"""systemd's readiness protocol (sd_notify(3)); does nothing when systemd did not start us."""

from __future__ import annotations

import os
import socket


def notify(*assignments: str) -> None:
    """Send `READY=1`, `STATUS=...` and the like; a notification that cannot be sent is no fault of ours."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto("\n".join(assignments).encode(), address)
        except OSError:
            return

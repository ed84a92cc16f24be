"""`POST /-/sync`: whoever knows the shared secret may have the source looked at now, such as a forge after a push."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

SECRET: Final = "sync"  # noqa: S105 - the name of the file that holds it
MAX_BODY: Final = 5 << 20
"""A forge describes the whole push; what is larger is refused unread."""


class SyncDoor:
    """Checks who asks. The secret is read each time, so that a new one counts at once."""

    def __init__(self, secrets: Path, look: Callable[[], None]) -> None:
        self._secrets, self._look = secrets, look

    def answer(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """The status and what to say; without a secret there is no such door (404)."""
        secret = self._secret()
        if not secret:
            return 404, "there is nothing at /-/sync"
        if not _is_known(secret, headers, body):
            return 401, "send the secret as `Authorization: Bearer`, or sign with it (`X-Hub-Signature-256`)"
        self._look()
        return 200, "the source is looked at now"

    def _secret(self) -> bytes:
        try:
            return (self._secrets / SECRET).read_bytes().strip()
        except OSError:
            return b""


def _is_known(secret: bytes, sent: Mapping[str, str], body: bytes) -> bool:
    headers = {name.lower(): value for name, value in sent.items()}
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and hmac.compare_digest(_bytes(token.strip()), secret):
        return True
    signed = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(_bytes(headers.get("x-hub-signature-256", "")), f"sha256={signed}".encode())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

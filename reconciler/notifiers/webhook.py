"""Webhooks: a signed POST of a CloudEvent (1.0, structured JSON) to an http or https address.

The secret of the webhook's name holds the address in its first line and, in a second one, the key that signs. The
signature stands in `X-Reconciler-Signature: sha256=<hex>`: the HMAC of the body. A delivery that is tried again has
the same `id`. Redirects are not followed: the address is what was written down.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from reconciler import __version__
from reconciler.core.report_page import page_of
from reconciler.notifiers import webhook_of
from reconciler.ports.notifier import TIMEOUT_SECONDS, Outcome, Parcel, Receipt, Setting

SCHEMES = ("http", "https")
_LEFT_OUT = ("tail", "level", "attachLog", "because")


def make(setting: Setting) -> Webhook:
    return Webhook(setting)


class Webhook:
    """Posts events."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def send(self, parcels: Sequence[Parcel], address: str) -> Iterator[Receipt]:
        for parcel in parcels:
            try:
                _, key = webhook_of(self._setting, parcel.recipient)
                status, reason = self._post(address, self.event(parcel), key.encode())
            except (OSError, http.client.HTTPException, ValueError) as error:
                # One of several webhooks: its server's trouble is not that of the others.
                why = (
                    f"{_origin(address)}: {getattr(error, 'strerror', None) or error or type(error).__name__}"
                )
                yield Receipt(parcel.id, Outcome.LATER, why)
                continue
            if status < 300:
                yield Receipt(parcel.id, Outcome.SENT)
                continue
            again = status >= 500 or status in (408, 425, 429)
            outcome = Outcome.LATER if again else Outcome.REFUSED
            yield Receipt(parcel.id, outcome, f"{_origin(address)} answered {status} {reason}")

    def event(self, parcel: Parcel) -> dict[str, Any]:
        """The CloudEvent of a letter."""
        page = page_of(parcel.body, parcel.recipient, self._setting.host)
        items = [
            {key: value for key, value in item.items() if key not in _LEFT_OUT}
            for item in parcel.body.get("items", ())
        ]
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": parcel.message_id,
            "source": f"urn:reconciler:{self._setting.installation}",
            "type": f"reconciler.report.{page.kind}",
            "time": datetime.fromtimestamp(parcel.created, UTC).isoformat(timespec="seconds"),
            "datacontenttype": "application/json",
            "data": {"summary": page.lead, "host": self._setting.host, "outcomes": items},
        }
        if len(items) == 1:
            event["subject"] = items[0]["target"]
        return event

    def _post(self, address: str, event: Mapping[str, Any], key: bytes) -> tuple[int, str]:
        body = json.dumps(event, ensure_ascii=False).encode("utf-8", "replace")
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": f"reconcile/{__version__}",
        }
        if key:
            headers["X-Reconciler-Signature"] = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
        url = urlsplit(address)
        link: http.client.HTTPConnection
        if url.scheme == "https":
            context = ssl.create_default_context()
            link = http.client.HTTPSConnection(
                url.hostname or "", url.port, timeout=TIMEOUT_SECONDS, context=context
            )
        else:
            link = http.client.HTTPConnection(url.hostname or "", url.port, timeout=TIMEOUT_SECONDS)
        try:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            link.request("POST", path, body, headers)
            answer = link.getresponse()
            answer.read(1 << 16)
            return answer.status, answer.reason
        finally:
            link.close()


def _origin(address: str) -> str:
    """The address without what may be secret in it: path and user."""
    url = urlsplit(address)
    return f"{url.scheme}://{url.hostname}" + (f":{url.port}" if url.port else "")

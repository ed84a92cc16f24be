"""Chat and paging services through Apprise (`pip install 'reconciler[apprise]'`): every scheme that it knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from reconciler.core import report_text
from reconciler.core.report_page import page_of
from reconciler.ports.notifier import Outcome, Parcel, Receipt, Setting

SCHEMES = ("*",)
_KINDS = {"success": "success", "recovered": "success", "failure": "failure", "interrupted": "failure"}
_MOST_CHARACTERS = 4000


def make(setting: Setting) -> Services:
    return Services(setting)


class Services:
    """Sends reports as short texts."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def send(self, parcels: Sequence[Parcel], address: str) -> Iterator[Receipt]:
        scheme = urlsplit(address).scheme
        try:
            import apprise
        except ImportError:
            why = f"`{scheme}://` needs Apprise: pip install 'reconciler[apprise]'"
            yield from (Receipt(parcel.id, Outcome.LATER, why) for parcel in parcels)
            return
        service: Any = apprise.Apprise()
        if not service.add(address):
            why = f"Apprise does not understand the `{scheme}://` address in the secret `{parcels[0].recipient}`"
            yield from (Receipt(parcel.id, Outcome.REFUSED, why) for parcel in parcels)
            return
        for parcel in parcels:
            page = page_of(parcel.body, parcel.recipient, self._setting.host)
            text = report_text.render(page)[:_MOST_CHARACTERS]
            sent = service.notify(body=text, title=page.subject, notify_type=_KINDS.get(page.kind, "warning"))
            yield Receipt(
                parcel.id, Outcome.SENT if sent else Outcome.LATER, "" if sent else f"{scheme}:// failed"
            )

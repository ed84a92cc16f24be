"""How reports leave the house. The folder is the list: each module says which schemes of an address it takes."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import ModuleType
from urllib.parse import urlsplit

from reconciler.core.report import MAIL
from reconciler.ports.notifier import Outcome, Parcel, Receipt, Setting

ANY = "*"
"""The scheme of a notifier that takes what no other one does."""


def found() -> dict[str, ModuleType]:
    """Every notifier there is, by the scheme that it takes."""
    modules: dict[str, ModuleType] = {}
    for info in pkgutil.iter_modules(__path__):
        module = import_module(f"{__name__}.{info.name}")
        for scheme in getattr(module, "SCHEMES", ()):
            assert scheme not in modules, f"{info.name} takes {scheme}, which another notifier does too"
            modules[scheme] = module
    return modules


def send_all(parcels: Sequence[Parcel], setting: Setting) -> Iterator[Receipt]:
    """Send parcels of one medium, one receipt each."""
    known = found()
    by_address: dict[str, list[Parcel]] = {}
    for parcel in parcels:
        try:
            address = "mailto:" if parcel.medium == MAIL else webhook_of(setting, parcel.recipient)[0]
        except OSError as error:
            why = f"cannot read the secret `{parcel.recipient}` in {setting.secrets}: {error.strerror}"
            yield Receipt(parcel.id, Outcome.LATER, why)
            continue
        by_address.setdefault(address, []).append(parcel)
    for address, some in by_address.items():
        scheme = urlsplit(address).scheme
        module = known.get(scheme) or known.get(ANY)
        if module is None or not scheme:
            why = f"no notifier takes `{scheme}://` (the secret `{some[0].recipient}` has the address)"
            yield from (Receipt(parcel.id, Outcome.REFUSED, why) for parcel in some)
            continue
        yield from module.make(setting).send(some, address)


def webhook_of(setting: Setting, name: str) -> tuple[str, str]:
    """The address and the key of a webhook: the first two lines of the secret of its name that are not blank.

    "" stands for what is not there. Raise OSError.
    """
    lines = (setting.secrets / name).read_text(encoding="utf-8").split("\n")
    address, key, *_ = *filter(None, map(str.strip, lines)), "", ""
    return address, key

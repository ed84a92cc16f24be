"""One module per kind of document; the folder is the list. Each module has a `KIND`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from reconciler.spec.fields import Model


class Fault(NamedTuple):
    """Something that a kind's own check found, and the field that it speaks of."""

    code: str
    message: str
    help: str = ""
    field: tuple[str | int, ...] = ()


Body = Mapping[str, Any]


def _nothing(body: Body) -> Iterator[Fault]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of document: its model, and what the model cannot say, checked on the plain body."""

    name: str
    model: type[Model]
    """The whole document: apiVersion, kind, metadata, spec."""
    check: Callable[[Body], Iterator[Fault]] = _nothing
    check_in_domain: Callable[[Body, str], Iterator[Fault]] | None = None
    """The further rules in a domain's own folder; None: the kind is not allowed there."""


@cache
def kinds() -> Mapping[str, Kind]:
    """All kinds, by name."""
    found = [import_module(f"{__name__}.{module.name}").KIND for module in pkgutil.iter_modules(__path__)]
    return {kind.name: kind for kind in sorted(found, key=lambda kind: kind.name)}

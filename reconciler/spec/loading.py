"""How accepting loads and resolves: YAML files through pydantic, only when there is one to parse."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from reconciler.core.diagnostics import Diagnostic
from reconciler.spec.lastgood import Loader, ReadBeside, Resolution, Specs
from reconciler.spec.load import load_file
from reconciler.spec.objects import Identity, LoadedFile
from reconciler.spec.resolve import ResolveCache, resolve


def loader_of(
    cache: ResolveCache,
    *,
    transactional: bool = False,
    clock: Callable[[], datetime] | None = None,
    is_handled: Callable[[str], bool] = lambda token: False,
) -> Loader:
    """The loader of YAML documents. `cache` makes the next resolving cheap.

    `clock` tells which requests have expired and need no valid references any more; without it, all need them.
    Nor do those whose token was handled.
    """

    def load(path: str, content: bytes, area: str | None, beside: ReadBeside) -> LoadedFile:
        return load_file(path, content, area, read_beside=beside)

    def resolve_now(objects: Specs, last_good: Specs, broken: Collection[Identity]) -> Resolution:
        now = clock() if clock else None
        return resolve(objects, cache, last_good=last_good, broken=broken, now=now, is_handled=is_handled)

    def locate(diagnostic: Diagnostic, content: bytes) -> Diagnostic:
        from reconciler.spec import places

        return places.locate(diagnostic, content)

    return Loader(load, resolve_now, locate, transactional)

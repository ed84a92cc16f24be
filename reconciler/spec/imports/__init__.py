"""Existing schedules as `jobs.d` documents: one module per kind, found by the folder; text in, text out.

A module offers `convert(files, options)`; its first docstring line says what it reads. What has no counterpart
here is said twice, in a comment of its document and as a remark, and is never dropped in silence.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import cast

from reconciler.spec.imports._documents import File, Imported, Options, Remark

__all__ = ["File", "Imported", "Options", "Remark", "convert", "kinds"]


def kinds() -> tuple[str, ...]:
    """What can be imported, in alphabetical order."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"))


def convert(kind: str, files: Sequence[File], options: Options | None = None) -> Imported:
    """Turn the (name, text) of `files` into documents; raise KeyError for an unknown kind."""
    if kind not in kinds():
        raise KeyError(kind)
    module = importlib.import_module(f"{__name__}.{kind}")
    function = cast(Callable[[Sequence[File], Options], Imported], module.convert)
    return function(files, options or Options())

"""Where the desired files come from; `open_source` picks the mode by what `serve` or `apply` were told."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from reconciler.ports.source import Source


class SourceOptions(Protocol):
    """What is told by flags and the environment, never by the files themselves."""

    @property
    def directory(self) -> Path: ...
    @property
    def ref(self) -> str: ...


def open_source(options: SourceOptions) -> Source:
    """The source that the options speak of."""
    from reconciler.sources.folder import FolderSource

    return FolderSource(options.directory)

"""Where the desired files come from; `open_source` picks the mode by what `serve` or `apply` were told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from reconciler.core.desired import Administrator
from reconciler.ports.source import Source


class SourceOptions(Protocol):
    """What is told by flags and the environment, never by the files themselves."""

    @property
    def directory(self) -> Path: ...
    @property
    def ref(self) -> str: ...
    @property
    def remote(self) -> str: ...
    @property
    def interval_seconds(self) -> float: ...
    @property
    def secrets(self) -> Path: ...
    @property
    def allowed_signers(self) -> Path | None: ...


class BadSource(ValueError):
    """The options do not go together; the text says what to do."""


def check_options(options: SourceOptions) -> None:
    """Raise BadSource where the options do not go together."""
    if not options.ref:
        for name, value in (("--remote", options.remote), ("--allowed-signers", options.allowed_signers)):
            if value:
                raise BadSource(
                    f"{name} needs --ref: commits are fetched and verified, a folder is read as it is"
                )
    elif not options.ref.startswith("refs/"):
        raise BadSource(f"--ref takes a full name, such as refs/heads/{options.ref}")


def open_source(
    options: SourceOptions, administrators: Callable[[], Iterable[Administrator]] = lambda: ()
) -> Source:
    """The source that the options speak of; `administrators` are those in force, who may sign. Raises BadSource."""
    check_options(options)
    if not options.ref:
        from reconciler.sources.folder import FolderSource

        return FolderSource(options.directory)
    from reconciler.sources.gitref import RefOptions, RefSource

    return RefSource(
        RefOptions(
            options.directory,
            options.ref,
            options.remote,
            options.interval_seconds,
            options.secrets,
            options.allowed_signers,
        ),
        administrators,
    )

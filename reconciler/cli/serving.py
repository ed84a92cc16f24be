"""What `serve`, `apply` and `plan` are told about the source, as options and in the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call
from reconciler.cli.reading import repository_of, state_of

if TYPE_CHECKING:
    from reconciler.daemon.options import Options, ServeOptions

F = TypeVar("F", bound=Callable[..., Any])
Told = TypeVar("Told", bound="Options")
SECRETS: Final = "/etc/reconciler/secrets"

_OPTIONS: Final = (
    ("--ref", "ref", "REF", "", "Read this git ref instead of the folder, such as refs/heads/main."),
    ("--remote", "remote", "NAME", "", "Fetch from this remote before."),
    ("--interval", "interval", "T", "30s", "Between two looks at the whole source."),
    ("--allowed-signers", "allowed_signers", "FILE", "", "Whose commits may touch which domain area."),
    ("--secrets", "secrets", "DIR", "", f"The secrets, a file each ($CREDENTIALS_DIRECTORY or {SECRETS})."),
    ("--host", "host", "NAME", "", "What to compare with Installation.hosts instead of this machine's name."),
)


def source_options(function: F) -> F:
    """Add the options about the source; the verb gets them as one dict by `**source`."""
    decorated = click.option(
        "--transactional", is_flag=True, envvar="RECONCILE_TRANSACTIONAL", help="All files or none."
    )(function)
    for flag, name, metavar, default, text in reversed(_OPTIONS):
        decorated = click.option(
            flag, name, metavar=metavar, default=default, envvar=f"RECONCILE_{name.upper()}", help=text
        )(decorated)
    return decorated


def _common(call: Call, source: dict[str, Any]) -> dict[str, Any]:
    from pathlib import Path

    secrets = source["secrets"] or os.environ.get("CREDENTIALS_DIRECTORY") or SECRETS
    signers = source["allowed_signers"]
    return {
        "directory": Path(repository_of(call)),
        "state": Path(state_of(call)),
        "secrets": Path(secrets).absolute(),
        "host": source["host"],
        "ref": source["ref"],
        "remote": source["remote"],
        "interval_seconds": seconds_of(source["interval"]),
        "allowed_signers": Path(signers).absolute() if signers else None,
        "transactional": source["transactional"],
    }


def options_of(call: Call, source: dict[str, Any]) -> Options:
    """What `apply` and `plan` were told."""
    from reconciler.daemon.options import Options

    return _checked(Options(**_common(call, source)))


def serve_options_of(call: Call, source: dict[str, Any], **more: Any) -> ServeOptions:
    """What `serve` was told."""
    from reconciler.daemon.options import ServeOptions

    return _checked(ServeOptions(**_common(call, source), **more))


def _checked(options: Told) -> Told:
    from reconciler.sources import BadSource, check_options

    try:
        check_options(options)
    except BadSource as error:
        raise Failure(Exit.USAGE, str(error)) from None
    return options


def seconds_of(text: str) -> float:
    """A duration that somebody typed."""
    from reconciler.core.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from None

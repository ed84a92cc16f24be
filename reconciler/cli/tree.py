"""Read `jobs.d` as it lies there, for verbs that work without a state: no waiting for git, no last good."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.cli.exits import Exit, Failure
from reconciler.ports.source import READ_LIMIT, TREE, is_ignored

if TYPE_CHECKING:
    from reconciler.spec.validate import Validated


def files_of(repository: str) -> Iterator[tuple[str, bytes]]:
    """Every file that counts, as (path from the repository, content)."""
    for folder, below, names in os.walk(os.path.join(repository, TREE)):
        below[:] = sorted(name for name in below if not is_ignored(name))
        for name in sorted(names):
            if is_ignored(name):
                continue
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as file:
                    yield os.path.relpath(path, repository), file.read(READ_LIMIT)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise Failure(Exit.FAILED, f"could not read {path}: {error.strerror}") from None


def validated(repository: str) -> Validated:
    """Load, check and resolve the whole tree."""
    from reconciler.clock import wall
    from reconciler.spec.validate import validate_tree

    return validate_tree(files_of(repository), wall())


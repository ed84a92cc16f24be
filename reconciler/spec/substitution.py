"""`$(NAME)` in command lines: which names are known, and putting the values in. There is no shell in between."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

FIXED_NAMES: Final = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG")
RUN_NAMES: Final = (
    "RECONCILE_JOB",
    "RECONCILE_DOMAIN",
    "RECONCILE_RUN",
    "RECONCILE_GROUP",
    "RECONCILE_SLOT",
    "RECONCILE_TRIGGER",
    "RECONCILE_ATTEMPT",
    "RECONCILE_REVISION",
    "RECONCILE_LAST_SUCCESS",
    "RECONCILE_STATE_DIR",
)

_REFERENCE: Final = re.compile(r"\$\$\(|\$\(([^()]*)(\)?)")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def is_variable(name: str) -> bool:
    """Whether `name` can name an environment variable."""
    return _VARIABLE.fullmatch(name) is not None


def parameter_variable(name: str) -> str:
    """The variable in which a run finds its parameter: `dry-run` is RECONCILE_PARAM_DRY_RUN."""
    return "RECONCILE_PARAM_" + name.upper().replace("-", "_")


def references(words: Iterable[str]) -> list[tuple[int, str, bool]]:
    """List (index of the word, name, whether it is closed by a bracket) of each `$(NAME)` in a command line."""
    found = []
    for index, word in enumerate(words):
        if "$(" in word:
            for match in _REFERENCE.finditer(word):
                if match.group() != "$$(":
                    found.append((index, match.group(1), bool(match.group(2))))
    return found


def substitute(words: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Put the values of `environment` into a command line; `$$(` becomes a literal `$(`.

    Every name was checked when the document was loaded; raise KeyError for one that is not there all the same.
    """

    def value(match: re.Match[str]) -> str:
        return "$(" if match.group() == "$$(" else environment[match.group(1)]

    return tuple(_REFERENCE.sub(value, word) if "$(" in word else word for word in words)

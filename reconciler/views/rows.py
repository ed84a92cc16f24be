"""What views share: instants as text, the viewer's scope and the filters as SQL."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from reconciler.views import BadQuery, UnknownName

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer

OVER: Final = ("success", "warning", "failure", "interrupted", "cancelled", "skipped", "missed")
INSTALLATION: Final = "_installation"
"""How a query names the jobs of the installation where a domain stands; also their folder's name."""

RUN_STATES: Final = ("queued", "running", *OVER)


def iso(seconds: float | None) -> str | None:
    """Epoch seconds as RFC 3339 in UTC, to the second."""
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def target_text(job: str, domain: str) -> str:
    return f"{job}@{domain}" if domain else job


def run_folder(state: str, job: str, domain: str, run: str) -> str:
    """The directory of a run (CONTRACT.md 3)."""
    return f"{state}/runs/{domain or INSTALLATION}/{job}/{run}"


def state_of(connection: sqlite3.Connection) -> str:
    """The state directory that this connection reads."""
    for _, name, path in connection.execute("PRAGMA database_list"):
        if name == "main" and path:
            return str(path).rpartition("/")[0] or "/"
    raise AssertionError("the state is a file")


_HOLDER: Final = re.compile(r"\b(held by|is first for) ([^\s,@/]+)(?:@([^\s,/]+))?/[^\s,]+")


def why_shown(who: Viewer, text: str) -> str:
    """Why a run waits, without the names of runs that do not exist for this viewer."""

    def name(match: re.Match[str]) -> str:
        return match[0] if who.sees(match[3] or "") else f"{match[1]} a run of others"

    return text if who.is_system else _HOLDER.sub(name, text)


class Where:
    """A growing WHERE clause; starts with what the viewer sees, so that no view can forget it."""

    def __init__(self, who: Viewer, column: str = "domain") -> None:
        self.clauses: list[str] = []
        self.values: list[Any] = []
        if who.is_system:
            return
        seen = [domain for domain in who.domains if who.sees(domain)]
        self.add(f"{column} IN ({','.join('?' * len(seen))})", *seen)

    def add(self, clause: str, *values: Any) -> None:
        self.clauses.append(clause)
        self.values.extend(values)

    def __str__(self) -> str:
        return " AND ".join(f"({clause})" for clause in self.clauses) or "1"


def in_domain(where: Where, who: Viewer, query: Mapping[str, str], column: str = "domain") -> None:
    """Narrow to `domain=`; a domain that the viewer does not see is unknown."""
    asked = query.get("domain")
    if asked:
        domain = "" if asked == INSTALLATION else asked
        if not who.sees(domain):
            raise UnknownName(f"there is no domain `{asked}`")
        where.add(f"{column} = ?", domain)


def with_labels(where: Where, query: Mapping[str, str]) -> None:
    """Narrow to `label=`: comma-separated `key=value`, `key!=value` or `key`, all of which must hold."""
    for term in filter(None, query.get("label", "").split(",")):
        key, sign, value = term.partition("=")
        negative = key.endswith("!")
        key = key.removesuffix("!").strip()
        if not key or '"' in key or (negative and not sign):
            raise BadQuery(f"`{term}` is not a label filter: write key=value, key!=value or key")
        path = f'$."{key}"'
        if not sign:
            where.add("json_extract(labels, ?) IS NOT NULL", path)
        elif negative:
            where.add("json_extract(labels, ?) IS NOT ?", path, value.strip())
        else:
            where.add("json_extract(labels, ?) = ?", path, value.strip())


def containing(connection: sqlite3.Connection, where: Where, query: Mapping[str, str], columns: str) -> None:
    """Narrow to `contains=`: the word stands in one of the columns, whatever the case in any script."""
    word = query.get("contains")
    if word:
        folded = word.casefold()
        connection.create_function(
            "has_word", -1, lambda *texts: any(text and folded in text.casefold() for text in texts)
        )
        where.add(f"has_word({columns})")


def words(text: str, allowed: Iterable[str], what: str) -> list[str]:
    """Split a comma-separated filter and refuse what it cannot contain."""
    found = [word.strip() for word in text.split(",") if word.strip()]
    known = list(allowed)
    for word in found:
        if word not in known:
            raise BadQuery(f"`{word}` is not a {what}: there are {', '.join(known)}")
    return found


def limited(query: Mapping[str, str], default: int) -> int:
    """The `limit=` of a query; 0 means all, which SQLite writes as -1."""
    text = query.get("limit") or str(default)
    if not text.isdigit():
        raise BadQuery(f"`{text}` is not a limit: write a number, 0 for all")
    return int(text) or -1


def number(query: Mapping[str, str], key: str, default: float = 0.0) -> float:
    """A number of a query, such as epoch seconds."""
    text = query.get(key)
    if not text:
        return default
    try:
        return float(text)
    except ValueError:
        raise BadQuery(f"`{key}={text}` is not a number") from None

"""Find targets and runs by what a person types; what the viewer may not see is neither found nor suggested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from reconciler.views import BadQuery, UnknownName
from reconciler.views.rows import INSTALLATION, Where, in_domain, target_text

if TYPE_CHECKING:
    import sqlite3

    from reconciler.core.access import Viewer


class Named(NamedTuple):
    """A target, and a run and an attempt of it where the text named one."""

    job: str
    domain: str
    run: str = ""
    attempt: int = 0


def did_you_mean(text: str, candidates: Iterable[str]) -> str:
    """A hint with what looks most like the text; "" when nothing does."""
    from reconciler.core.diagnostics import did_you_mean as nearest

    name = nearest(text, candidates)
    return f"did you mean `{name}`?" if name else ""


def targets_named(
    connection: sqlite3.Connection, who: Viewer, text: str, query: Mapping[str, str]
) -> list[tuple[str, str]]:
    """All (job, domain) that `job`, `job@domain` or `job` with `domain=` names, never none."""
    job, at, domain = text.partition("@")
    where = Where(who)
    in_domain(where, who, query)
    where.add("job = ?", job)
    if at:
        where.add("domain = ?", "" if domain == INSTALLATION else domain)
    rows = connection.execute(
        f"SELECT job, domain FROM targets WHERE {where} ORDER BY gone, domain",
        where.values,
    ).fetchall()
    if not rows:
        raise UnknownName(f"there is no job `{text}`", suggestion(connection, who, text))
    return [(row[0], row[1]) for row in rows]


def suggestion(connection: sqlite3.Connection, who: Viewer, text: str) -> str:
    """Say which visible names look like the text, or what to do when there are none at all."""
    where = Where(who)
    rows = connection.execute(
        f"SELECT job, domain FROM targets WHERE {where}",
        where.values,
    ).fetchall()
    if not rows:
        return "there are no jobs yet; `reconcile validate` checks the files, `reconcile apply` applies them"
    job, at, _ = text.partition("@")
    if at:
        return did_you_mean(text, {target_text(row[0], row[1]) for row in rows})
    return did_you_mean(job, {row[0] for row in rows}) or "`reconcile get jobs` lists them"


def named(connection: sqlite3.Connection, who: Viewer, text: str, query: Mapping[str, str]) -> Named:
    """One target or run named as `job`, `job@domain`, `target/run`, `run`, each run also with `/attempt`."""
    parts = text.split("/")
    attempt = 0
    if len(parts) > 1 and len(parts[-1]) < 4 and parts[-1].isdigit():
        attempt = int(parts.pop())
    if len(parts) > 2:
        raise BadQuery(f"`{text}` is not a name: write job@domain, job@domain/run or job@domain/run/attempt")
    if len(parts) == 2:
        job, domain = _one(targets_named(connection, who, parts[0], query), parts[0])
        return Named(job, domain, _run_of(connection, job, domain, parts[1]), attempt)
    try:
        found = targets_named(connection, who, parts[0], query)
    except UnknownName:
        bare = _run_alone(connection, who, parts[0], query)
        if bare is None:
            raise
        return bare._replace(attempt=attempt)
    job, domain = _one(found, parts[0])
    return Named(job, domain, "", attempt)


def _one(found: list[tuple[str, str]], text: str) -> tuple[str, str]:
    if len(found) > 1:
        first = target_text(*found[0])
        raise BadQuery(f"`{text}` has {len(found)} targets: say which with -n DOMAIN or `{first}`")
    return found[0]


def _run_of(connection: sqlite3.Connection, job: str, domain: str, run: str) -> str:
    row = connection.execute(
        "SELECT run FROM runs WHERE job = ? AND domain = ? AND run = ?", (job, domain, run)
    ).fetchone()
    if row is None:
        recent = connection.execute(
            "SELECT run FROM runs WHERE job = ? AND domain = ? ORDER BY id DESC LIMIT 200", (job, domain)
        )
        target = target_text(job, domain)
        hint = did_you_mean(run, (r[0] for r in recent)) or f"`reconcile history {target}` lists its runs"
        raise UnknownName(f"`{target}` has no run `{run}`", hint)
    return str(row[0])


def _run_alone(
    connection: sqlite3.Connection, who: Viewer, text: str, query: Mapping[str, str]
) -> Named | None:
    where = Where(who)
    in_domain(where, who, query)
    where.add("run = ?", text)
    rows = connection.execute(
        f"SELECT job, domain, run FROM runs WHERE {where} LIMIT 50",
        where.values,
    ).fetchall()
    if len(rows) > 1:
        first = f"{target_text(rows[0][0], rows[0][1])}/{rows[0][2]}"
        raise BadQuery(f"{len(rows)} targets have a run `{text}`: say which, such as `{first}`")
    return Named(*rows[0]) if rows else None

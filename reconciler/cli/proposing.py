"""What applying would change: the files against what is in force, computed here and nowhere written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.reading import DATABASE
from reconciler.ports.database import FILE_ROWS, OBJECT_ROWS, opened

if TYPE_CHECKING:
    from reconciler.core.changes import Changes
    from reconciler.core.desired import Desired
    from reconciler.daemon.options import Options
    from reconciler.spec.proposal import Proposal
    from reconciler.spec.stored import Stored

_TRIES = 20


def stored_in(state: str) -> Stored:
    """The accepted source as the state has it; empty before the first apply."""
    from reconciler.spec.stored import Stored, applied_revision, stored_from_rows

    path = os.path.join(state, DATABASE)
    if not os.path.exists(path):
        return Stored()
    if not os.access(path, os.R_OK):
        raise Failure(Exit.FORBIDDEN, f"{path} may not be read by you", "plans are for those who may apply")
    with opened(path) as connection:
        revision = applied_revision(source_in(state))
        return stored_from_rows(connection.execute(OBJECT_ROWS), connection.execute(FILE_ROWS), revision)


def source_in(state: str) -> dict[str, Any]:
    """What the state says about the source (store/schema.py, `meta`)."""
    import json

    with opened(os.path.join(state, DATABASE)) as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = 'source'").fetchone()
    return json.loads(row[0]) if row else {}


def desired_in(state: str) -> Desired:
    """What is in force, for verbs that only look at it."""
    from reconciler.spec.lastgood import resolve_all
    from reconciler.spec.loading import loader_of
    from reconciler.spec.resolve import ResolveCache

    return resolve_all(stored_in(state), loader_of(ResolveCache()))


def changes_of(options: Options, days: int, approved: tuple[str, ...] = ()) -> Changes:
    """Compare the source with what is in force. Raise Failure when the source cannot be read now."""
    return changes_in(str(options.state), proposal_of(options, approved), days)


def changes_in(state: str, proposal: Proposal, days: int) -> Changes:
    """The changes that a proposal means, and what of this machine is overridden."""
    from dataclasses import replace

    return replace(proposal.changes(days), drift=_drift_in(state))


def _drift_in(state: str) -> tuple[tuple[str, str], ...]:
    from reconciler.views.rows import target_text

    path = os.path.join(state, DATABASE)
    if not os.path.exists(path):
        return ()
    with opened(path) as connection:
        rows = connection.execute(
            "SELECT job, domain, drift FROM targets WHERE gone = 0 AND drift != '' ORDER BY job, domain"
        )
        return tuple((target_text(job, domain), drift) for job, domain, drift in rows)


def proposal_of(options: Options, approved: tuple[str, ...] = ()) -> Proposal:
    """What applying the source would put in force now. Raise Failure when it cannot be read now."""
    from reconciler.clock import sleep, wall
    from reconciler.ports.source import Held
    from reconciler.sources import open_source
    from reconciler.spec.lastgood import resolve_all
    from reconciler.spec.loading import loader_of
    from reconciler.spec.proposal import propose
    from reconciler.spec.resolve import ResolveCache
    from reconciler.store.tokens import handled_in

    state = str(options.state)
    stored = stored_in(state)
    loader = loader_of(
        ResolveCache(),
        transactional=options.transactional,
        clock=wall,
        is_handled=handled_in(options.state / DATABASE),
    )
    applied = resolve_all(stored, loader)
    source = open_source(options)
    for tries_left in reversed(range(_TRIES)):
        now = wall()
        found = source.snapshot(stored.known(), now.timestamp())
        if not isinstance(found, Held):
            return propose(stored, applied, found, loader, now, approved=approved)
        if not found.is_passing or not tries_left:
            raise Failure(Exit.BLOCKED, f"the source cannot be read now: {found.message}")
        sleep(min(found.retry_seconds, 1.0))
    raise AssertionError("the last try returns or raises")

"""`status/<domain|_installation>/<job>.yaml` and `status/source.yaml`, written behind, a few at a time.

With more than `MANY` targets, only those have a file that have run or are not healthy, and each domain has a
`_summary.yaml` (no job's name begins with an underscore).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from reconciler.core.facts import Fact
from reconciler.core.model import INSTALLATION, TargetId
from reconciler.core.status import API_VERSION, conditions_in, is_healthy, job_status
from reconciler.core.yamlout import Inline, dump
from reconciler.outputs import files
from reconciler.ports.output import Setting
from reconciler.views import jobs
from reconciler.views.rows import iso

MANY: Final = 10_000
MARK: Final = ".written"
"""Up to which transaction the files are up to date."""
MARK_SECONDS: Final = 10.0
SUMMARY: Final = "_summary.yaml"
COUNT_SECONDS: Final = 5.0
SPACING_SECONDS: Final = 0.1
SWEEP_SECONDS: Final = 2.0
"""After a start, before what changed unseen (while we were down) is looked for."""
_DOMAIN_COUNTS: Final = (
    "SELECT count(*), sum(running > 0), sum(queued > 0), sum(state = 'success'), sum(state = 'warning'),"
    " sum(state IN ('failure', 'interrupted')), sum(overdue != ''), sum(paused != ''), sum(state = '')"
    " FROM targets WHERE domain = ? AND gone = 0"
)


def make(setting: Setting) -> StatusFiles:
    return StatusFiles(setting)


class StatusFiles:
    """Keeps the status files of one state directory."""

    def __init__(self, setting: Setting) -> None:
        self._folder = setting.state / "status"
        self._database = setting.database
        self._pending: dict[TargetId, None] = {}
        self._domains: set[str] = set()
        self._sweep_at: float | None = None
        self._swept = False
        self._told: set[TargetId] = set()
        """Who was told as changed before the sweep, which need not look at them."""
        self._source = ""
        self._revisions: dict[str, str] = {}
        self._many = False
        self._counted_at = 0.0
        self._marked = ""
        self._mark_at = 0.0

    def changed(self, targets: set[TargetId]) -> None:
        self._pending.update(dict.fromkeys(targets))
        if not self._swept:
            self._told |= targets

    def recorded(self, facts: Sequence[tuple[TargetId, Fact]]) -> None:
        """Whoever has a new fact is told as changed too."""

    def close(self) -> None:
        """All is written by the last flush, which is noted, so that the next start need not look at it all."""
        if self._swept and not self._pending and not self._domains:
            self._mark()

    def flush(self, now: float, seconds: float) -> float | None:
        end = monotonic() + seconds
        self._write_source(now)
        if not self._swept:
            self._sweep_at = self._sweep_at or now + SWEEP_SECONDS
            if now >= self._sweep_at:
                self._swept = True
                self._pending.update(dict.fromkeys(each for each in self._unwritten() if each not in self._told))
                self._told = set()
        if self._pending:
            many = self._are_many(now)
            while self._pending and monotonic() < end:
                target = next(iter(self._pending))
                self._write(target, now, many)
                del self._pending[target]
                if many:
                    self._domains.add(target.domain)
        while not self._pending and self._domains and monotonic() < end:
            self._write_summary(next(iter(self._domains)))
        if self._pending or self._domains:
            return SPACING_SECONDS
        if self._swept and now >= self._mark_at:
            self._mark()
            self._mark_at = now + MARK_SECONDS
        return None if self._swept or self._sweep_at is None else max(0.0, self._sweep_at - now)

    def _unwritten(self) -> list[TargetId]:
        """What was committed after the files were last known to be up to date: in doubt, all."""
        uid, serial = self._committed()
        told, _, number = (files.read(self._folder / MARK) or "").strip().partition(" ")
        since = int(number) if told == uid and number.isdecimal() and int(number) <= serial else -1
        rows = self._database.execute("SELECT job, domain FROM targets WHERE serial > ?", (since,))
        return [TargetId(*row) for row in rows]

    def _mark(self) -> None:
        """Note that all that is committed is written."""
        mark = "{} {}\n".format(*self._committed())
        if mark != self._marked:
            files.write(self._folder / MARK, mark, self._marked)
            self._marked = mark

    def _committed(self) -> tuple[str, int]:
        values = dict(
            self._database.execute("SELECT key, value FROM meta WHERE key IN ('uid', 'serial')").fetchall()
        )
        return values.get("uid", ""), int(values.get("serial", 0))

    def _are_many(self, now: float) -> bool:
        if abs(now - self._counted_at) > COUNT_SECONDS:
            self._counted_at = now
            count = self._database.execute("SELECT count(*) FROM targets WHERE gone = 0").fetchone()[0]
            self._many = count > MANY
        return self._many

    def _write(self, target: TargetId, now: float, many: bool) -> None:
        row = self._database.execute(
            f"SELECT {jobs.COLUMNS}, 0 FROM targets t WHERE t.job = ? AND t.domain = ?",  # noqa: S608
            (target.job, target.domain),
        ).fetchone()
        path = self._folder / f"{target.folder}.yaml"
        item = jobs.item(row) if row is not None else None
        if item is None or (many and item["state"] == "never" and is_healthy(item)):
            with suppress(FileNotFoundError):
                path.unlink()
            return
        before = files.read(path)
        revision = self._revisions.get(target.job, "")
        status = job_status(item, revision, conditions_in(before or ""), iso(now) or "")
        files.write(path, dump(status), before)

    def _write_summary(self, domain: str) -> None:
        row = self._database.execute(_DOMAIN_COUNTS, (domain,)).fetchone()
        names = (
            "targets",
            "running",
            "queued",
            "success",
            "warning",
            "failure",
            "overdue",
            "paused",
            "never",
        )
        document = {
            "apiVersion": API_VERSION,
            "kind": "DomainStatus",
            "metadata": {"name": domain or INSTALLATION},
            "status": {name: count or 0 for name, count in zip(names, row, strict=True)},
        }
        path = self._folder / (domain or INSTALLATION) / SUMMARY
        files.write(path, dump(document), files.read(path))
        self._domains.discard(domain)

    def _write_source(self, now: float) -> None:
        row = self._database.execute("SELECT value FROM meta WHERE key = 'source'").fetchone()
        if row is None or row[0] == self._source:
            return
        path = self._folder / "source.yaml"
        before = files.read(path)
        source = json.loads(row[0])
        rejected = self._rejected()
        document = {
            "apiVersion": API_VERSION,
            "kind": "SourceStatus",
            "status": {
                "mode": source.get("mode", ""),
                "revision": source.get("revision", ""),
                "dirty": bool(source.get("dirty")),
                "signer": source.get("signer", ""),
                "appliedAt": source.get("appliedAt"),
                "held": source.get("held"),
                "refused": source.get("refused"),
                "prune": source.get("prune"),
                "notices": source.get("notices") or [],
                "rejectedFiles": rejected,
                "conditions": source_conditions(
                    source, rejected, conditions_in(before or ""), iso(now) or ""
                ),
            },
        }
        files.write(path, dump(document), before)
        self._source = row[0]
        self._revisions = dict(
            self._database.execute("SELECT name, revision FROM objects WHERE kind = 'Job'")
        )

    def _rejected(self) -> list[dict[str, Any]]:
        rows = self._database.execute("SELECT path, rejected FROM files WHERE rejected != '' ORDER BY path")
        return [{"path": path, "diagnostics": _shortened(text)} for path, text in rows]


def _shortened(text: str) -> list[Inline]:
    """The diagnostics of a file without their snippets."""
    keys = ("code", "message", "path", "line", "column", "help")
    return [Inline({key: one[key] for key in keys if one.get(key)}) for one in json.loads(text)]


def source_conditions(
    source: dict[str, Any], rejected: Sequence[Any], before: Sequence[dict[str, Any]], now: str
) -> list[Inline]:
    """Whether all of the source is applied, and what is held back."""
    held, refused, prune = source.get("held") or {}, source.get("refused") or {}, source.get("prune") or {}
    stopped = held or refused
    found = [
        ("Applied", not stopped and not rejected, stopped.get("reason") or ("FilesRejected" if rejected else "Applied"),
         stopped.get("message") or (f"files kept at their last good version: {len(rejected)}" if rejected else "")),
        ("SourceHeld", bool(held), held.get("reason") or "Readable", held.get("message") or ""),
        ("PruneBlocked", bool(prune), "ApprovalNeeded" if prune else "NothingHeld", str(prune.get("reason") or "")),
    ]  # fmt: skip
    known = {one.get("type"): one for one in before}
    conditions = []
    for kind, status, reason, message in found:
        word = "True" if status else "False"
        same = known.get(kind) or {}
        since = same.get("lastTransitionTime") if same.get("status") == word else None
        conditions.append(
            Inline(type=kind, status=word, reason=reason, message=message, lastTransitionTime=since or now)
        )
    return conditions

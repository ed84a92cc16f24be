"""`requests/<domain|_installation>/<name>.yaml`: what became of a RunRequest, and how its runs fare."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

from reconciler.core.facts import Fact, Finished, Started
from reconciler.core.model import TargetId
from reconciler.core.status import API_VERSION
from reconciler.core.yamlout import Inline, dump
from reconciler.outputs import files
from reconciler.ports.output import Setting
from reconciler.views.requests import told
from reconciler.views.rows import target_text

SPACING_SECONDS: Final = 0.2
_REQUEST: Final = "request/"


def make(setting: Setting) -> RequestFiles:
    return RequestFiles(setting)


class RequestFiles:
    """Keeps a file for each request that was handled."""

    def __init__(self, setting: Setting) -> None:
        self._folder = setting.state / "requests"
        self._database = setting.database
        self._seen_handled = -1.0
        self._version = -1
        self._moved: set[tuple[TargetId, str]] = set()
        self._pending: dict[str, None] = {}

    def changed(self, targets: set[TargetId]) -> None:
        """A request that is refused changes no target; new ones are found by their time."""

    def recorded(self, facts: Sequence[tuple[TargetId, Fact]]) -> None:
        self._moved.update(
            (target, fact.run) for target, fact in facts if isinstance(fact, (Started, Finished))
        )

    def close(self) -> None:
        """All is written by the last flush."""

    def flush(self, now: float, seconds: float) -> float | None:
        end = monotonic() + seconds
        version = self._database.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version = version
            self._find_new()
        for target, run in self._moved:
            row = self._database.execute(
                "SELECT group_id FROM runs WHERE job = ? AND domain = ? AND run = ?", (*target, run)
            ).fetchone()
            if row is not None and row[0].startswith(_REQUEST):
                self._pending[row[0].removeprefix(_REQUEST)] = None
        self._moved.clear()
        while self._pending and monotonic() < end:
            token = next(iter(self._pending))
            self._write(token)
            del self._pending[token]
        return SPACING_SECONDS if self._pending else None

    def _find_new(self) -> None:
        """At a start all are looked at once: a file that already says so is not written again."""
        for token, handled in self._database.execute(
            "SELECT token, handled FROM tokens WHERE handled >= ?", (self._seen_handled,)
        ).fetchall():
            self._seen_handled = max(self._seen_handled, handled)
            self._pending[token] = None

    def _write(self, token: str) -> None:
        row = self._database.execute(
            "SELECT handled, outcome, requester, body FROM tokens WHERE token = ?", (token,)
        ).fetchone()
        area, slash, name = token.partition("/")
        if row is None or not slash or area.startswith("annotation:"):
            return
        document: dict[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": "RunRequestStatus",
            "metadata": {"name": name},
            "status": {
                **told(*row),
                "runs": [
                    Inline(name=f"{target_text(job, domain)}/{run}", state=state, reason=reason)
                    for job, domain, run, state, reason in self._database.execute(
                        "SELECT job, domain, run, state, reason FROM runs WHERE group_id = ? ORDER BY job, domain",
                        (_REQUEST + token,),
                    )
                ],
            },
        }
        path = self._folder / area / f"{name}.yaml"
        files.write(path, dump(document), files.read(path))

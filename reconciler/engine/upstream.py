"""`automatic.after`: what the success of one job means for the targets that wait for it."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.core import facts as f
from reconciler.core.desired import Desired
from reconciler.core.model import Instant, TargetId
from reconciler.engine.board import Board

_INSTANT = 1e-6
"""The least distance of two instants, in seconds."""


class Upstream:
    """The reverse index of `after`, and the telling of those concerned."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._waiting_for: dict[str, list[TargetId]] = {}

    def index(self, desired: Desired) -> None:
        """Find who waits for whom among automatic targets."""
        self._waiting_for = {}
        for target, plan in desired.targets.items():
            if plan.criteria is not None:
                for job in plan.criteria.after:
                    self._waiting_for.setdefault(job, []).append(target)

    def tell(self, target: TargetId, fact: f.Finished, now: Instant) -> Iterator[TargetId]:
        """Record for every target concerned that its criterion is met; yield them.

        Domain after domain: the same domain. After an installation job: every domain. Installation after domain:
        once, when every target of that job that may run has succeeded since this one last heard of it.
        """
        for other in self._waiting_for.get(target.job, ()):
            if target.domain and other.domain and other.domain != target.domain:
                continue
            if target.domain and not other.domain and not self._whole_group(target, other, now):
                continue
            self._board.record(other, f.Met(now.wall, f"after {target}/{fact.run}"))
            yield other

    def _whole_group(self, target: TargetId, other: TargetId, now: Instant) -> bool:
        seen = self._board.seen(other)
        mark = seen.upstream_mark or seen.since
        if mark is None:
            return False
        self._board.flush(now)
        # What had started by the time it last heard of the group belongs to that time.
        since = mark.timestamp() + (_INSTANT if seen.upstream_mark else 0.0)
        return self._board.store.all_succeeded(target.job, since)

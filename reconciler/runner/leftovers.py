"""What runs leave behind: processes of a run whose leader has ended are asked to end, and then made to."""

from __future__ import annotations

import os
import signal

from reconciler.ports import attempt, process
from reconciler.ports.attempt import TYPE_CHECKING
from reconciler.runner import linux
from reconciler.runner.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_GRACE_SECONDS = 2.0
_GIVE_UP_SECONDS = 30.0
_LOOK_SECONDS = 0.1


class Leftovers:
    """Sweeps up behind runs. `leaders` are the living runs by pid; `finished` hears of each that has nothing left."""

    def __init__(
        self, root: str, leaders: Mapping[int, Run], at: Callable[[float, Callable[[], None]], None],
        finished: Callable[[Run], None],
    ) -> None:  # fmt: skip
        self._root, self._leaders, self._at, self._finished = root, leaders, at, finished
        self.runs: set[Run] = set()
        """Those whose leaders have ended and that still have processes."""
        self._strangers: set[int] = set()

    def clean_up(self) -> None:
        """End what is left of runs whose end is recorded: a runner before us died while it did that."""
        table = process.everything()
        for key in {key for one in table if (key := process.attempt_of(one.pid))}:
            directory = f"{self._root}/{key}"
            journal = attempt.read_journal(directory)
            if journal.order and journal.end:
                start = journal.start or {"pid": 0, "ticks": 0}
                self._begin(Run(key, directory, journal.order, start["pid"], start["ticks"], 0.0), table)

    def sweep(self, ended: list[Run], childless: bool = False) -> None:
        """End what these runs left behind.

        Orphans of our own children become our children, so one look at that list says whether there are any. Those
        that are no run's are remembered, so that they do not cost a look at all processes each time.
        """
        children = set() if childless else set(process.children(os.getpid())) - self._leaders.keys()
        self._strangers &= children
        fresh = children - self._strangers
        suspects = ended if fresh else [run for run in ended if run.adopted]
        table = process.everything() if suspects else ()
        for run in ended:
            if run in suspects:
                self._begin(run, table)
            else:
                self._finished(run)
        self._strangers |= {one.pid for one in table if one.pid in fresh and not self._may_be_of_a_run(one)}

    def _may_be_of_a_run(self, one: process.Process) -> bool:
        return (
            one.session in self._leaders
            or process.attempt_of(one.pid) is not None
            or process.output_of(one.pid).startswith(self._root)
        )

    def _begin(self, run: Run, table: Sequence[process.Process]) -> None:
        run.over = True
        self.runs.add(run)
        grace = 0.0 if run.stop else _GRACE_SECONDS
        self._end(run, linux.now()[1] + grace, signal.SIGTERM, table)

    def _end(self, run: Run, kill_at: float, number: int, table: Sequence[process.Process] | None = None) -> None:
        """Send them `number`, SIGKILL from `kill_at` on, and look again until none is left."""
        now = linux.now()[1]
        left = run.members(process.everything() if table is None else table)
        if not left or now > kill_at + _GIVE_UP_SECONDS:
            self.runs.discard(run)
            return self._finished(run)
        for one in left:
            if now >= kill_at or number:
                process.signal_exactly(one, signal.SIGKILL if now >= kill_at else number)
        self._at(now + _LOOK_SECONDS, lambda: self._end(run, kill_at, 0))
        return None

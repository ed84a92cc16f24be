"""The daemon's own log: one line per fact, on stderr, in the form that systemd's journal understands."""

from __future__ import annotations

import os
import sys
from datetime import datetime

from reconciler.clock import wall
from reconciler.core import facts as f
from reconciler.core.facts import Fact
from reconciler.core.model import State, TargetId

_BAD = (State.FAILURE, State.INTERRUPTED, State.MISSED)


class Journal:
    """Writes lines; with a time of its own unless the journal of systemd adds one."""

    def __init__(self) -> None:
        self._plain = not os.environ.get("JOURNAL_STREAM")

    def say(self, text: str, level: int = 6) -> None:
        """Write one line. `level` is that of syslog(3): 3 error, 4 warning, 6 info."""
        self._write(self._line(text, level, wall()))

    def _line(self, text: str, level: int, at: datetime) -> str:
        if self._plain:
            word = {3: "error: ", 4: "warning: "}.get(level, "")
            return f"{at:%H:%M:%S} {word}{text}\n"
        return f"<{level}>{text}\n"

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            # Nobody listens any more; that must not stop the runs.
            return

    def tell(self, facts: list[tuple[TargetId, Fact]]) -> None:
        """Write the facts that a person wants to read, in one go; the others are in `events`."""
        lines: list[str] = []

        def say(text: str, level: int = 6) -> None:
            lines.append(self._line(text, level, fact.at))

        for target, fact in facts:
            match fact:
                case f.Started():
                    say(f"● {target}/{fact.run} started (attempt {fact.attempt})")
                case f.Finished():
                    words = f"{fact.state.icon} {target}/{fact.run} {fact.state}"
                    why = " ".join(part for part in (str(fact.reason), fact.message) if part)
                    say(words + (f": {why}" if why else ""), 4 if fact.state in _BAD else 6)
                case f.Settled():
                    count = f"{fact.count} slots" if fact.count > 1 else "1 slot"
                    say(f"{fact.state.icon} {target} {count} {fact.state}: {fact.reason}", 5)
                case f.OverdueBegan():
                    say(f"! {target} is overdue: {fact.message}", 4)
                case f.OverdueEnded():
                    say(f"✔ {target} is not overdue any more")
                case f.Probed(outcome="failed"):
                    say(f"✘ {target} probe failed: {fact.message}", 4)
                case f.HistoryRemoved():
                    by = f" by {fact.by}" if fact.by else f" (retention: {fact.rule})"
                    runs = f"{fact.count} run{'s' if fact.count != 1 else ''}"
                    say(f"- {target} {runs} removed from the history{by}, {fact.size_bytes} bytes")
                case f.ClockSetBack():
                    say(f"! {target} the clock was set back; slots count from now", 4)
                case f.Joined() if not fact.again:
                    say(f"+ {target} ({fact.mode})")
                case f.Left():
                    say(f"- {target} removed")
                case _:
                    pass
        if lines:
            self._write("".join(lines))

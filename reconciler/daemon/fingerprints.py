"""`automatic.onChange`: a thread that looks at the watched files and tells the engine when they look different.

Looks, not events: nothing is missed over a restart, in a full queue or behind a link. What the engine was told last is
kept in the state; what it is told first of a target is what changes count from.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from reconciler.clock import monotonic
from reconciler.core.desired import Desired
from reconciler.core.model import TargetId
from reconciler.daemon.watched import Appearance, appearance

LOOK_SECONDS: Final = 2.0
SETTLE_SECONDS: Final = 0.5
"""Files count as changed when two looks so far apart agree: not in the middle of a copy."""
PATIENCE_SECONDS: Final = 60.0
"""What never comes to rest counts as changed after this."""
SHARE: Final = 0.05
"""Of one processor, at most so much goes into looking: very many files are looked at less often."""
BATCH: Final = 500

Patterns = tuple[str, ...]


@dataclass(slots=True)
class _Watch:
    """What is known of the files of some patterns."""

    told: str = ""
    """What the engine was told last, for `told_to`."""
    told_to: frozenset[TargetId] = frozenset()
    unsettled: str = ""
    """What they looked like the last time, if that was something new."""
    unsettled_since: float = 0.0
    warned: bool = False


class Fingerprints:
    """Looks every few seconds; `ask` has a call done by the deciding thread, `tell` is the engine's `fingerprint`."""

    def __init__(
        self,
        desired: Callable[[], Desired],
        tell: Callable[[Mapping[TargetId, str]], None],
        ask: Callable[[Callable[[], Any]], Future[Any]],
        warn: Callable[[str], None] = lambda text: None,
        look_at: Callable[[Sequence[str]], Appearance] = appearance,
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        self._desired, self._tell, self._ask, self._warn = desired, tell, ask, warn
        self._look_at, self._seconds = look_at, seconds
        self._watches: dict[Patterns, _Watch] = {}
        self._targets: Mapping[TargetId, Any] = {}
        self._groups: dict[Patterns, frozenset[TargetId]] = {}
        self._stopped = threading.Event()
        self.failure: BaseException | None = None
        """Ours to answer for: the daemon ends and is started again; runs go on."""
        self.has_looked = threading.Event()
        """Set when the engine knows what all watched files looked like after the start."""
        self._thread = threading.Thread(target=self._run, name="fingerprints", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop_soon(self) -> None:
        self._stopped.set()

    def join(self, seconds: float) -> bool:
        """Wait a moment for the end of the thread; it may wait for the deciding thread meanwhile."""
        if self._thread.ident is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # The thread.

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                wait = self.step()
            except (sqlite3.Error, OSError):
                # The state cannot be written now; what was not taken is told again.
                wait = LOOK_SECONDS
            except BaseException as error:
                self.failure = error
                self._ask(lambda: None)
                return
            self._stopped.wait(wait)

    def step(self) -> float:
        """Look once at everything that is watched, tell what has come to rest; give the seconds until the next look."""
        begun = self._seconds()
        self._regroup()
        told: dict[TargetId, str] = {}
        settled: list[tuple[Patterns, str]] = []
        for patterns, targets in self._groups.items():
            watch = self._watches.setdefault(patterns, _Watch())
            found = self._look_at(patterns)
            self._warn_once(watch, found, targets)
            if found.digest == watch.told:
                watch.unsettled = ""
                if targets != watch.told_to:
                    told.update(dict.fromkeys(targets - watch.told_to, found.digest))
                    settled.append((patterns, found.digest))
            elif self._has_settled(watch, found.digest):
                told.update(dict.fromkeys(targets, found.digest))
                settled.append((patterns, found.digest))
        self._hand_over(told)
        for patterns, digest in settled:
            self._watches[patterns] = _Watch(
                digest, self._groups[patterns], warned=self._watches[patterns].warned
            )
        unsettled = any(watch.unsettled for watch in self._watches.values())
        if not unsettled and not self.has_looked.is_set():
            self._ask(self.has_looked.set).result()
        took = self._seconds() - begun
        return max(SETTLE_SECONDS if unsettled else LOOK_SECONDS, took / SHARE)

    def _regroup(self) -> None:
        """Find who watches what, when something else was applied."""
        targets = self._desired().targets
        if targets is self._targets:
            return
        groups: dict[Patterns, set[TargetId]] = {}
        for target, plan in targets.items():
            if plan.criteria is not None and plan.criteria.on_change:
                groups.setdefault(plan.criteria.on_change, set()).add(target)
        self._groups = {patterns: frozenset(each) for patterns, each in groups.items()}
        self._watches = {patterns: self._watches.get(patterns, _Watch()) for patterns in self._groups}
        self._targets = targets

    def _has_settled(self, watch: _Watch, digest: str) -> bool:
        now = self._seconds()
        if digest == watch.unsettled:
            return True
        if not watch.unsettled:
            watch.unsettled_since = now
        watch.unsettled = digest
        return now - watch.unsettled_since >= PATIENCE_SECONDS

    def _warn_once(self, watch: _Watch, found: Appearance, targets: frozenset[TargetId]) -> None:
        if not found.is_whole and not watch.warned:
            watch.warned = True
            self._warn(
                f"{min(targets)} watches more than {found.files:,} files; changes of the others are not seen: "
                "name fewer in automatic.onChange"
            )

    def _hand_over(self, told: Mapping[TargetId, str]) -> None:
        items = list(told.items())
        for begin in range(0, len(items), BATCH):
            part = dict(items[begin : begin + BATCH])
            self._ask(lambda part=part: self._tell(part)).result()  # type: ignore[misc]

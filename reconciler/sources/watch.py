"""Hints that files changed, from watchfiles in a thread, and the few stat calls a second that fill its holes.

watchfiles misses a file that is created together with its folder, a symlink that is swapped, and everything after its
root was deleted, moved or mounted over. So each batch of events is echoed a little later, and twice a second a handful
of names is compared: the real path and inode of the folder, and where git's HEAD is. A hint may always be wrong or
missing; the periodic look at the source is what counts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

from reconciler.ports.source import TREE, is_ignored
from reconciler.sources import worktree

DEBOUNCE_MS: Final = 50
STEP_MS: Final = 32
"""watchfiles wakes up so often, changes or not: 5 ms cost 1 % of a processor at rest, 32 ms a third of that."""
RECHECK_MS: Final = 500


class Watcher:
    """Calls `hint` from its own thread until closed. `errors` counts what went wrong, by reason."""

    def __init__(self, root: str, hint: Callable[[], None]) -> None:
        self._root = root
        self._hint = hint
        self._stop = threading.Event()
        self.errors: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        around = self._around()
        while not self._stop.is_set():
            tree = os.path.realpath(os.path.join(self._root, TREE))
            try:
                if os.path.isdir(tree):
                    around = self._follow(tree, around)
                else:
                    self._stop.wait(RECHECK_MS / 1000)
            except OSError as error:
                # Too many watches, or the folder went away between the two lines above.
                reason = type(error).__name__
                self.errors[reason] = self.errors.get(reason, 0) + 1
                self._stop.wait(RECHECK_MS / 1000)
            now = self._around()
            if now != around and not self._stop.is_set():
                around = now
                self._hint()

    def _follow(self, tree: str, around: tuple[object, ...]) -> tuple[object, ...]:
        """Watch one real folder until it is another one; give what was around it at the end."""
        from watchfiles import watch

        echoes = 0
        batches = watch(
            tree,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            stop_event=self._stop,
            rust_timeout=RECHECK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        for batch in batches:
            now = self._around()
            moved = now[:2] != around[:2]
            if batch and any(_matters(path) for _, path in batch):
                echoes = 2
                self._hint()
            elif now != around or echoes > 0:
                echoes -= 1
                self._hint()
            around = now
            if moved:
                break
        return around

    def _around(self) -> tuple[object, ...]:
        """What is looked at besides events: the folder itself, and git's state."""
        tree = os.path.realpath(os.path.join(self._root, TREE))
        try:
            status = os.stat(tree)
            folder: object = (status.st_dev, status.st_ino)
        except OSError:
            folder = None
        enclosing = worktree.find(os.path.realpath(self._root))
        git: object = (enclosing.identity, enclosing.busy(), enclosing.head_key()) if enclosing else None
        return (tree, folder, git)


def _matters(path: str) -> bool:
    """Whether an event may be about a file of the source; names with `..` in front are a ConfigMap's data."""
    name = os.path.basename(path)
    return name.startswith("..") or not is_ignored(name)

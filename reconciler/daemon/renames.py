"""`reconciler/renamed-from` carries the history over in the state; here the directories of its runs follow.

Done after the commit, and again at each start: a directory is moved where the state says that its run is, so being
killed in between loses nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.desired import Desired
from reconciler.core.model import TargetId

if TYPE_CHECKING:
    from reconciler.store.sqlite import SqliteStore


def carry_over(state: Path, store: SqliteStore, desired: Desired) -> None:
    """Move the directories of runs that belong to a new name now; what still runs stays and ends where it is."""
    for target, plan in desired.targets.items():
        if not plan.renamed_from:
            continue
        old = TargetId(plan.renamed_from, target.domain)
        below, to = state / "runs" / old.folder, state / "runs" / target.folder
        if old in desired.targets or not below.is_dir():
            continue
        for name in os.listdir(below):
            if not store.run_exists(old, name) and store.run_exists(target, name):
                to.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.rename(below / name, to / name)

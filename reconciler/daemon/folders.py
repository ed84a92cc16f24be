"""The directories of runs that leave the history: measured, put aside in one step, and deleted behind the decisions."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from reconciler.core.model import TargetId

TRASH: Final = "trash"
_FOLDER_BYTES: Final = 16 << 10
"""What the small files of one run take on a disk."""


def run_folder(state: Path, target: TargetId, run: str) -> Path:
    return state / "runs" / target.folder / run


def size_of(folder: Path, attempts: int) -> int:
    """How much disk a run takes, about: its logs as they lie there, holes left out."""
    total = 0
    for number in range(1, attempts + 1):
        try:
            total += os.stat(folder / str(number) / "log").st_blocks * 512 + _FOLDER_BYTES
        except OSError:
            continue
    return total


def delete(folder: Path) -> None:
    """Delete a directory with all that is in it; that part of it is gone already is no error."""
    shutil.rmtree(folder, ignore_errors=True)


def put_aside(state: Path, target: TargetId, runs: Iterable[str]) -> None:
    """Take the directories of runs out of sight at once; `empty_trash` deletes them."""
    trash = state / TRASH
    trash.mkdir(mode=0o700, exist_ok=True)
    for run in runs:
        for number in itertools.count():
            try:
                os.rename(
                    run_folder(state, target, run),
                    trash / f"{target.folder.replace('/', '@')}@{run}.{number}",
                )
            except FileNotFoundError:
                break
            except OSError:
                # The name is taken by one that was put aside before.
                if number < 100:
                    continue
            break


def empty_trash(state: Path) -> None:
    """Delete what was put aside, now or before a crash."""
    try:
        names = os.listdir(state / TRASH)
    except FileNotFoundError:
        return
    for name in names:
        delete(state / TRASH / name)

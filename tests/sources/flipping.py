"""A program that changes a source without pause, in all the ways that people and git do. Run by the torture test.

    flipping.py ROOT ORIGIN FLIPS SEED

Each state is one version: every file of it says `version: a` or `version: b`.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time


def git(root: str, *arguments: str) -> None:
    quiet = subprocess.DEVNULL
    subprocess.run(["git", "-C", root, *arguments], stdout=quiet, stderr=quiet, check=False)


def rewrite_by_rename(root: str) -> None:
    """Save files as editors do: a backup, a temporary file, a rename."""
    folder = os.path.join(root, "jobs.d", "common")
    for name in sorted(os.listdir(folder))[:20]:
        path = os.path.join(folder, name)
        with open(path) as file:
            text = file.read()
        with open(f"{path}.tmp", "w") as file:
            file.write(text)
        os.rename(path, f"{path}~")
        os.rename(f"{path}.tmp", path)
        os.unlink(f"{path}~")


def recreate_tree(root: str) -> None:
    shutil.rmtree(os.path.join(root, "jobs.d"))
    git(root, "checkout", "-q", "--", ".")


def recreate_root(root: str, origin: str) -> None:
    shutil.rmtree(root)
    subprocess.run(["git", "clone", "-q", "-b", "a", origin, root], check=True)


def move_root(root: str) -> None:
    os.rename(root, f"{root}.moved")
    os.rename(f"{root}.moved", root)


def main(root: str, origin: str, flips: int, seed: int) -> None:
    dice = random.Random(seed)

    def version() -> str:
        return f"origin/{dice.choice('ab')}"

    def rebase() -> None:
        git(root, "checkout", "-q", "-B", "c", "origin/c")
        git(root, "rebase", "-q", version())
        git(root, "rebase", "--abort")

    steps = (
        (50, lambda: git(root, "checkout", "-q", "--detach", version())),
        (20, lambda: git(root, "reset", "-q", "--hard", version())),
        (10, rebase),
        (8, lambda: rewrite_by_rename(root)),
        (6, lambda: recreate_tree(root)),
        (3, lambda: move_root(root)),
        (3, lambda: recreate_root(root, origin)),
    )
    weights = [weight for weight, _ in steps]
    for _ in range(flips):
        dice.choices(steps, weights)[0][1]()
        # Now and then it stands still for long enough to be read.
        time.sleep(dice.choice((0, 0, 0.05, 0.3)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

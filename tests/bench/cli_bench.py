"""How long the command line takes to say something, as a ratio to `python3 -c 'import click'` in the same run.

python tests/bench/cli_bench.py [targets]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.support import database


def populate(folder: Path, targets: int) -> None:
    (folder / "jobs.d").mkdir()
    connection = database.make(folder / ".reconcile")
    connection.execute("BEGIN")
    now = database.NOON
    ran = {"started": now, "finished": now + 10, "duration": 10.0, "run": "20261122T120000Z"}
    for index in range(targets):
        domain = f"domain-{index % 50}.example" if index % 2 else ""
        database.target(
            connection,
            f"job-{index}",
            domain,
            state="success" if index % 7 else "failure",
            description=f"Job number {index}",
            next_run=now + 3600 + index,
            labels={"team": "x"},
            log_run=1,
            log_lines=3,
            **ran,
        )
    connection.execute("COMMIT")
    connection.close()


def seconds(command: list[str], folder: Path) -> float:
    begin = time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def ratios(targets: int = 1000, rounds: int = 15) -> dict[str, float]:
    """Best times of `import click`, and the ratios of `--help` and `get jobs` to it; taken in turns."""
    run = [sys.executable, "-c", "import sys; from reconciler.cli import main; sys.exit(main())"]
    commands = {
        "import click": [sys.executable, "-c", "import click"],
        "--help": [*run, "--help"],
        "get jobs": [*run, "get", "jobs"],
        "get jobs -o json": [*run, "get", "jobs", "-o", "json"],
    }
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    best = dict.fromkeys(commands, float("inf"))
    with tempfile.TemporaryDirectory() as name:
        populate(Path(name), targets)
        for _ in range(rounds):
            for what, command in commands.items():
                best[what] = min(best[what], seconds(command, Path(name)))
    base = best.pop("import click")
    return {"import click (ms)": base * 1000, **{what: took / base for what, took in best.items()}}


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for what, ratio in ratios(count).items():
        print(f"{what:20} {ratio:8.2f}")

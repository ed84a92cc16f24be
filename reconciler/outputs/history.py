"""`events.jsonl` and `run.yaml`: what the facts say, written behind them by their sequence number.

The last line of `events.jsonl` says how far it went, so that a restart goes on there; a crash in between repeats.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

from reconciler.core.facts import Fact
from reconciler.core.model import TargetId
from reconciler.core.status import API_VERSION
from reconciler.core.yamlout import dump
from reconciler.outputs import files
from reconciler.ports.output import Setting
from reconciler.views import runs
from reconciler.views.rows import iso, run_folder, target_text

ROTATE_BYTES: Final = 16 << 20
KEPT: Final = 3
"""`events.jsonl.1` is the newest of the older ones."""
BATCH: Final = 50
SHOWN: Final = ("Started", "Delayed", "Finished")
"""The facts after which `run.yaml` says something new; a short run's all fall into one batch."""
SPACING_SECONDS: Final = 0.1


def make(setting: Setting) -> History:
    return History(setting)


class History:
    """Writes the facts that are newer than the last event written."""

    def __init__(self, setting: Setting) -> None:
        self._state = setting.state
        self._path = setting.state / "events.jsonl"
        self._database = setting.database
        self._seq: int | None = None
        self._due = True

    def changed(self, targets: set[TargetId]) -> None:
        self._due = True

    def recorded(self, facts: Sequence[tuple[TargetId, Fact]]) -> None:
        self._due = True

    def close(self) -> None:
        """All is written by the last flush."""

    def flush(self, now: float, seconds: float) -> float | None:
        if not self._due:
            return None
        if self._seq is None:
            self._seq = _last_seq(self._path)
        end = monotonic() + seconds
        while True:
            rows = self._database.execute(
                "SELECT seq, at, job, domain, kind, run, body FROM facts WHERE seq > ? ORDER BY seq LIMIT ?",
                (self._seq, BATCH),
            ).fetchall()
            for job, domain, run in dict.fromkeys(
                (row[2], row[3], row[5]) for row in rows if row[4] in SHOWN
            ):
                self._write_run(job, domain, run)
            if rows:
                self._append("".join(_line(row) for row in rows))
                self._seq = rows[-1][0]
            if len(rows) < BATCH:
                self._due = False
                return None
            if monotonic() >= end:
                return SPACING_SECONDS

    def _write_run(self, job: str, domain: str, run: str) -> None:
        folder = Path(run_folder(str(self._state), job, domain, run))
        if not folder.is_dir():
            # It never started, or retention has removed it.
            return
        row = self._database.execute(
            f"SELECT {runs.COLUMNS} FROM runs WHERE job = ? AND domain = ? AND run = ?",  # noqa: S608
            (job, domain, run),
        ).fetchone()
        if row is not None:
            document = {"apiVersion": API_VERSION, "kind": "Run", **runs.item(row)}
            path = folder / "run.yaml"
            files.write(path, dump(document), files.read(path))

    def _append(self, text: str) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            content = text.encode()
            if size and os.pread(fd, 1, size - 1) != b"\n":
                # A full disk or a crash cut the last line short; what comes now is a line of its own.
                content = b"\n" + content
            while content:
                content = content[os.write(fd, content) :]
            full = os.fstat(fd).st_size > ROTATE_BYTES
        finally:
            os.close(fd)
        if full:
            for number in range(KEPT - 1, 0, -1):
                older = self._path.with_name(f"{self._path.name}.{number}")
                if older.exists():
                    older.replace(self._path.with_name(f"{self._path.name}.{number + 1}"))
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))


def _line(row: tuple[Any, ...]) -> str:
    seq, at, job, domain, kind, run, body = row
    details = json.loads(body)
    details.pop("at", None)
    event = {"seq": seq, "at": iso(at), "target": target_text(job, domain), "kind": kind, **details}
    if run:
        event["run"] = run
    return json.dumps(event, ensure_ascii=False) + "\n"


def _last_seq(path: Path) -> int:
    """The sequence number of the last whole line of the newest file that has one."""
    for candidate in (path, path.with_name(f"{path.name}.1")):
        try:
            with open(candidate, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - (1 << 20)))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            continue
        for line in reversed(lines):
            try:
                return int(json.loads(line)["seq"])
            except (ValueError, KeyError, TypeError):
                continue
    return 0

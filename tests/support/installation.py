"""A real installation in a temporary folder: files, the `reconcile` command, and the daemon as a process."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE_SECONDS = 30.0


def until(condition: Callable[[], T], what: str = "", seconds: float = PATIENCE_SECONDS) -> T:
    """Ask again and again until the answer is true; give it. The only way to wait in these tests."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what or condition}")
        time.sleep(0.02)


def job(name: str, script: str, **spec: Any) -> str:
    """One Job document that runs a line of shell, its spec as JSON, which is YAML."""
    body = {"command": ["/bin/sh", "-c", script], "planning": {"mode": "disabled"}, **spec}
    document = {"apiVersion": "reconciler/v1", "kind": "Job", "metadata": {"name": name}, "spec": body}
    return json.dumps(document, indent=1) + "\n"


def document(kind: str, name: str, **spec: Any) -> str:
    """One document of any kind."""
    return json.dumps(
        {"apiVersion": "reconciler/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}, indent=1
    )


class Installation:
    """`root` holds jobs.d; the state is beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.ledger = root / "ledger"
        (root / "jobs.d").mkdir(parents=True)
        (root / "secrets").mkdir(mode=0o700)
        self.daemons: list[Daemon] = []
        self.python = sys.executable
        """What daemons are started by."""

    def write(self, path: str, text: str) -> Path:
        """Put a file below jobs.d in place at once, as an editor does."""
        target = self.root / "jobs.d" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        temporary.write_text(text)
        os.replace(temporary, target)
        return target

    def run(
        self, *words: str, env: Mapping[str, str] | None = None, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run the command and wait for it."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, **(env or {})},
            check=False,
        )

    def command(self, *words: str) -> list[str]:
        """The command line of the command."""
        head = [sys.executable, "-m", "reconciler", "-C", str(self.root), "--state", str(self.state)]
        return [*head, *words]

    def json(self, *words: str) -> Any:
        """What a verb prints with `-o json`."""
        done = self.run(*words, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def serve(self, *words: str, env: Mapping[str, str] | None = None, ready: bool = True) -> Daemon:
        daemon = Daemon(self, words, env or {})
        self.daemons.append(daemon)
        if ready:
            daemon.wait_ready()
        return daemon

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read the state as a reader does."""
        db = sqlite3.connect(f"file:{self.state / 'state.db'}?mode=ro", uri=True)
        try:
            return db.execute(query, values).fetchall()
        finally:
            db.close()

    def runs(self, job: str) -> list[dict[str, Any]]:
        """The runs of a job, oldest first."""
        names = (
            "run",
            "domain",
            "state",
            "reason",
            "exit_code",
            "signal",
            "attempts",
            "lines",
            "errors",
            "trigger",
        )
        rows = self.rows(f"SELECT {', '.join(names)} FROM runs WHERE job=? ORDER BY id", job)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def wait_runs(self, job: str, state: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many runs of the job are in this state."""
        return until(
            lambda: (
                found if len(found := [r for r in self.runs(job) if r["state"] == state]) >= count else None
            ),
            f"{count} runs of {job} in state {state}; there are {self.runs(job)}",
        )

    def runners(self) -> list[int]:
        """The processes that serve this state as a runner."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(self.state) in words and any(word.endswith(b"/reconciler/runner") for word in words):
                found.append(int(entry.name))
        return found

    def gate(self) -> str:
        """A line of shell that goes on until `open_gate`."""
        return f"while [ ! -e {self.root}/gate ]; do sleep 0.05; done"

    def open_gate(self) -> None:
        (self.root / "gate").touch()

    def close(self) -> None:
        """End every daemon, runner and run that is left."""
        for daemon in self.daemons:
            daemon.kill()
        marker = f"RECONCILE_STATE_DIR={self.state}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                ours = marker in (entry / "environ").read_bytes().split(b"\0")
                ours = ours or str(self.state).encode() in (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if ours:
                try:
                    os.kill(int(entry.name), signal.SIGKILL)
                except ProcessLookupError:
                    continue


class Daemon:
    """`reconcile serve` as a process."""

    def __init__(self, installation: Installation, words: tuple[str, ...], env: Mapping[str, str]) -> None:
        self.installation = installation
        self.log = installation.root / f"serve-{len(installation.daemons)}.log"
        listen = () if "--listen" in words else ("--listen", "127.0.0.1:0")
        command = [
            installation.python, "-m", "reconciler", "-C", str(installation.root), "--state", str(installation.state),
            "serve", "--secrets", str(installation.root / "secrets"), *listen, *words,
        ]  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log, env={**os.environ, **env})

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_ready(self) -> None:
        until(
            lambda: " ready: " in self.said or self.process.poll() is not None, f"ready; it said {self.said}"
        )
        assert " ready: " in self.said, self.said

    @property
    def address(self) -> str:
        found = re.search(r"http://([0-9.:]+)/metrics", self.said)
        assert found, self.said
        return found[1]

    def get(self, path: str) -> tuple[int, str]:
        """GET from the daemon's own port."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(30)

    def kill(self) -> None:
        """SIGKILL of the daemon alone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)

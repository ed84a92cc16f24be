"""Runs: processes that nobody answers for, and directories that the state does not know."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from reconciler.cli.doctoring import Finding, Subject
from reconciler.ports import process
from reconciler.ports.attempt import read_journal
from reconciler.views.rows import INSTALLATION

SHOWN = 5
PROBE = "_probe"


def findings(subject: Subject) -> Iterator[Finding]:
    if subject.database is None:
        return
    states = {
        f"{domain or INSTALLATION}/{job}/{run}/{attempts}": state
        for job, domain, run, attempts, state in subject.rows(
            "SELECT job, domain, run, attempts, state FROM runs WHERE state IN ('running', 'queued')"
        )
    }
    yield from _processes(subject, states)
    yield from _directories(subject)


def _processes(subject: Subject, states: Mapping[str, str]) -> Iterator[Finding]:
    """Compare what lives with `states`: the last attempt of each run that is not over, and the run's state."""
    mark = os.fsencode(f"RECONCILE_STATE_DIR={os.path.realpath(subject.state)}")
    stray: dict[str, list[int]] = {}
    alive: set[str] = set()
    for one in process.everything():
        if one.state in "ZX":
            continue
        attempt = process.attempt_of(one.pid)
        if attempt is None or not process.carries(one.pid, frozenset((mark,))):
            continue
        alive.add(attempt)
        if attempt not in states and f"/{PROBE}/" not in attempt:
            stray.setdefault(attempt, []).append(one.pid)
    for attempt, pids in sorted(stray.items()):
        text = f"{attempt} is over or unknown, and these processes of it live: {', '.join(map(str, pids[:SHOWN]))}"
        yield Finding(
            "orphans", "warning", text, f"look at them, then `kill {' '.join(map(str, pids[:SHOWN]))}`"
        )
    # The last attempt of a queued run is over and known to be: the run waits for the next one.
    dead = [
        each
        for each, state in sorted(states.items())
        if state == "running" and each not in alive and _has_begun(subject, each)
    ]
    if dead and not _answers(subject):
        text = f"{len(dead)} runs ended while no daemon was there: {', '.join(dead[:SHOWN])}"
        yield Finding("orphans", "info", text, "`reconcile serve` records how they ended")
    if not stray:
        yield Finding("orphans", "ok", f"{len(alive)} runs have processes, all of them known")


def _has_begun(subject: Subject, attempt: str) -> bool:
    journal = read_journal(f"{subject.state}/runs/{attempt}")
    return journal.start is not None


def _answers(subject: Subject) -> bool:
    from reconciler.cli.acting import daemon_answers

    return daemon_answers(subject.state)


def _directories(subject: Subject) -> Iterator[Finding]:
    known = {
        (f"{domain or INSTALLATION}/{job}", run): attempts
        for job, domain, run, attempts in subject.rows("SELECT job, domain, run, attempts FROM runs")
    }
    unknown = [
        f"{folder}/{run}"
        for folder, run in directories(subject.state)
        if run != PROBE and (folder, run) not in known
    ]
    lost = sum(
        1
        for (folder, run), attempts in known.items()
        if attempts and not os.path.isdir(f"{subject.state}/runs/{folder}/{run}")
    )
    if unknown:
        text = f"{len(unknown)} directories of runs are not in the state: {', '.join(unknown[:SHOWN])}"
        help = f"`reconcile doctor --rebuild` takes them into the history; or delete them below {subject.state}/runs"
        yield Finding("run directories", "warning", text, help)
    if lost:
        text = f"{lost} runs have lost their directory, and with it their log"
        yield Finding("run directories", "info", text, "retention removes them in their time")
    if not unknown and not lost:
        yield Finding("run directories", "ok", f"{len(known)} runs, each where it belongs")


def directories(state: str) -> Iterator[tuple[str, str]]:
    """Every directory of a run: (`<domain|_installation>/<job>`, run)."""
    top = f"{state}/runs"
    for domain in _folders(top):
        for job in _folders(f"{top}/{domain}"):
            for run in _folders(f"{top}/{domain}/{job}"):
                yield f"{domain}/{job}", run


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []

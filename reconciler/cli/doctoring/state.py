"""The state directory: is it whole, is it private, is there room, and does a daemon look after it."""

from __future__ import annotations

import os
import pwd
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from reconciler.cli.doctoring import Finding, Subject
from reconciler.ports.database import opened

LOW_BYTES = 256 << 20
FULL_BYTES = 32 << 20
OPEN_TO_GROUP = 0o710
"""A group may be let in to reach the socket; nothing more."""
MUCH_FREE_BYTES = 64 << 20
REBUILD = (
    "stop the daemon, move state.db aside, and `reconcile doctor --rebuild` reads the history from the runs"
)


def findings(subject: Subject) -> Iterator[Finding]:
    yield from _database(subject)
    yield from _permissions(subject)
    yield from _disk(subject)
    yield from _daemon(subject)


def _database(subject: Subject) -> Iterator[Finding]:
    from reconciler.store.opening import APPLICATION_ID
    from reconciler.store.schema import VERSION

    path = f"{subject.state}/state.db"
    if not os.path.exists(path):
        help = "`reconcile serve` begins one; `reconcile doctor --rebuild` first, if runs were here before"
        yield Finding("state", "error", f"there is no {path}", help)
        return
    try:
        with opened(path) as db:
            application = db.execute("PRAGMA application_id").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if application != APPLICATION_ID:
                yield Finding("state", "error", f"{path} is not a database of reconcile", REBUILD)
                return
            if version > VERSION:
                text = f"{path} has format {version}, this version knows {VERSION}"
                yield Finding("state", "error", text, "install the version that wrote it")
                return
            answers = [row[0] for row in db.execute("PRAGMA quick_check(5)")]
            free, size, count = (
                db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("freelist_count", "page_size", "page_count")
            )
    except sqlite3.Error as error:
        yield Finding("state", "error", f"could not read {path}: {error}", REBUILD)
        return
    if answers != ["ok"]:
        yield Finding("state", "error", f"{path} is damaged: {'; '.join(map(str, answers))}", REBUILD)
        return
    words = f"format {version}, {count * size >> 20} MiB, {free * size >> 20} MiB of it free"
    if free * size > max(MUCH_FREE_BYTES, count * size // 2):
        help = f"it is used again by itself; to give it back, stop the daemon and run `sqlite3 {path} VACUUM`"
        yield Finding("state", "info", f"whole, {words}", help)
    else:
        yield Finding("state", "ok", f"whole, {words}")


def _permissions(subject: Subject) -> Iterator[Finding]:
    try:
        found = os.stat(subject.state)
    except OSError as error:
        yield Finding(
            "permissions", "error", f"cannot look at {subject.state}: {error.strerror}", "see --state"
        )
        return
    mode = stat.S_IMODE(found.st_mode)
    if mode & ~OPEN_TO_GROUP:
        text = f"{subject.state} is open to others (mode {mode:o}): logs and requests are in it"
        yield Finding("permissions", "warning", text, f"chmod 700 {subject.state}")
    elif not os.access(subject.state, os.W_OK):
        yield Finding(
            "permissions", "error", f"{subject.state} cannot be written by this user", _chown(found.st_uid)
        )
    else:
        yield Finding("permissions", "ok", f"{subject.state} is private")
    for name in ("state.db", "control.sock", "runs", "lock"):
        try:
            own = os.stat(f"{subject.state}/{name}").st_uid
        except OSError:
            continue
        if own != found.st_uid:
            text = f"{subject.state}/{name} belongs to {_user(own)}, the directory to {_user(found.st_uid)}"
            yield Finding("permissions", "error", text, f"chown -R {_user(found.st_uid)} {subject.state}")


def _chown(uid: int) -> str:
    return f"run it as {_user(uid)}, or choose another directory with --state"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _disk(subject: Subject) -> Iterator[Finding]:
    from reconciler.core.units import parse_size

    try:
        disk = os.statvfs(subject.state)
    except OSError:
        return
    free = disk.f_bavail * disk.f_frsize
    text = f"{free >> 20} MiB free for {subject.state}"
    help = "free some space, or lower `retention` in the Installation"
    if free < FULL_BYTES:
        yield Finding("disk", "error", f"{text}: logs and state cannot grow", help)
    elif free < LOW_BYTES or free < disk.f_blocks * disk.f_frsize // 50:
        yield Finding("disk", "warning", text, help)
    else:
        yield Finding("disk", "ok", text)
    if disk.f_files and disk.f_favail < 10_000:
        yield Finding("disk", "warning", f"only {disk.f_favail} more files fit on this disk", help)
    total = (subject.installation.get("retention") or {}).get("total", "10GiB")
    if parse_size(total) > disk.f_blocks * disk.f_frsize:
        yield Finding("disk", "warning", f"retention.total is {total}, more than the whole disk", help)


def _daemon(subject: Subject) -> Iterator[Finding]:
    from reconciler.cli.acting import daemon_answers
    from reconciler.daemon.lock import is_held

    answers, held = daemon_answers(subject.state), is_held(Path(subject.state))
    if answers:
        yield Finding("daemon", "ok", "a daemon is running and answers")
    elif held:
        text = "a process holds the state and does not answer"
        help = f"{subject.state}/lock says which; if it hangs, end it: runs go on, and the next daemon adopts them"
        yield Finding("daemon", "error", text, help)
    else:
        help = "`reconcile serve` starts one (`serve --once` from a timer will do too)"
        yield Finding("daemon", "warning", "no daemon is running: nothing is scheduled", help)

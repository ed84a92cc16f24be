"""git by subprocess: an environment that runs nothing of the repository's own and asks nobody anything.

The reconciler may be root while the repository belongs to someone else. git refuses that by default, because a
repository's configuration can name programs to run. Only plumbing that runs none of them is used here; hooks, the
file system monitor and transports are switched off by name as well.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.alternateRefsCommand=",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
)
_ANY_OWNER = "safe.directory=*"
LOCAL_ONLY = ("protocol.allow=never",)
"""A partial clone would otherwise fetch a missing object in the middle of a look-up."""

_FIXED = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "LC_ALL": "C",
}
_KEPT = ("GIT_SSL_CAINFO", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL", "GIT_SSH_COMMAND", "GIT_ASKPASS")


class GitError(Exception):
    """git could not do it; the text is git's own last line."""


class GitMissing(GitError):
    """There is no `git` program."""


def without_credentials(text: str) -> str:
    """What git said, without the user and password of a URL."""
    return re.sub(r"://[^/\s@'\"]+@", "://", text)


def environment() -> dict[str, str]:
    """The environment for git: ours without `GIT_*`, which a hook that called us would have set for itself."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT
    }
    return inherited | _FIXED


def command(
    folder: str, arguments: Sequence[str], settings: Iterable[str] = LOCAL_ONLY, *, as_owner: bool = False
) -> list[str]:
    """The command line for git in `folder`.

    `as_owner` is for what may run programs that the repository's configuration names, such as a fetch: git then
    refuses a repository that belongs to someone else.
    """
    owner = () if as_owner else (_ANY_OWNER,)
    options = [part for setting in (*_SAFE, *owner, *settings) for part in ("-c", setting)]
    return ["git", "-C", folder, *options, *arguments]


def run(
    folder: str,
    *arguments: str,
    settings: Iterable[str] = LOCAL_ONLY,
    timeout_seconds: float = 60.0,
) -> bytes:
    """Run git in `folder` and give its output; raise `GitError` with what it said when it failed."""
    outcome = attempt(folder, *arguments, settings=settings, timeout_seconds=timeout_seconds)
    if outcome.code != 0:
        raise GitError(outcome.complaint or f"git {arguments[0]} ended with code {outcome.code}")
    return outcome.output


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    output: bytes
    errors: bytes

    @property
    def complaint(self) -> str:
        """The line of git's error output that says most: the first `fatal:` or `error:`, else the last."""
        lines = [line.strip() for line in self.errors.decode("utf-8", "replace").splitlines() if line.strip()]
        for prefix in ("fatal: ", "error: "):
            for line in lines:
                if line.startswith(prefix):
                    return line.removeprefix(prefix)
        return lines[-1] if lines else ""


def attempt(
    folder: str,
    *arguments: str,
    settings: Iterable[str] = LOCAL_ONLY,
    timeout_seconds: float = 60.0,
    extra: dict[str, str] | None = None,
    as_owner: bool = False,
    input: bytes | None = None,
) -> Outcome:
    """Run git in `folder` and give its exit code, output and errors; raise `GitError` when it cannot run or end."""
    try:
        done = subprocess.run(
            command(folder, arguments, settings, as_owner=as_owner),
            env=environment() | (extra or {}),
            start_new_session=True,
            stdin=subprocess.DEVNULL if input is None else None,
            input=input,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise GitMissing("there is no `git` program here") from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {arguments[0]} did not end within {timeout_seconds:g} s") from error
    return Outcome(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file of a commit's tree."""

    mode: str
    oid: str
    size: int
    path: str

    @property
    def is_symlink(self) -> bool:
        return self.mode == "120000"


def file_stamp(path: str) -> tuple[int, int, int] | None:
    """What differs when git wrote a file of its own directory anew, or None without that file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_ctime_ns, status.st_ino, status.st_size)


def commit_of(folder: str, name: str) -> str:
    """The commit that a ref or revision names, or "" when there is none."""
    outcome = attempt(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if outcome.code == 0:
        return outcome.output.decode().strip()
    if outcome.errors.strip():
        raise GitError(outcome.complaint)
    return ""


def tree_of(folder: str, commit: str, below: str = "") -> list[TreeEntry]:
    """The files of a commit, all or those below a folder; paths are from the top of the tree."""
    arguments = ["ls-tree", "-r", "-z", "-l", "--full-tree", commit]
    output = run(folder, *arguments, *(("--", f"{below}/") if below else ()))
    return [_entry(line) for line in output.split(b"\0") if line]


def _entry(line: bytes) -> TreeEntry:
    head, _, path = line.partition(b"\t")
    mode, _, oid, size = head.decode().split()
    return TreeEntry(mode, oid, int(size) if size.isdigit() else 0, os.fsdecode(path))


def blobs(folder: str, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The contents of blobs, by one `git cat-file --batch`, in the order asked for."""
    asked = list(oids)
    if not asked:
        return
    listed = "".join(f"{oid}\n" for oid in asked).encode()
    output = attempt(folder, "cat-file", "--batch", "--buffer", timeout_seconds=120.0, input=listed).output
    at = 0
    for oid in asked:
        end = output.find(b"\n", at)
        parts = output[at:end].split()
        if end < 0 or len(parts) != 3:
            raise GitError(f"object {oid[:12]} cannot be read from {folder}")
        size = int(parts[2])
        yield oid, output[end + 1 : end + 1 + size]
        at = end + 1 + size + 1

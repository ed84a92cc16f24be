"""Commit what a verb has written, as the person who calls: with their name, signature and hooks; then push it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import say

if TYPE_CHECKING:
    from subprocess import CompletedProcess

_TRIES: Final = 5
"""How often a push is tried when others push meanwhile."""


def commit(repository: str, path: str, message: str) -> None:
    """Commit one file and nothing else, and push it where there is a remote; raise Failure with what was done."""
    relative = os.path.relpath(path, repository)
    for arguments in (["add", "--", relative], ["commit", "--quiet", "--message", message, "--", relative]):
        try:
            done = _git(repository, *arguments)
        except FileNotFoundError:
            raise Failure(Exit.FAILED, f"wrote {relative}, and there is no git to commit it") from None
        if done.returncode:
            raise Failure(Exit.FAILED, f"wrote {relative}, and could not commit it: {_said(done)}")
    destination = _destination(repository)
    if destination is None:
        say(f"committed {relative}")
        return
    _push(repository, relative, *destination)


def _push(repository: str, relative: str, remote: str, ref: str) -> None:
    """Push the current branch; what others have pushed meanwhile comes before it."""
    for _ in range(_TRIES):
        pushed = _git(repository, "push", "--quiet", remote, f"HEAD:{ref}")
        if pushed.returncode == 0:
            say(f"committed {relative} and pushed it to {remote}")
            return
        fetched = _git(repository, "fetch", "--quiet", remote, ref)
        if fetched.returncode:
            raise Failure(
                Exit.FAILED, f"committed {relative}, and could not push it to {remote}: {_said(pushed)}"
            )
        if _git(repository, "merge-base", "--is-ancestor", "FETCH_HEAD", "HEAD").returncode == 0:
            # Nobody was faster: the remote refuses it for another reason.
            break
        rebased = _git(repository, "rebase", "--quiet", "--autostash", "FETCH_HEAD")
        if rebased.returncode:
            _git(repository, "rebase", "--abort")
            raise Failure(
                Exit.FAILED,
                f"committed {relative} here, and {remote} has changes that conflict with it",
                "rebase it by hand (`git pull --rebase`), and push",
            )
    raise Failure(Exit.FAILED, f"committed {relative}, and could not push it to {remote}: {_said(pushed)}")


def _destination(repository: str) -> tuple[str, str] | None:
    """Where the current branch is pushed to: its upstream, else its own name at the only remote; None: nowhere."""
    branch = _git(repository, "symbolic-ref", "--quiet", "--short", "HEAD").stdout.strip()
    if not branch:
        return None
    remote = _git(repository, "config", f"branch.{branch}.remote").stdout.strip()
    ref = _git(repository, "config", f"branch.{branch}.merge").stdout.strip()
    if remote and ref:
        return (remote, ref) if remote != "." else None
    remotes = _git(repository, "remote").stdout.split()
    told = os.environ.get("RECONCILE_REMOTE", "")
    name = told if told in remotes else remotes[0] if len(remotes) == 1 else ""
    return (name, f"refs/heads/{branch}") if name else None


def _git(repository: str, *arguments: str) -> CompletedProcess[str]:
    import subprocess

    return subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True, check=False)


def _said(done: CompletedProcess[str]) -> str:
    return (done.stderr or done.stdout).strip()

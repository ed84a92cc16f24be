"""A git ref as the source: the committed tree, fetched from a remote where asked for, verified where asked for.

Fetching writes nothing but `refs/reconciler/*`. A ref that moved back or aside is held until that is approved, so a
force push cannot silently undo what runs. A remote that cannot be reached is a notice: the last fetched state counts.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from reconciler.core.desired import Administrator
from reconciler.core.model import Revision
from reconciler.ports.source import FileStamp, Held, HeldReason, Snapshot, Watch
from reconciler.sources import git
from reconciler.sources.signers import Verifier
from reconciler.sources.tree import Listing, Repository, listing, snapshot_of

OURS: Final = "refs/reconciler"
POLL_SECONDS: Final = 0.5
_FETCH_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class RefOptions:
    """What to read: a ref of the repository at `directory`, or of its remote."""

    directory: Path
    ref: str
    remote: str = ""
    interval_seconds: float = 30.0
    secrets: Path | None = None
    """Where credentials for the remote lie: `git-credentials` (as `git credential-store` keeps them), `git-ssh-key`."""
    allowed_signers: Path | None = None


class RefSource:
    """The files below `jobs.d` in the tree of a ref."""

    mode = "ref"

    def __init__(
        self, options: RefOptions, administrators: Callable[[], Iterable[Administrator]] = lambda: ()
    ) -> None:
        """`administrators` are those in force, for whom commits of domain areas may be signed."""
        self._options = options
        self._administrators = administrators
        self._approved: set[str] = set()
        self._fetched_at: float | None = None
        self._fetch_problem = ""
        self._listed: tuple[str, Listing] | None = None
        self._verifier: Verifier | None = None

    def snapshot(self, known: Mapping[str, FileStamp], now: float) -> Snapshot | Held:
        """Give the files of the ref's commit; fetch first when a remote's interval is over."""
        try:
            repository = Repository.at(self._options.directory)
            if self._options.remote:
                self._fetch(repository, now)
            commit = git.commit_of(repository.folder, self._source_ref)
            if not commit:
                message = self._fetch_problem or f"there is no {self._source_ref} in {repository.git_dir}"
                return Held(HeldReason.REF_MISSING, message, 5.0)
            held = self._aside(repository, commit)
            if held is not None:
                return held
            return self._read(repository, commit, known)
        except git.GitError as error:
            return Held(HeldReason.GIT_FAILED, f"{self._options.directory}: {error}", 5.0)

    def approve(self, digest: str) -> None:
        """Let the ref move back or aside, as the `approval` of a `Held` says."""
        self._approved.add(digest)

    def sync(self) -> None:
        """Fetch at the next look, whatever the interval."""
        self._fetched_at = None

    def watch(self, hint: Callable[[], None]) -> Watch:
        """Call `hint` soon after the ref moved here; what happens at a remote is found by the interval."""
        return _RefWatch(self._options.directory, self._source_ref, hint)

    @property
    def _source_ref(self) -> str:
        return self._own("remotes") if self._options.remote else self._options.ref

    def _own(self, what: str) -> str:
        """The name of a ref of ours that belongs to the ref that is read."""
        remote = f"{self._options.remote}/" if self._options.remote else ""
        return f"{OURS}/{what}/{remote}{self._options.ref.removeprefix('refs/')}"

    def _fetch(self, repository: Repository, now: float) -> None:
        since = None if self._fetched_at is None else now - self._fetched_at
        if since is not None and 0 <= since < self._options.interval_seconds:
            return
        self._fetched_at = now
        # An empty refmap: or git would move refs/remotes/* along, as the remote's configuration says.
        options = (
            "--no-tags",
            "--refmap=",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-gc",
        )
        refspec = f"+{self._options.ref}:{self._own('remotes')}"
        settings, extra = self._credentials()
        try:
            outcome = git.attempt(
                repository.folder,
                *("fetch", *options, "--", self._options.remote, refspec),
                settings=settings,
                timeout_seconds=_FETCH_SECONDS,
                extra=extra,
                as_owner=True,
            )
            said = "" if outcome.code == 0 else git.without_credentials(outcome.complaint)
        except git.GitError as error:
            said = git.without_credentials(str(error))
        self._fetch_problem = f"{self._options.remote} cannot be fetched: {said}" if said else ""

    def _credentials(self) -> tuple[list[str], dict[str, str]]:
        """Credentials from the secrets directory, by name; their values pass through no command line of ours."""
        settings: list[str] = []
        extra = {"GIT_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "never"}
        secrets = self._options.secrets
        if secrets is None:
            return settings, extra
        if (secrets / "git-credentials").is_file():
            settings += [
                "credential.helper=",
                f"credential.helper=store --file={secrets / 'git-credentials'}",
            ]
        if (secrets / "git-ssh-key").is_file():
            key = str(secrets / "git-ssh-key").replace("'", "'\\''")
            extra["GIT_SSH_COMMAND"] = f"ssh -i '{key}' -o IdentitiesOnly=yes -o BatchMode=yes"
        return settings, extra

    def _aside(self, repository: Repository, commit: str) -> Held | None:
        """Hold when the ref does not contain what was read before; otherwise remember what is read now."""
        own = self._own("read")
        before = (
            git.attempt(repository.folder, "rev-parse", "--verify", "--quiet", own).output.decode().strip()
        )
        if before == commit:
            return None
        if before:
            contains = git.attempt(repository.folder, "merge-base", "--is-ancestor", before, commit)
            digest = hashlib.sha256(f"ref {before} {commit}".encode()).hexdigest()[:16]
            if contains.code != 0 and digest not in self._approved:
                return Held(
                    HeldReason.NOT_FAST_FORWARD,
                    f"{self._options.ref} moved from {before[:12]} to {commit[:12]}, which does not contain it; "
                    f"if that is meant: reconcile apply --approve {digest}",
                    5.0,
                    digest,
                )
        # A repository that is not ours to write keeps no such memory; then each start trusts what it finds.
        git.attempt(repository.folder, "update-ref", own, commit)
        return None

    def _read(self, repository: Repository, commit: str, known: Mapping[str, FileStamp]) -> Snapshot:
        if self._listed is None or self._listed[0] != commit:
            self._listed = (commit, listing(repository, commit))
        found, revision = self._listed[1], Revision(commit)
        if self._options.allowed_signers is not None:
            if self._verifier is None:
                self._verifier = Verifier(repository, self._options.allowed_signers, self._own("verified"))
            found = self._verifier.keep_verified(commit, found, self._administrators())
            revision = Revision(commit, signer=self._verifier.signer_of(commit))
        snapshot = snapshot_of(repository, found, known, revision)
        return replace(snapshot, notices=(self._fetch_problem,) if self._fetch_problem else ())


class _RefWatch:
    """Looks at a few files of the repository twice a second, which costs next to nothing."""

    def __init__(self, folder: Path, ref: str, hint: Callable[[], None]) -> None:
        self._folder, self._ref, self._hint = folder, ref, hint
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        common, seen = "", None
        while not self._stop.wait(POLL_SECONDS):
            try:
                if not common:
                    said = git.run(
                        str(self._folder), "rev-parse", "--path-format=absolute", "--git-common-dir"
                    )
                    common = said.decode("utf-8", "surrogateescape").strip()
            except git.GitError:
                continue
            names = (self._ref, "packed-refs", "reftable/tables.list")
            now = tuple(git.file_stamp(os.path.join(common, name)) for name in names)
            if seen is not None and now != seen:
                self._hint()
            seen = now

"""Who may change a domain's area: commits that touch it are signed by one of its Administrators, or by a system one.

An area's content counts when its last change was signed by someone who may; otherwise the area stays at its last
content that did, and that is said. What was found good is remembered under `refs/reconciler/verified/*`, so that it
stays good when its signer leaves, and history is not walked again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reconciler.core.desired import Administrator
from reconciler.core.diagnostics import Diagnostic
from reconciler.ports.source import DOMAINS, area_of, is_taken
from reconciler.sources import git
from reconciler.sources.tree import Listing, Repository

MAX_COMMITS: Final = 5000
_SSH_ONLY: Final = (
    *git.LOCAL_ONLY,
    # A keyring is not the allowed signers file, and the repository must not choose the programs that check it.
    "gpg.ssh.program=ssh-keygen",
    "gpg.program=/bin/false",
    "gpg.openpgp.program=/bin/false",
    "gpg.x509.program=/bin/false",
)


@dataclass(frozen=True, slots=True)
class _Commit:
    oid: str
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Good:
    """The last content of an area that someone vouched for: its tree, and a commit that has it."""

    tree: str
    commit: str


@dataclass(slots=True)
class _State:
    areas: dict[str, _Good] = field(default_factory=dict)


class Verifier:
    """Checks the domain areas of one ref."""

    def __init__(self, repository: Repository, allowed_signers: Path, ref: str) -> None:
        self._repository, self._file, self._ref = repository, allowed_signers.absolute(), ref
        self._signers: dict[str, str] = {}
        self._trees: dict[str, dict[str, str]] = {}
        self._last: tuple[object, Listing] | None = None
        self._state = self._recall()

    def keep_verified(self, commit: str, found: Listing, administrators: Iterable[Administrator]) -> Listing:
        """Replace the areas whose last change nobody vouches for by their last good content, and say so."""
        allowed = _allowed(administrators)
        key = (commit, json.dumps(sorted((k, sorted(v)) for k, v in allowed.items())), self._file_stamp())
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        self._signers = {}
        result = Listing(dict(found.entries), dict(found.problems))
        now = self._areas(commit)
        self._drop_unseen(now, result)
        for domain in sorted({*now, *self._state.areas}):
            who = allowed.get(domain, set()) | allowed[""]
            tree, good = now.get(domain, ""), self._state.areas.get(domain)
            if good is not None and good.tree == tree:
                continue
            blame = self._unvouched(domain, commit, tree, good, who)
            if not blame:
                self._state.areas[domain] = _Good(tree, commit)
                continue
            self._keep(domain, good, blame, result)
        self._remember()
        self._last = (key, result)
        return result

    def _drop_unseen(self, now: Mapping[str, str], result: Listing) -> None:
        """Take nothing of an area that is no folder of the commit.

        What a symlink leads to can change without a change of the area, so no signature could vouch for it.
        """
        for path in list(result.entries):
            area = area_of(path)
            if area and area not in now:
                del result.entries[path]
                folder = f"{DOMAINS}{area}"
                message = (
                    "a domain's folder that is reached by a symlink does not count: its content is not signed"
                )
                help = f"make {folder} a folder with files of its own"
                result.problems[folder] = Diagnostic("E303", message, folder, help=help)

    def signer_of(self, commit: str) -> str:
        """Who signed a commit, as the allowed signers file names them, or ""."""
        if commit not in self._signers:
            settings = (*_SSH_ONLY, f"gpg.ssh.allowedSignersFile={self._file}")
            arguments = ("log", "-1", "--no-show-signature", "--format=%G?%x00%GS", commit)
            said = git.run(self._repository.folder, *arguments, settings=settings).decode("utf-8", "replace")
            validity, _, signer = said.strip().partition("\0")
            self._signers[commit] = signer if validity == "G" else ""
        return self._signers[commit]

    def _file_stamp(self) -> tuple[int, int]:
        try:
            status = self._file.stat()
        except OSError as error:
            raise git.GitError(f"the allowed signers cannot be read: {error}") from error
        return (status.st_mtime_ns, status.st_size)

    def _unvouched(self, domain: str, commit: str, tree: str, good: _Good | None, who: set[str]) -> str:
        """Say why the content of an area in a commit does not count, or ""."""
        since = good.commit if good else ""
        commits = self._commits(since, commit)
        if commits is None:
            return f"more than {MAX_COMMITS} commits are to be checked"
        fine: dict[str, str] = {}
        inside = {each.oid for each in commits}
        for each in commits:
            mine = self._areas(each.oid).get(domain, "")
            parents = [(p, self._areas(p).get(domain, "")) for p in each.parents]
            if not parents and not mine:
                fine[each.oid] = ""
                continue
            same = [parent for parent, theirs in parents if theirs == mine]
            taken = [p for p in same if self._is_taken_over(domain, p, each, mine)]
            if taken:
                # What came before the last good content was good in its time.
                reasons = [fine.get(p, "") if p in inside else "" for p in taken]
                fine[each.oid] = "" if "" in reasons else reasons[0]
                continue
            signer = self.signer_of(each.oid)
            if signer in who and signer:
                fine[each.oid] = ""
            else:
                by = (
                    f"signed by {signer}, who may not change it" if signer else "not signed by anyone we know"
                )
                fine[each.oid] = f"commit {each.oid[:12]} is {by}"
        return fine.get(commit, "" if not tree and good is None else "nobody vouches for it")

    def _is_taken_over(self, domain: str, parent: str, commit: _Commit, mine: str) -> bool:
        """Whether a commit has the area of one parent because only that side changed it.

        A merge that takes the older content although another side changed it is a change, and needs a signature.
        """
        for other in commit.parents:
            theirs = self._areas(other).get(domain, "")
            if other == parent or theirs == mine:
                continue
            base = git.attempt(self._repository.folder, "merge-base", parent, other).output.decode().strip()
            if not base or self._areas(base).get(domain, "") != theirs:
                return False
        return True

    def _commits(self, since: str, until: str) -> list[_Commit] | None:
        bounds = [until, *([f"^{since}"] if since else [])]
        arguments = ("rev-list", "--topo-order", "--reverse", "--parents", *bounds, "--")
        lines = git.run(self._repository.folder, *arguments).decode().splitlines()
        if len(lines) > MAX_COMMITS:
            return None
        return [_Commit(oid, tuple(parents)) for oid, *parents in map(str.split, lines)]

    def _areas(self, commit: str) -> dict[str, str]:
        """The tree of each domain's area in a commit."""
        found = self._trees.get(commit)
        if found is None:
            folder = f"{self._repository.prefix}{DOMAINS}"
            output = git.run(self._repository.folder, "ls-tree", "-z", "--full-tree", commit, "--", folder)
            found = {}
            for line in output.split(b"\0"):
                head, _, path = line.decode("utf-8", "surrogateescape").partition("\t")
                if " tree " in head:
                    found[path.rpartition("/")[2]] = head.split()[2]
            self._trees[commit] = found
        return found

    def _keep(self, domain: str, good: _Good | None, blame: str, result: Listing) -> None:
        for path in [path for path in result.entries if area_of(path) == domain]:
            del result.entries[path]
        folder = f"{DOMAINS}{domain}"
        kept = "nothing of it is in force"
        if good is not None:
            kept = f"its content of commit {good.commit[:12]} stays in force"
            if good.tree:
                for entry in git.tree_of(self._repository.folder, good.tree):
                    if not entry.is_symlink and is_taken(entry.path):
                        result.entries[f"{folder}/{entry.path}"] = entry
        message = f"the last change of this domain's folder does not count: {blame}"
        help = f"{kept}; an Administrator of {domain}, or a system one, signs a commit that touches it"
        result.problems[folder] = Diagnostic("E303", message, folder, help=help)

    def _recall(self) -> _State:
        outcome = git.attempt(self._repository.folder, "cat-file", "blob", self._ref)
        if outcome.code != 0:
            return _State()
        kept: Mapping[str, list[str]] = json.loads(outcome.output)
        return _State({domain: _Good(tree, commit) for domain, (tree, commit) in kept.items()})

    def _remember(self) -> None:
        text = json.dumps(
            {name: [good.tree, good.commit] for name, good in sorted(self._state.areas.items())}
        )
        folder = self._repository.folder
        done = git.attempt(folder, "hash-object", "-w", "--stdin", input=text.encode())
        if done.code == 0:
            git.attempt(folder, "update-ref", self._ref, done.output.decode().strip())


def _allowed(administrators: Iterable[Administrator]) -> dict[str, set[str]]:
    """Signers by domain; "" are those of system administrators."""
    allowed: dict[str, set[str]] = {"": set()}
    for each in administrators:
        names = {name.removeprefix("signer:") for name in each.identities if name.startswith("signer:")}
        for domain in [""] if each.role == "system" else each.domains:
            allowed.setdefault(domain, set()).update(names)
    return allowed

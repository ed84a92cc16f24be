"""A git ref as the source: committed trees, remotes that may be away, refs that move back, and who signed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.desired import Administrator
from reconciler.ports.source import Held, HeldReason, Snapshot
from reconciler.sources.gitref import RefOptions, RefSource
from reconciler.sources.tree import read_revision
from reconciler.spec.lastgood import Accepted, accept
from reconciler.spec.loading import loader_of
from reconciler.spec.resolve import ResolveCache
from reconciler.spec.stored import Stored
from tests.sources.place import (
    LATER,
    NOW,
    Place,
    codes,
    domain,
    domain_job,
    git,
    job,
    kept,
    many,
    planning,
    targets,
)

pytestmark = pytest.mark.needs("git")


class Reader:
    """Takes a ref again and again, as the daemon does."""

    def __init__(self, options: RefOptions) -> None:
        self.options = options
        self.administrators: tuple[Administrator, ...] = ()
        self.stored, self.cache, self.now = Stored(), ResolveCache(), LATER
        self.restart()

    def restart(self) -> None:
        self.source = RefSource(self.options, lambda: self.administrators)

    def look(self) -> Snapshot | Held:
        self.now += 60
        return self.source.snapshot(self.stored.known(), self.now)

    def take(self) -> Accepted:
        found = self.look()
        assert isinstance(found, Snapshot), found
        accepted = accept(self.stored, found, loader_of(self.cache, clock=lambda: NOW))
        self.stored = kept(self.stored, accepted.stored)
        return accepted

    def held(self) -> Held:
        found = self.look()
        assert isinstance(found, Held), found
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "work")
    place.git("init", "-q", "-b", "main")
    place.write("a.yaml", job("a"))
    place.commit("first")
    return place


def reader(folder: Path, **more: object) -> Reader:
    return Reader(RefOptions(folder, "refs/heads/main", **more))  # type: ignore[arg-type]


def test_the_committed_tree_counts_and_not_what_lies_in_the_folder(place: Place) -> None:
    ref = reader(place.root)
    place.write("b.yaml", job("b"))
    place.remove("a.yaml")
    assert targets(ref.take()) == ["a"]
    commit = place.commit("second")
    found = ref.look()
    assert isinstance(found, Snapshot)
    assert (found.revision.commit, found.revision.dirty) == (commit, False)
    assert found.changed == {"jobs.d/a.yaml", "jobs.d/b.yaml"}


def test_unchanged_files_are_not_read_again_after_a_restart(place: Place) -> None:
    ref = reader(place.root)
    ref.take()
    place.write("b.yaml", job("b"))
    place.commit()
    ref.restart()
    found = ref.look()
    assert isinstance(found, Snapshot)
    assert found.files["jobs.d/a.yaml"].content is None
    assert found.changed == {"jobs.d/b.yaml"}


def test_a_bare_repository_and_a_subfolder_work_alike(place: Place, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(place.root), "bare.git")
    assert targets(reader(tmp_path / "bare.git").take()) == ["a"]
    inner = Place(place.root / "deep" / "site")
    inner.write("x.yaml", job("x"))
    place.commit()
    assert targets(reader(inner.root).take()) == ["x"]


def test_links_in_a_tree_are_followed_within_it_and_nowhere_else(place: Place) -> None:
    place.write("domains/one.example/p.yaml", planning("j", "{mode: disabled}"))
    place.write("d.yaml", many(domain("one.example"), domain("two.example"), domain_job("j")))
    (place.root / "shared").mkdir()
    (place.root / "shared" / "s.yaml").write_text(job("s"))
    tree = place.root / "jobs.d"
    (tree / "domains" / "two.example").mkdir(parents=True)
    for name, to in {
        "shared": "../shared",
        "again.yaml": "a.yaml",
        "out.yaml": "/etc/passwd",
        "up.yaml": "../../x.yaml",
        "gone.yaml": "nowhere.yaml",
        "domains/two.example/steal.yaml": "../one.example/p.yaml",
    }.items():
        (tree / name).symlink_to(to)
    place.commit()
    accepted = reader(place.root).take()
    assert targets(accepted) == ["a", "j@one.example", "j@two.example", "s"]
    assert codes(accepted) == {
        f"jobs.d/{name}": ["E302"]
        for name in ("domains/two.example/steal.yaml", "gone.yaml", "out.yaml", "up.yaml")
    }


def test_a_missing_ref_and_a_missing_repository_are_held(place: Place, tmp_path: Path) -> None:
    ref = reader(place.root)
    ref.options = replace(ref.options, ref="refs/heads/none")
    ref.restart()
    assert ref.held().reason is HeldReason.REF_MISSING
    (tmp_path / "empty").mkdir()
    assert reader(tmp_path / "empty").held().reason is HeldReason.GIT_FAILED


def lose_git(monkeypatch: pytest.MonkeyPatch, folder: Path, after: str) -> None:
    """Let git's program vanish as soon as it was called with the word `after`."""
    folder.mkdir()
    program, real = folder / "git", shutil.which("git")
    program.write_text(
        f'#!/bin/sh\ncase " $* " in *" {after} "*) {shutil.which("rm")} "$0";; esac\nexec {real} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_a_git_that_goes_away_before_the_files_are_read_is_held(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = reader(place.root)
    with monkeypatch.context() as patched:
        lose_git(patched, tmp_path / "bin", after="ls-tree")
        assert "no `git` program" in ref.held().message
        assert not (tmp_path / "bin" / "git").exists()
    assert targets(ref.take()) == ["a"]


def test_a_ref_that_moves_back_is_held_until_approved(place: Place) -> None:
    ref = reader(place.root)
    place.write("b.yaml", job("b"))
    place.commit("second")
    assert targets(ref.take()) == ["a", "b"]
    place.git("reset", "-q", "--hard", "HEAD~1")
    held = ref.held()
    assert held.reason is HeldReason.NOT_FAST_FORWARD
    ref.restart()
    assert ref.held().approval == held.approval != ""
    ref.source.approve(held.approval)
    assert targets(ref.take()) == ["a"]
    ref.restart()
    assert targets(ref.take()) == ["a"]


# Remotes.


@pytest.fixture
def clone(place: Place, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", str(place.root), "clone")
    return tmp_path / "clone"


def test_fetching_writes_only_refs_of_ours(place: Place, clone: Path) -> None:
    ref = reader(clone, remote="origin")
    before = set(git(clone, "for-each-ref", "--format=%(refname) %(objectname)").splitlines())
    head = (clone / ".git" / "HEAD").read_text()
    place.write("b.yaml", job("b"))
    place.git("tag", "v1")
    place.commit("second")
    assert targets(ref.take()) == ["a", "b"]
    after = set(git(clone, "for-each-ref", "--format=%(refname) %(objectname)").splitlines())
    assert before <= after
    assert all(line.startswith("refs/reconciler/") for line in after - before)
    assert not (clone / ".git" / "FETCH_HEAD").exists()
    assert (clone / ".git" / "HEAD").read_text() == head
    assert sorted(each.name for each in (clone / "jobs.d").iterdir()) == ["a.yaml"]


def test_a_remote_is_asked_once_an_interval_unless_told(place: Place, clone: Path) -> None:
    ref = reader(clone, remote="origin", interval_seconds=1000.0)
    ref.take()
    place.write("b.yaml", job("b"))
    place.commit("second")
    assert targets(ref.take()) == ["a"]
    ref.source.sync()
    assert targets(ref.take()) == ["a", "b"]


def test_a_remote_that_is_away_is_a_notice_and_nothing_stops(place: Place, clone: Path) -> None:
    ref = reader(clone, remote="origin")
    ref.take()
    place.root.rename(place.root.with_name("away"))
    found = ref.look()
    assert isinstance(found, Snapshot)
    assert not found.changed
    assert "origin cannot be fetched" in found.notices[0]
    ref.restart()
    assert targets(ref.take()) == ["a"]
    place.root.with_name("away").rename(place.root)
    found = ref.look()
    assert isinstance(found, Snapshot)
    assert found.notices == ()


def test_a_force_push_is_held_until_approved(place: Place, clone: Path) -> None:
    ref = reader(clone, remote="origin")
    ref.take()
    place.write("a.yaml", job("other"))
    place.git("add", "-A")
    place.git("commit", "-q", "--amend", "-m", "rewritten")
    held = ref.held()
    assert held.reason is HeldReason.NOT_FAST_FORWARD
    ref.source.approve(held.approval)
    assert isinstance(ref.look(), Snapshot)


def test_a_remote_that_names_a_program_is_refused(place: Place, clone: Path) -> None:
    git(clone, "remote", "set-url", "origin", f"ext::sh -c touch% {clone}/ran")
    assert reader(clone, remote="origin").held().reason is HeldReason.REF_MISSING
    assert not (clone / "ran").exists()


def test_hooks_of_the_repository_do_not_run(place: Place, clone: Path) -> None:
    hook = clone / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {clone}/ran\n")
    hook.chmod(0o755)
    reader(clone, remote="origin").take()
    assert not (clone / "ran").exists()


def test_a_revision_is_read_offline_for_comparing(place: Place) -> None:
    place.write("b.yaml", job("b"))
    place.commit("second")
    first, second = (read_revision(place.root, name) for name in ("HEAD~1", "main"))
    assert sorted(first.files) == ["jobs.d/a.yaml"]
    assert sorted(second.files) == ["jobs.d/a.yaml", "jobs.d/b.yaml"]
    assert all(file.content for file in second.files.values())


# Signers.


class Signed:
    """A repository whose commits are signed by people with keys."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder = place, folder
        self.file = folder / "allowed_signers"
        lines = []
        for name in ("alice", "bob", "root", "mallory"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True
            )
            key = (folder / f"{name}.pub").read_text().strip()
            if name != "mallory":
                lines.append(f"{name}@example.org {key}\n")
        self.file.write_text("".join(lines))
        place.git("config", "gpg.format", "ssh")
        self.ref = reader(place.root, allowed_signers=self.file)
        self.ref.administrators = (
            Administrator("alice", "domain", ("one.example",), identities=("signer:alice@example.org",)),
            Administrator("bob", "domain", ("two.example",), identities=("signer:bob@example.org",)),
            Administrator("root", "system", identities=("signer:root@example.org",)),
        )

    def commit(self, who: str = "") -> str:
        self.place.git("add", "-A")
        signing = ["-c", f"user.signingkey={self.folder / who}"] if who else []
        self.place.git(*signing, "commit", "-qm", who or "unsigned", *(["-S"] if who else []))
        return self.place.git("rev-parse", "HEAD")

    def plan(self, mode: str, area: str = "one.example") -> None:
        text = (
            "{mode: disabled}" if mode == "disabled" else f"{{mode: scheduled, schedule: {{every: {mode}}}}}"
        )
        self.place.write(f"domains/{area}/j.yaml", planning("j", text))

    def planned(self, area: str = "one.example") -> str:
        accepted = self.ref.take()
        return next(p.planning_text for t, p in accepted.desired.targets.items() if t.domain == area)


@pytest.fixture
def signed(place: Place, tmp_path: Path) -> Signed:
    (tmp_path / "keys").mkdir()
    place.write("d.yaml", many(domain("one.example"), domain("two.example"), domain_job("j")))
    signed = Signed(place, tmp_path / "keys")
    signed.plan("1h")
    signed.commit("alice")
    assert signed.planned() == "every 1h"
    return signed


needs_keys = pytest.mark.needs("ssh-keygen")


@needs_keys
def test_an_administrator_of_the_domain_and_a_system_one_may_change_its_folder(signed: Signed) -> None:
    signed.plan("2h")
    signed.commit("alice")
    assert signed.planned() == "every 2h"
    signed.plan("3h")
    signed.commit("root")
    assert signed.planned() == "every 3h"


@needs_keys
@pytest.mark.parametrize("who", ["", "bob", "mallory"])
def test_others_cannot_and_the_last_good_stays_and_says_so(signed: Signed, who: str) -> None:
    signed.plan("disabled")
    commit = signed.commit(who)
    assert signed.planned() == "every 1h"
    problem = signed.ref.take().rejected["jobs.d/domains/one.example"][0]
    assert problem.code == "E303"
    assert commit[:12] in problem.message
    signed.ref.restart()
    signed.ref.stored = Stored()
    assert signed.planned() == "every 1h"


@needs_keys
def test_everything_else_moves_on_meanwhile(signed: Signed) -> None:
    signed.plan("disabled")
    signed.commit("mallory")
    signed.plan("6h", "two.example")
    signed.place.write("new.yaml", job("new"))
    signed.commit("bob")
    accepted = signed.ref.take()
    assert "new" in targets(accepted)
    assert signed.planned("two.example") == "every 6h"
    assert signed.planned("one.example") == "every 1h"


@needs_keys
def test_a_signed_commit_on_top_vouches_for_the_whole_folder(signed: Signed) -> None:
    signed.plan("disabled")
    signed.commit()
    assert signed.planned() == "every 1h"
    signed.plan("8h")
    signed.commit("alice")
    assert signed.planned() == "every 8h"


@needs_keys
def test_a_removed_folder_needs_a_signature_too(signed: Signed) -> None:
    signed.place.remove("domains/one.example")
    signed.commit("bob")
    assert signed.planned() == "every 1h"
    signed.place.write("note.yaml", job("note"))
    signed.commit("root")
    assert signed.planned() == "every 1h"


@needs_keys
def test_a_git_that_goes_away_before_what_is_good_is_remembered_is_held(
    signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed.plan("2h")
    signed.commit("alice")
    with monkeypatch.context() as patched:
        keygen = shutil.which("ssh-keygen") or ""
        lose_git(patched, tmp_path / "bin", after="log")
        (tmp_path / "bin" / "ssh-keygen").symlink_to(keygen)
        assert "no `git` program" in signed.ref.held().message
    assert signed.planned() == "every 2h"


@needs_keys
@pytest.mark.parametrize("link", ["domains/two.example", "domains"])
def test_a_link_in_the_place_of_a_folder_needs_what_the_folder_needs(signed: Signed, link: str) -> None:
    place = signed.place
    place.root.joinpath("jobs.d", "domains").rename(place.root / "aside")
    place.root.joinpath("aside", "two.example").mkdir()
    unsigned = planning("j", "{mode: scheduled, schedule: {every: 7h}}")
    (place.root / "aside" / "two.example" / "j.yaml").write_text(unsigned)
    path = place.root / "jobs.d" / link
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("../" * link.count("/") + "../aside" + link.removeprefix("domains"))
    signed.commit("mallory")
    assert "7h" not in signed.planned("two.example")
    assert signed.planned() == "every 1h"
    assert codes(signed.ref.take()) == {f"jobs.d/domains/{name}.example": ["E303"] for name in ("one", "two")}


@needs_keys
def test_a_link_in_the_place_of_a_folder_is_not_taken_from_its_administrator_either(signed: Signed) -> None:
    place = signed.place
    place.root.joinpath("jobs.d", "domains", "one.example").rename(place.root / "aside")
    (place.root / "jobs.d" / "domains").mkdir(exist_ok=True)
    (place.root / "jobs.d" / "domains" / "one.example").symlink_to("../../aside")
    signed.commit("alice")
    signed.ref.take()
    (place.root / "aside" / "j.yaml").write_text(planning("j", "{mode: disabled}"))
    signed.commit("mallory")
    assert signed.planned() == "every 1h"
    assert codes(signed.ref.take()) == {"jobs.d/domains/one.example": ["E303"]}


@needs_keys
def test_a_merge_needs_no_signature_unless_it_undoes_what_one_side_changed(signed: Signed) -> None:
    place = signed.place
    place.git("branch", "old")
    place.git("checkout", "-q", "-b", "side")
    signed.plan("12h")
    signed.commit("alice")
    place.git("checkout", "-q", "main")
    place.write("z.yaml", job("z"))
    signed.commit()
    place.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    assert signed.planned() == "every 12h"
    place.git("checkout", "-q", "old")
    place.write("y.yaml", job("y"))
    signed.commit()
    place.git("checkout", "-q", "main")
    place.git("merge", "-q", "--no-ff", "--no-commit", "old")
    place.git("checkout", "-q", "old", "--", "jobs.d/domains")
    place.git("commit", "-qm", "an evil merge")
    assert "every 1h" in (place.root / "jobs.d/domains/one.example/j.yaml").read_text().replace(
        "{every: ", "every "
    )
    assert signed.planned() == "every 12h"


@needs_keys
def test_what_was_good_stays_good_when_its_signer_leaves(signed: Signed) -> None:
    signed.ref.administrators = signed.ref.administrators[1:]
    signed.ref.restart()
    assert signed.planned() == "every 1h"
    assert signed.ref.take().rejected == {}
    signed.plan("2h")
    signed.commit("alice")
    assert signed.planned() == "every 1h"


@needs_keys
def test_the_revision_names_the_signer(signed: Signed) -> None:
    assert signed.ref.take().desired.revision.signer == "alice@example.org"


@needs_keys
def test_the_repository_cannot_choose_who_checks_signatures(signed: Signed) -> None:
    fake = signed.folder / "fake"
    fake.write_text("#!/bin/sh\necho 'Good \"git\" signature for alice@example.org'\nexit 0\n")
    fake.chmod(0o755)
    signed.place.git("config", "gpg.ssh.program", str(fake))
    signed.plan("disabled")
    signed.place.git("add", "-A")
    signed.place.git(
        "-c",
        "gpg.ssh.program=ssh-keygen",
        "-c",
        f"user.signingkey={signed.folder / 'mallory'}",
        "commit",
        "-q",
        "-S",
        "-m",
        "x",
    )
    assert signed.planned() == "every 1h"

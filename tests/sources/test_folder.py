"""A snapshot is all of one moment, or there is none."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from reconciler.ports.source import Held, HeldReason, Snapshot
from reconciler.sources.folder import FolderSource
from reconciler.sources.tree import read_revision
from tests.sources.place import LATER, Place, domain, domain_job, job, many, planning, targets


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "site")
    place.write("a.yaml", job("a"))
    return place


def held(place: Place) -> HeldReason:
    found = place.look()
    assert isinstance(found, Held), found
    return found.reason


def test_only_documents_and_what_they_refer_to_are_taken(place: Place) -> None:
    for name in (
        ".hidden.yaml",
        "..data.yaml",
        "b.yaml~",
        "c.yaml.tmp",
        ".#d.yaml",
        "e.swp",
        "4913",
        "README.md",
    ):
        place.write(name, "x")
    place.write(".git/f.yaml", "x")
    place.write("sub/g.yml", job("g"))
    place.write("sub/h.ics", "x")
    assert sorted(place.snapshot().files) == ["jobs.d/a.yaml", "jobs.d/sub/g.yml", "jobs.d/sub/h.ics"]


def test_only_changed_files_are_read(place: Place) -> None:
    place.write("b.yaml", job("b"))
    place.take()
    place.write("b.yaml", job("b", "  timeout: 1m\n"))
    snapshot = place.snapshot()
    assert snapshot.changed == {"jobs.d/b.yaml"}
    assert snapshot.files["jobs.d/a.yaml"].content is None


def test_an_edit_of_the_same_size_whose_time_was_set_back_is_seen(place: Place) -> None:
    place.take()
    file = place.root / "jobs.d" / "a.yaml"
    before = file.stat()
    file.write_text(job("b"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert place.snapshot().changed == {"jobs.d/a.yaml"}


def test_a_file_that_was_only_touched_is_no_change(place: Place) -> None:
    place.take()
    os.utime(place.root / "jobs.d" / "a.yaml")
    assert not place.snapshot().changed


def test_a_file_written_a_moment_ago_is_read_again_the_next_time(place: Place) -> None:
    place.now = time.time()
    place.take()
    assert place.stored.files["jobs.d/a.yaml"].stamp.mtime_ns == -1
    assert place.snapshot().files["jobs.d/a.yaml"].content is not None
    assert not place.snapshot().changed


def test_a_missing_root_is_held_and_not_taken_for_an_empty_one(place: Place) -> None:
    place.take()
    (place.root / "jobs.d").rename(place.root / "elsewhere")
    assert held(place) is HeldReason.MISSING
    place.root.rename(place.root.with_name("moved"))
    assert held(place) is HeldReason.MISSING


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_root_that_cannot_be_read_is_held(place: Place) -> None:
    (place.root / "jobs.d").chmod(0)
    assert held(place) is HeldReason.UNREADABLE


def test_a_tree_that_is_no_folder_is_held(place: Place) -> None:
    place.remove("a.yaml")
    (place.root / "jobs.d").rmdir()
    (place.root / "jobs.d").write_text("a file")
    assert held(place) is HeldReason.UNREADABLE


def test_a_pipe_in_the_place_of_a_file_stops_nothing(place: Place) -> None:
    place.write("b.yaml", job("b"))
    place.take()
    place.remove("a.yaml")
    os.mkfifo(place.root / "jobs.d" / "a.yaml")
    accepted = place.take()
    assert [each.code for each in accepted.rejected["jobs.d/a.yaml"]] == ["E304"]
    assert targets(accepted) == ["a", "b"]


def test_a_name_that_is_no_text_is_an_error_and_no_crash(place: Place) -> None:
    with open(os.fsencode(place.root / "jobs.d") + b"/\xff.yaml", "w") as file:
        file.write(job("x"))
    accepted = place.take()
    assert targets(accepted) == ["a"]
    assert list(accepted.rejected) == ["jobs.d/\\xff.yaml"]


def test_a_huge_file_is_refused_without_being_read_whole(place: Place) -> None:
    with open(place.root / "jobs.d" / "big.yaml", "w") as file:
        file.truncate(10 << 30)
    snapshot = place.snapshot()
    assert len(snapshot.files["jobs.d/big.yaml"].content or b"") <= 1 << 21
    assert "jobs.d/big.yaml" in place.take().rejected


# Symlinks.


def test_a_symlink_within_the_source_is_followed_and_a_loop_ends(place: Place) -> None:
    (place.root / "shared").mkdir()
    (place.root / "shared" / "b.yaml").write_text(job("b"))
    (place.root / "jobs.d" / "common").symlink_to("../shared")
    (place.root / "jobs.d" / "loop").symlink_to(".")
    (place.root / "jobs.d" / "again.yaml").symlink_to("a.yaml")
    assert sorted(place.snapshot().files) == ["jobs.d/a.yaml", "jobs.d/common/b.yaml"]


LINKED_TWICE = {
    "the folder first": (
        {"common": "../shared", "x.yaml": "../shared/b.yaml"},
        ["common/b.yaml", "common/c.yaml"],
    ),
    "the file first": (
        {"ab.yaml": "../shared/b.yaml", "common": "../shared"},
        ["ab.yaml", "common/c.yaml"],
    ),
}


@pytest.mark.needs("git")
@pytest.mark.parametrize("case", LINKED_TWICE)
def test_what_two_symlinks_lead_to_is_taken_once_and_alike_from_a_folder_and_a_ref(
    place: Place, case: str
) -> None:
    (place.root / "shared").mkdir()
    for name in ("b", "c"):
        (place.root / "shared" / f"{name}.yaml").write_text(job(name))
    links, expected = LINKED_TWICE[case]
    for name, to in links.items():
        (place.root / "jobs.d" / name).symlink_to(to)
    place.git("init", "-q", "-b", "main")
    place.commit()
    assert sorted(place.snapshot().files) == ["jobs.d/a.yaml", *(f"jobs.d/{name}" for name in expected)]
    assert sorted(read_revision(place.root, "main").files) == sorted(place.snapshot().files)
    assert place.take().rejected == {}


@pytest.mark.parametrize("target", ["/etc/hostname", "../../outside.yaml", "nowhere.yaml"])
def test_a_symlink_that_leads_out_or_nowhere_is_an_error(place: Place, target: str) -> None:
    (place.root.parent / "outside.yaml").write_text(job("evil"))
    (place.root / "jobs.d" / "b.yaml").symlink_to(target)
    accepted = place.take()
    assert targets(accepted) == ["a"]
    assert [each.code for each in accepted.rejected["jobs.d/b.yaml"]] == ["E302"]


def test_a_domain_cannot_read_another_domain_by_a_symlink(place: Place) -> None:
    place.write("d.yaml", many(domain("one.example"), domain("two.example"), domain_job("j")))
    place.write("domains/two.example/secret.yaml", planning("j", "{mode: disabled, description: private}"))
    (place.root / "jobs.d" / "domains" / "one.example").mkdir()
    for name, to in (
        ("x.yaml", "../two.example/secret.yaml"),
        ("dir", "../two.example"),
        ("up.yaml", "../../a.yaml"),
    ):
        (place.root / "jobs.d" / "domains" / "one.example" / name).symlink_to(to)
    accepted = place.take()
    errors = {p: e for p, e in accepted.rejected.items() if "one.example" in p}
    assert sorted(errors) == [f"jobs.d/domains/one.example/{n}" for n in ("dir", "up.yaml", "x.yaml")]
    assert "private" not in repr(errors)
    assert "two.example" not in repr(errors)


def test_a_symlink_inside_a_domain_area_is_followed(place: Place) -> None:
    place.write("d.yaml", many(domain("one.example"), domain_job("j")))
    place.write("domains/one.example/sub/p.yaml", planning("j", "{mode: disabled}"))
    (place.root / "jobs.d" / "domains" / "one.example" / "q.yaml").symlink_to("sub/p.yaml")
    assert place.take().rejected == {}


def test_a_mounted_config_map_is_read_and_its_flip_is_seen(tmp_path: Path) -> None:
    root = tmp_path / "mount"
    tree = root / "jobs.d"

    def publish(version: str, *names: str) -> None:
        (tree / f"..{version}").mkdir(parents=True)
        for name in names:
            (tree / f"..{version}" / f"{name}.yaml").write_text(job(name))
            if not (tree / f"{name}.yaml").is_symlink():
                (tree / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")
        (tree / "..data_tmp").symlink_to(f"..{version}")
        (tree / "..data_tmp").rename(tree / "..data")

    publish("2026_1", "a", "b")
    source = FolderSource(root)
    first = source.snapshot({}, LATER)
    assert isinstance(first, Snapshot)
    assert sorted(first.files) == ["jobs.d/a.yaml", "jobs.d/b.yaml"]
    known = {path: file.stamp for path, file in first.files.items()}
    publish("2026_2", "a", "b", "c")
    (tree / "..2026_2" / "a.yaml").write_text(job("a", "  timeout: 1m\n"))
    second = source.snapshot(known, LATER)
    assert isinstance(second, Snapshot)
    assert second.changed == {"jobs.d/a.yaml", "jobs.d/c.yaml"}


def test_a_root_behind_a_symlink_is_taken_as_one_version(tmp_path: Path) -> None:
    for name in ("one", "two"):
        Place(tmp_path / name).write("x.yaml", job(name))
    (tmp_path / "current").symlink_to("one")
    source = FolderSource(tmp_path / "current")
    first = source.snapshot({}, LATER)
    assert isinstance(first, Snapshot)
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "current")
    second = source.snapshot({path: file.stamp for path, file in first.files.items()}, LATER)
    assert isinstance(second, Snapshot)
    assert second.changed == {"jobs.d/x.yaml"}


# Removals.


def test_a_file_missing_since_a_moment_ago_is_waited_for(place: Place) -> None:
    place.write("b.yaml", job("b"))
    place.take()
    place.remove("b.yaml")
    place.now = time.time()
    assert held(place) is HeldReason.SETTLING
    place.now += 1.1
    assert targets(place.take()) == ["a"]


def test_what_was_missing_before_a_look_that_saw_nothing_counts_anew(place: Place) -> None:
    place.write("b.yaml", job("b"))
    place.take()
    place.move("b.yaml", "b.yaml~")
    place.now = time.time()
    assert held(place) is HeldReason.SETTLING
    place.root.rename(place.root.with_name("away"))
    assert held(place) is HeldReason.MISSING
    place.root.with_name("away").rename(place.root)
    (place.root / "jobs.d" / "4913").touch()
    place.now = time.time() + 0.9
    (place.root / "jobs.d" / "4913").unlink()
    assert held(place) is HeldReason.SETTLING


def test_an_editor_that_saves_by_renaming_loses_nothing(place: Place) -> None:
    place.take()
    file = place.root / "jobs.d" / "a.yaml"
    place.now = time.time()
    file.rename(file.with_name("a.yaml~"))
    assert held(place) is HeldReason.SETTLING
    file.write_text(job("a", "  timeout: 1m\n"))
    assert place.snapshot().changed == {"jobs.d/a.yaml"}


# git.

BUSY = (
    "index.lock",
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "rebase-merge",
    "rebase-apply",
    "sequencer",
)


@pytest.fixture
def repository(place: Place) -> Place:
    place.git("init", "-q", "-b", "main")
    place.commit("first")
    return place


@pytest.mark.needs("git")
@pytest.mark.parametrize("name", BUSY)
def test_nothing_is_taken_while_git_is_in_the_middle_of_something(repository: Place, name: str) -> None:
    repository.take()
    (repository.root / ".git" / name).write_text("")
    repository.write("a.yaml", job("b"))
    assert held(repository) is HeldReason.GIT_BUSY
    (repository.root / ".git" / name).unlink()
    assert repository.snapshot().changed


@pytest.mark.needs("git")
def test_a_merge_with_conflicts_is_held_until_it_is_settled(repository: Place) -> None:
    repository.take()
    repository.git("checkout", "-q", "-b", "side")
    repository.write("a.yaml", job("a", "  timeout: 1m\n"))
    repository.commit("side")
    repository.git("checkout", "-q", "main")
    repository.write("a.yaml", job("a", "  timeout: 2m\n"))
    repository.commit("main")
    with pytest.raises(AssertionError):
        repository.git("merge", "side")
    assert held(repository) is HeldReason.GIT_BUSY
    repository.git("merge", "--abort")
    assert repository.take().rejected == {}


@pytest.mark.needs("git")
def test_a_linked_working_tree_has_its_own_state(repository: Place) -> None:
    linked = repository.root.with_name("linked")
    repository.git("worktree", "add", "-q", str(linked))
    (repository.root / ".git" / "index.lock").write_text("")
    source = FolderSource(linked)
    assert isinstance(source.snapshot({}, LATER), Snapshot)
    (repository.root / ".git" / "worktrees" / "linked" / "index.lock").write_text("")
    assert isinstance(source.snapshot({}, LATER), Held)


@pytest.mark.needs("git")
def test_the_revision_is_the_commit_and_dirty_when_edited(repository: Place) -> None:
    commit = repository.git("rev-parse", "HEAD")
    assert (repository.snapshot().revision.commit, repository.snapshot().revision.dirty) == (commit, False)
    repository.write("a.yaml", job("b"))
    assert repository.snapshot().revision.dirty
    repository.write("a.yaml", job("a"))
    assert not repository.snapshot().revision.dirty
    repository.write("new.yaml", job("n"))
    assert repository.snapshot().revision.dirty
    (repository.root / "README").write_text("does not count")
    commit = repository.commit("more")
    assert (repository.snapshot().revision.commit, repository.snapshot().revision.dirty) == (commit, False)
    repository.remove("new.yaml")
    assert repository.snapshot().revision.dirty


@pytest.mark.needs("git")
def test_the_root_may_be_a_subfolder_of_the_repository(tmp_path: Path) -> None:
    from tests.sources.place import git

    place = Place(tmp_path / "repo" / "deep" / "site")
    place.write("a.yaml", job("a"))
    git(tmp_path / "repo", "init", "-q")
    commit = place.commit()
    assert (place.snapshot().revision.commit, place.snapshot().revision.dirty) == (commit, False)


@pytest.mark.needs("git")
def test_without_a_commit_everything_is_dirty(place: Place) -> None:
    place.git("init", "-q")
    assert (place.snapshot().revision.commit, place.snapshot().revision.dirty) == ("", True)


@pytest.mark.needs("git")
def test_a_repository_with_sha256_names_works_alike(place: Place) -> None:
    place.git("init", "-q", "--object-format=sha256")
    commit = place.commit()
    assert len(commit) == 64
    assert (place.snapshot().revision.commit, place.snapshot().revision.dirty) == (commit, False)


@pytest.mark.needs("git")
def test_a_removal_by_git_is_believed_at_once(repository: Place) -> None:
    repository.write("b.yaml", job("b"))
    repository.commit()
    repository.take()
    repository.git("rm", "-q", "jobs.d/b.yaml")
    repository.now = time.time() + 0.1
    assert targets(repository.take()) == ["a"]


@pytest.mark.needs("git")
def test_looking_leaves_the_repository_alone(repository: Place) -> None:
    (repository.root / ".git" / "hooks").mkdir(exist_ok=True)
    hook = repository.root / ".git" / "evil"
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    repository.git("config", "core.fsmonitor", str(hook))
    repository.git("config", "filter.evil.clean", str(hook))
    (repository.root / ".gitattributes").write_text("* filter=evil\n")
    index = (repository.root / ".git" / "index").stat().st_mtime_ns
    repository.write("a.yaml", job("z"))
    repository.snapshot()
    assert (repository.root / ".git" / "index").stat().st_mtime_ns == index
    assert not list(repository.root.rglob("ran"))

"""Hints come soon after a change, also where events are missing."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from reconciler.sources.watch import Watcher
from tests.sources.place import Place, job

pytestmark = pytest.mark.full


class Hints:
    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> None:
        self._event.set()

    def came(self) -> bool:
        """Wait for a hint; every hint before this call is forgotten by `forget`."""
        return self._event.wait(10)

    def forget(self) -> None:
        self._event.clear()


@contextmanager
def watching(place: Place) -> Iterator[Hints]:
    """Watch, once the watcher demonstrably sees changes."""
    hints = Hints()
    with closing(Watcher(str(place.root), hints)):
        number = 0
        while not hints._event.wait(0.2):
            number += 1
            place.write("warm.yaml", f"# {number}\n")
        settle(hints)
        yield hints


def settle(hints: Hints) -> None:
    """Wait until no echo of an earlier change comes any more."""
    while True:
        hints.forget()
        if not hints._event.wait(1.3):
            return


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "site")
    place.write("a.yaml", job("a"))
    return place


def test_an_edit_gives_a_hint(place: Place) -> None:
    with watching(place) as hints:
        place.write("a.yaml", job("b"))
        assert hints.came()


def test_a_file_created_together_with_its_folder_gives_a_hint_after_it_is_there(place: Place) -> None:
    with watching(place) as hints:
        place.write("new/folder/b.yaml", job("b"))
        assert hints.came()
        hints.forget()
        assert hints.came()


def test_a_tree_that_is_deleted_and_created_again_is_followed(place: Place) -> None:
    with watching(place) as hints:
        shutil.rmtree(place.root)
        assert hints.came()
        settle(hints)
        place.write("a.yaml", job("c"))
        assert hints.came()
        settle(hints)
        place.write("a.yaml", job("d"))
        assert hints.came()


def test_a_root_that_is_a_symlink_and_is_flipped_gives_a_hint(tmp_path: Path) -> None:
    one, two = Place(tmp_path / "one"), Place(tmp_path / "two")
    for each in (one, two):
        each.write("a.yaml", job("a"))
    (tmp_path / "current").symlink_to("one")
    place = Place.__new__(Place)
    place.root = tmp_path / "current"
    with watching(place) as hints:
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(tmp_path / "current")
        assert hints.came()
        settle(hints)
        two.write("a.yaml", job("b"))
        assert hints.came()


@pytest.mark.needs("git")
def test_a_commit_that_changes_no_file_gives_a_hint(place: Place) -> None:
    place.git("init", "-q")
    place.commit()
    with watching(place) as hints:
        place.commit("nothing but a new revision")
        assert hints.came()


def test_closing_ends_the_hints_and_the_thread(place: Place) -> None:
    with watching(place):
        assert "watch" in {thread.name for thread in threading.enumerate()}
    assert "watch" not in {thread.name for thread in threading.enumerate()}

"""A plan file applies what was shown, once, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.core.changes_file import StalePlan, check_plan, read_plan, write_plan
from tests.changes.versions import compare, proposal
from tests.sources.place import Place, job, many


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "site")
    place.write("a.yaml", many(job("a"), job("b")))
    compare(place)
    place.write("a.yaml", many(job("a", "  timeout: 5m\n"), job("b")))
    return place


def made(place: Place) -> str:
    found = proposal(place)
    return write_plan(found.changes(), found.before, found.wanted, "id-1")


def check(place: Place, text: str) -> None:
    found = proposal(place)
    check_plan(read_plan(text), found.before, found.wanted)


def test_a_plan_may_be_applied_while_nothing_changed(place: Place) -> None:
    text = made(place)
    place.restart()
    check(place, text)
    place.move("a.yaml", "b.yaml")
    check(place, text)


def test_an_applied_plan_is_stale(place: Place) -> None:
    text = made(place)
    compare(place)
    with pytest.raises(StalePlan, match="something was applied since"):
        check(place, text)


def test_a_plan_for_another_source_is_stale(place: Place) -> None:
    text = made(place)
    place.write("c.yaml", job("c"))
    with pytest.raises(StalePlan, match="the source says something else"):
        check(place, text)


def test_a_plan_that_was_edited_is_refused(place: Place) -> None:
    body = json.loads(made(place))
    body["target"] = body["base"]
    with pytest.raises(StalePlan, match="changed after it was made"):
        read_plan(json.dumps(body))


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", '{"format": 1, "checksum": ""}'])
def test_what_is_no_plan_is_refused_in_words(text: str) -> None:
    with pytest.raises(StalePlan):
        read_plan(text)

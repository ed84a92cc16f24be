"""The same changes for a terminal, a pull request and a program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.core.changes import Changes
from reconciler.core.changes_json import render_json
from reconciler.core.changes_markdown import render_markdown
from reconciler.core.changes_text import render_text
from tests.changes.versions import compare
from tests.sources.place import BROKEN, Place, domain, domain_job, job, many

NIGHTLY = '  planning: {mode: scheduled, schedule: {cron: "30 2 * * *", timeZone: Europe/Paris}}\n'


@pytest.fixture
def changes(tmp_path: Path) -> Changes:
    """One change of every kind."""
    place = Place(tmp_path / "site")
    place.write("a.yaml", many(job("a", NIGHTLY), domain("one.example"), domain_job("d")))
    place.write("m.yaml", many(*(job(f"m{n}") for n in range(30))))
    place.write("gone.yaml", job("gone"))
    compare(place)
    place.write("a.yaml", many(job("a", NIGHTLY.replace("30 2", "30 3")), domain("one.example"), job("d")))
    place.move("m.yaml", "moved.yaml")
    place.remove("gone.yaml")
    place.write("new.yaml", job("new", NIGHTLY))
    return compare(place)


def test_text_shows_each_change_with_its_sign_and_both_next_runs(changes: Changes) -> None:
    text = render_text(changes)
    assert "  ~ Job a" in text
    assert 'spec.planning.schedule.cron  "30 2 * * *" -> "30 3 * * *"' in text
    assert "  - Job gone" in text
    assert "-/+ Job d" in text
    assert "  > Job m1" in text
    assert "next Mon 23 Nov 02:30 CET -> Mon 23 Nov 03:30 CET" in text
    assert "a: 14 moved (first Mon 23 Nov 02:30 CET -> Mon 23 Nov 03:30 CET)" in text
    assert f"reconcile apply --approve {changes.guard.digest}" in text
    assert text.endswith("5 targets affected, 1 of them waits for approval.\n")
    assert "\033" not in text


def test_colour_only_adds_colour(changes: Changes) -> None:
    import re

    assert re.sub(r"\033\[[0-9;]*m", "", render_text(changes, colour=True)) == render_text(changes)


def test_long_lists_are_cut_and_say_how_much_is_left(changes: Changes) -> None:
    text = render_text(changes, rows=5)
    assert f"... and {len(changes.objects) - 5} more" in text


def test_markdown_folds_what_is_long_and_cannot_be_broken_by_content(tmp_path: Path) -> None:
    place = Place(tmp_path / "site")
    place.write("a.yaml", job("a"))
    compare(place)
    evil = '  description: "a | b `c` <img src=x> @everyone\\n\\n# heading"\n'
    place.write("a.yaml", many(job("a", evil), *(job(f"m{n}") for n in range(30))))
    text = render_markdown(compare(place))
    assert "<details><summary>Documents</summary>" in text
    row = next(line for line in text.splitlines() if "spec.description" in line)
    assert row.count(" | ") == 2
    assert "\n# heading" not in text


def test_markdown_of_many_changes_fits_a_comment(tmp_path: Path) -> None:
    place = Place(tmp_path / "site")
    name = "job-with-a-name-that-is-as-long-as-a-name-may-be-{:04}"
    place.write(f"{'long/' * 20}a.yaml", many(*(job(name.format(n), NIGHTLY) for n in range(2000))))
    assert len(render_markdown(compare(place))) < 65536


def test_json_has_all_of_it(changes: Changes) -> None:
    plain = json.loads(render_json(changes))
    assert plain["empty"] is False
    assert {each["action"] for each in plain["objects"]} == {"add", "change", "remove", "replace", "move"}
    changed = next(each for each in plain["targets"] if each["job"] == "a")
    assert changed["before"]["nextRun"] == "2026-11-23T01:30:00Z"
    assert changed["after"]["nextRun"] == "2026-11-23T02:30:00Z"
    assert changed["runs"]["moved"] == 14
    assert plain["approval"]["digest"] == changes.guard.digest


def test_what_is_rejected_and_kept_is_part_of_the_plan(tmp_path: Path) -> None:
    place = Place(tmp_path / "site")
    place.write("a.yaml", job("a"))
    compare(place)
    place.write("a.yaml", BROKEN)
    changes = compare(place)
    assert "Job a: its file is rejected" in render_text(changes)
    assert "E101" in render_markdown(changes)
    assert json.loads(render_json(changes))["rejected"][0]["path"] == "jobs.d/a.yaml"


def test_no_changes_are_said_in_one_line(tmp_path: Path) -> None:
    place = Place(tmp_path / "site")
    place.write("a.yaml", job("a"))
    compare(place)
    assert render_text(compare(place)) == "No changes: what is applied is what the source says.\n"

"""What is valid is taken, what is not stays as it last was, and nothing disappears by accident."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.sources.place import (
    BROKEN,
    INSTALLATION,
    Place,
    codes,
    domain,
    domain_job,
    held,
    identity,
    job,
    many,
    planning,
    targets,
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "site")


def test_valid_files_are_taken_and_a_second_look_finds_nothing_to_do(place: Place) -> None:
    place.write("a.yaml", many(job("a"), job("b")))
    accepted = place.take()
    assert targets(accepted) == ["a", "b"]
    assert accepted.changed == {identity("Job", "a"), identity("Job", "b")}
    assert not place.snapshot().changed
    assert place.take().changed == frozenset()


def test_a_broken_file_keeps_its_objects_and_everything_else_moves_on(place: Place) -> None:
    place.write("a.yaml", many(job("a"), job("b")))
    place.write("c.yaml", job("c"))
    place.take()
    place.write("a.yaml", many(job("a", "  timeout: 5m\n"), BROKEN))
    place.write("c.yaml", job("c", "  timeout: 5m\n"))
    accepted = place.take()
    assert targets(accepted) == ["a", "b", "c"]
    assert accepted.changed == {identity("Job", "c")}
    assert held(accepted) == {"Job/a": "its file is rejected", "Job/b": "its file is rejected"}
    assert codes(accepted) == {"jobs.d/a.yaml": ["E101"]}


def test_last_good_survives_a_restart_with_its_diagnostics(place: Place) -> None:
    place.write("a.yaml", job("a"))
    place.take()
    place.write("a.yaml", BROKEN)
    place.take()
    place.restart()
    assert list(place.stored.rejected) == ["jobs.d/a.yaml"]
    assert not place.snapshot().changed
    accepted = place.take()
    assert targets(accepted) == ["a"]
    assert codes(accepted) == {"jobs.d/a.yaml": ["E101"]}


def test_a_mended_file_is_in_force_again(place: Place) -> None:
    place.write("a.yaml", job("a"))
    place.take()
    place.write("a.yaml", BROKEN)
    place.take()
    place.write("a.yaml", job("a"))
    accepted = place.take()
    assert (targets(accepted), held(accepted), codes(accepted)) == (["a"], {}, {})
    assert place.snapshot().files["jobs.d/a.yaml"].content is None


def test_a_removed_document_is_removed_and_a_moved_one_is_not_a_change(place: Place) -> None:
    place.write("a.yaml", many(job("a"), job("b")))
    place.take()
    place.write("a.yaml", job("a"))
    assert targets(place.take()) == ["a"]
    place.move("a.yaml", "deep/er/a.yaml")
    accepted = place.take()
    assert (targets(accepted), accepted.changed) == (["a"], frozenset())
    assert place.stored.objects[identity("Job", "a")].object.path == "jobs.d/deep/er/a.yaml"


def test_a_valid_document_elsewhere_wins_at_once_over_a_rejected_one(place: Place) -> None:
    place.write("a.yaml", job("a"))
    place.take()
    place.write("a.yaml", BROKEN)
    place.write("b.yaml", job("a", "  timeout: 5m\n"))
    accepted = place.take()
    assert (targets(accepted), held(accepted)) == (["a"], {})
    assert accepted.changed == {identity("Job", "a")}


def test_a_duplicate_rejects_both_files_and_keeps_what_was_last_good(place: Place) -> None:
    place.write("a.yaml", many(job("a"), job("x")))
    place.take()
    place.write("b.yaml", many(job("a", "  timeout: 5m\n"), job("b")))
    accepted = place.take()
    assert targets(accepted) == ["a", "x"]
    assert codes(accepted) == {"jobs.d/a.yaml": ["E107"], "jobs.d/b.yaml": ["E107"]}
    assert accepted.changed == frozenset()
    place.remove("b.yaml")
    accepted = place.take()
    assert (targets(accepted), codes(accepted), held(accepted)) == (["a", "x"], {}, {})


def test_a_duplicate_within_one_file_is_rejected_too(place: Place) -> None:
    place.write("a.yaml", many(job("a"), job("a")))
    accepted = place.take()
    assert targets(accepted) == []
    assert set(codes(accepted)["jobs.d/a.yaml"]) == {"E107"}


def test_moved_and_broken_in_one_commit_is_not_a_removal(place: Place) -> None:
    place.write("a.yaml", job("a"))
    place.write("z.yaml", job("z"))
    place.take()
    place.remove("a.yaml")
    place.write("b.yaml", many(job("a"), BROKEN))
    accepted = place.take()
    assert targets(accepted) == ["a", "z"]
    assert "b.yaml" in held(accepted)["Job/a"]


def test_moved_into_a_file_that_was_good_and_broken_there_is_not_a_removal(place: Place) -> None:
    place.write("a.yaml", job("a"))
    place.write("b.yaml", job("b"))
    place.take()
    place.remove("a.yaml")
    place.write("b.yaml", many(job("b"), job("a"), BROKEN))
    accepted = place.take()
    assert targets(accepted) == ["a", "b"]
    place.write("b.yaml", job("b"))
    assert targets(place.take()) == ["b"]


def test_nothing_is_removed_while_a_file_that_never_was_good_is_rejected(place: Place) -> None:
    place.write("a.yaml", job("a"))
    place.write("b.yaml", job("b"))
    place.take()
    place.write("new.yaml", BROKEN)
    place.remove("a.yaml")
    accepted = place.take()
    assert targets(accepted) == ["a", "b"]
    assert "new.yaml" in held(accepted)["Job/a"]
    place.remove("new.yaml")
    assert targets(place.take()) == ["b"]


def test_a_file_that_was_good_before_does_not_block_removals_elsewhere(place: Place) -> None:
    for name in "abc":
        place.write(f"{name}.yaml", job(name))
    place.take()
    place.write("a.yaml", BROKEN)
    place.remove("b.yaml")
    assert targets(place.take()) == ["a", "c"]


def test_a_broken_file_of_one_domain_blocks_no_removal_of_others(place: Place) -> None:
    place.write("d.yaml", many(domain("one.example"), domain("two.example"), domain_job("j"), job("gone")))
    place.write("domains/one.example/j.yaml", planning("j", "{mode: disabled}"))
    place.take()
    place.write("d.yaml", many(domain("one.example"), domain("two.example"), domain_job("j")))
    place.write("domains/two.example/bad.yaml", BROKEN)
    place.remove("domains/one.example/j.yaml")
    accepted = place.take()
    assert targets(accepted) == ["j@one.example", "j@two.example"]
    assert held(accepted) == {}


def test_a_job_moved_into_a_domain_area_by_mistake_is_not_removed(place: Place) -> None:
    place.write("d.yaml", domain("one.example"))
    place.write("a.yaml", job("a"))
    place.write("b.yaml", job("b"))
    place.take()
    place.move("a.yaml", "domains/one.example/a.yaml")
    accepted = place.take()
    assert targets(accepted) == ["a", "b"]
    assert codes(accepted) == {"jobs.d/domains/one.example/a.yaml": ["E121"]}


def test_failing_references_reject_the_file_and_keep_its_last_good(place: Place) -> None:
    place.write("jobs.yaml", many(domain("one.example"), domain_job("j", "  automatic: {every: 1h}\n")))
    place.write("p.yaml", many(planning("j", "{mode: disabled}"), job("k")))
    place.take()
    place.write("p.yaml", many(planning("j", "{job: nothing, mode: automatic}"), job("k", "  timeout: 9s\n")))
    accepted = place.take()
    assert codes(accepted) == {"jobs.d/p.yaml": ["E201"]}
    assert accepted.changed == frozenset()
    assert held(accepted) == {"Planning/j": "its file is rejected", "Job/k": "its file is rejected"}
    found = accepted.rejected["jobs.d/p.yaml"][0]
    assert (found.line, found.column, bool(found.snippet)) != (0, 0, False)


def test_an_object_whose_reference_goes_away_is_inert_until_it_is_back(place: Place) -> None:
    place.write("jobs.yaml", many(job("a"), job("b")))
    place.write("p.yaml", planning("a", "{mode: scheduled, schedule: {every: 1h}}"))
    place.take()
    place.write("jobs.yaml", job("b"))
    accepted = place.take()
    assert targets(accepted) == ["b"]
    assert codes(accepted) == {"jobs.d/p.yaml": ["E201"]}
    assert held(accepted)["Planning/a"].startswith("without effect")
    place.restart()
    place.write("jobs.yaml", many(job("a"), job("b")))
    accepted = place.take()
    assert (codes(accepted), held(accepted)) == ({}, {})
    plan = next(plan for target, plan in accepted.desired.targets.items() if target.job == "a")
    assert plan.mode == "scheduled"


def test_an_unreadable_file_keeps_its_last_good(place: Place) -> None:
    place.write("a.yaml", job("a"))
    place.write("b.yaml", job("b"))
    place.take()
    place.remove("a.yaml")
    (place.root / "jobs.d" / "a.yaml").symlink_to("nowhere.yaml")
    accepted = place.take()
    assert targets(accepted) == ["a", "b"]
    assert codes(accepted) == {"jobs.d/a.yaml": ["E302"]}
    assert not place.snapshot().changed


def test_an_empty_source_removes_nothing(place: Place) -> None:
    place.write("a.yaml", job("a"))
    place.take()
    place.remove("a.yaml")
    accepted = place.take()
    assert (targets(accepted), accepted.refused) == (["a"], "NothingRead")
    place.write("a.yaml", "# everything is commented out\n")
    assert targets(place.take()) == ["a"]


def test_a_source_without_its_installation_changes_nothing(place: Place) -> None:
    place.write("i.yaml", INSTALLATION)
    place.write("a.yaml", job("a"))
    place.write("b.yaml", job("b"))
    place.take()
    place.remove("i.yaml")
    place.remove("b.yaml")
    place.write("a.yaml", job("a", "  timeout: 9s\n"))
    accepted = place.take()
    assert accepted.refused == "InstallationMissing"
    assert (targets(accepted), accepted.changed) == (["a", "b"], frozenset())
    assert accepted.desired.limits.max_parallel == 4
    place.write("i.yaml", INSTALLATION)
    accepted = place.take()
    assert (targets(accepted), accepted.refused) == (["a"], "")


def test_transactional_takes_all_or_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path / "site", transactional=True)
    place.write("a.yaml", job("a"))
    place.take()
    place.write("b.yaml", job("b"))
    place.write("c.yaml", BROKEN)
    accepted = place.take()
    assert (targets(accepted), accepted.refused) == (["a"], "FilesRejected")
    assert codes(accepted) == {"jobs.d/c.yaml": ["E101"]}
    place.write("c.yaml", job("c"))
    assert targets(place.take()) == ["a", "b", "c"]


def test_an_attachment_that_changes_changes_the_document_that_names_it(place: Place) -> None:
    event = (
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:{}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    place.write("x/closures.ics", event.format("20261225"))
    text = (
        "apiVersion: reconciler/v1\nkind: Calendar\nmetadata: {name: closures}\nspec: {ics: closures.ics}\n"
    )
    place.write("x/calendar.yaml", text)
    place.write("a.yaml", job("a"))
    assert codes(place.take()) == {}
    place.restart()
    place.write("x/closures.ics", event.format("20261226"))
    accepted = place.take()
    assert accepted.changed == {identity("Calendar", "closures")}
    place.write("x/calendar.yaml", text.replace("closures}\n", "closures, labels: {a: b}}\n"))
    assert codes(place.take()) == {}
    place.remove("x/closures.ics")
    accepted = place.take()
    assert codes(accepted) == {"jobs.d/x/calendar.yaml": ["E124"]}
    assert held(accepted) == {"Calendar/closures": "its file is rejected"}


def test_a_restart_with_nothing_changed_reads_and_parses_nothing(place: Place) -> None:
    place.write("a.yaml", many(job("a"), domain("one.example"), domain_job("j")))
    before = place.take()
    place.restart()
    snapshot = place.snapshot()
    assert all(file.content is None for file in snapshot.files.values())
    assert targets(place.take()) == targets(before)


def test_accepting_unchanged_files_imports_no_yaml_and_no_pydantic() -> None:
    import subprocess

    code = (
        "import sys, reconciler.spec.lastgood, reconciler.sources.folder\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules} & "
        "{'pydantic', 'ruamel', '_ruamel_yaml', 'croniter', 'asyncio', 'watchfiles'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

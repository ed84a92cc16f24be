"""What applying would do is shown in full before, and is nothing afterwards."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.core.changes import Action, Changes
from reconciler.core.changes_guard import Held
from tests.changes.versions import compare, versions
from tests.sources.place import INSTALLATION, Place, domain, domain_job, job, many, planning

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
NIGHTLY = '  planning: {mode: scheduled, schedule: {cron: "30 2 * * *", timeZone: Europe/Paris}}\n'
LATER = NIGHTLY.replace("30 2", "30 3")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "site")


def objects(changes: Changes) -> list[str]:
    return [f"{each.action} {each}" for each in changes.objects]


def targets(changes: Changes) -> list[str]:
    return [f"{each.action} {each.target}" for each in changes.targets]


def test_applied_then_planned_is_empty(place: Place) -> None:
    place.write("a.yaml", many(job("a", NIGHTLY), domain("one.example"), domain_job("d")))
    first = compare(place)
    assert not first.is_empty
    assert objects(first) == ["+ Domain one.example", "+ Job a", "+ Job d"]
    assert targets(first) == ["+ a", "+ d@one.example"]
    assert compare(place).is_empty


def test_a_changed_field_is_shown_with_its_values_and_both_next_runs(place: Place) -> None:
    place.write("a.yaml", job("a", NIGHTLY))
    compare(place)
    place.write("a.yaml", job("a", LATER))
    changes = compare(place)
    (changed,) = changes.objects
    assert changed.action is Action.CHANGE
    assert [(f.path, f.old, f.new) for f in changed.fields] == [
        ("spec.planning.schedule.cron", "30 2 * * *", "30 3 * * *")
    ]
    (target,) = changes.targets
    assert target.before is not None
    assert target.after is not None
    assert target.before.next_run == datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
    assert target.after.next_run == datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
    assert target.runs is not None
    assert (target.runs.added, target.runs.removed, target.runs.moved) == (0, 0, 14)


def test_runs_that_come_and_go_on_other_days_are_added_and_removed(place: Place) -> None:
    week = '  planning: {mode: scheduled, schedule: {weekly: {days: [%s], times: ["02:00"]}}}\n'
    place.write("a.yaml", job("a", week % "mon"))
    compare(place)
    place.write("a.yaml", job("a", week % "tue"))
    (target,) = compare(place).targets
    assert target.runs is not None
    assert (target.runs.added, target.runs.removed, target.runs.moved) == (2, 2, 0)


def test_a_moved_file_moves_its_objects_and_changes_no_target(place: Place) -> None:
    place.write("a.yaml", job("a", NIGHTLY))
    compare(place)
    place.move("a.yaml", "b.yaml")
    changes = compare(place)
    assert objects(changes) == ["> Job a"]
    assert (changes.objects[0].old_path, changes.objects[0].path) == ("jobs.d/a.yaml", "jobs.d/b.yaml")
    assert changes.targets == ()
    assert compare(place).is_empty


def test_secrets_in_environment_and_urls_are_never_shown(place: Place) -> None:
    text = (
        "  environment: {DB_PASSWORD: hunter%d, LEVEL: info, REPO: 'https://me:hunter%d@git.example.org/x'}\n"
    )
    place.write("a.yaml", job("a", text % (1, 2)))
    compare(place)
    place.write("a.yaml", job("a", (text % (3, 4)).replace("info", "debug")))
    changes = compare(place)
    shown = {field.path: (field.old, field.new) for each in changes.objects for field in each.fields}
    assert shown["spec.environment.DB_PASSWORD"] == ("(hidden)", "(hidden)")
    assert shown["spec.environment.REPO"][1] == "https://(hidden)@git.example.org/x"
    assert shown["spec.environment.LEVEL"] == ("info", "debug")
    assert "hunter" not in repr(changes)


def test_a_new_domain_adds_its_targets(place: Place) -> None:
    place.write("a.yaml", many(domain_job("d"), domain("one.example")))
    compare(place)
    place.write("b.yaml", domain("two.example"))
    assert targets(compare(place)) == ["+ d@two.example"]


def fleet(place: Place, count: int, labels: str = "{tier: gold}") -> None:
    place.write("fleet.yaml", many(*(domain(f"d{n:03}.example", labels) for n in range(count))))


def test_up_to_ten_targets_go_without_asking(place: Place) -> None:
    fleet(place, 30)
    place.write("j.yaml", many(domain_job("j"), domain_job("k"), *(job(f"x{n}") for n in range(10))))
    compare(place)
    place.write("j.yaml", many(domain_job("j"), domain_job("k")))
    changes = compare(place)
    assert not changes.is_blocked
    assert compare(place).is_empty


def test_a_selector_that_lets_many_targets_vanish_is_held_and_the_rest_applies(place: Place) -> None:
    fleet(place, 500)
    place.write("j.yaml", domain_job("j", "  domains: {matchLabels: {tier: gold}}\n"))
    place.write("k.yaml", domain_job("k"))
    compare(place)
    place.write("j.yaml", domain_job("j", "  domains: {matchLabels: {tier: silver}}\n"))
    place.write("new.yaml", job("new"))
    changes = compare(place)
    assert len(changes.guard.pending) == 500
    assert changes.guard.reasons == ("500 targets would vanish, more than prune.maxTargets: 10",)
    assert len(place.accepted.desired.targets) == 1001
    place.restart()
    again = compare(place)
    assert again.guard.digest == changes.guard.digest
    assert not again.is_empty
    approved = compare(place, approved={changes.guard.digest})
    assert not approved.is_blocked
    assert len(place.accepted.desired.targets) == 501
    assert compare(place).is_empty


def test_labels_that_let_targets_vanish_are_held(place: Place) -> None:
    fleet(place, 40)
    place.write("j.yaml", domain_job("j", "  domains: {matchLabels: {tier: gold}}\n"))
    compare(place)
    fleet(place, 40, "{tier: lead}")
    changes = compare(place)
    assert len(changes.guard.pending) == 40
    assert len(place.accepted.desired.targets) == 40


def test_removed_domains_are_held(place: Place) -> None:
    fleet(place, 40)
    place.write("j.yaml", domain_job("j"))
    compare(place)
    fleet(place, 39)
    changes = compare(place)
    assert [str(item.target) for item in changes.guard.pending] == ["j@d039.example"]
    assert changes.guard.reasons == ("all targets of d039.example would vanish",)
    assert len(place.accepted.desired.targets) == 40


def test_more_than_half_of_a_small_installation_is_held(place: Place) -> None:
    place.write("a.yaml", many(job("a"), job("b"), job("c")))
    compare(place)
    place.write("a.yaml", job("a"))
    changes = compare(place)
    assert [str(item.target) for item in changes.guard.pending] == ["b", "c"]
    assert sorted(t.job for t in place.accepted.desired.targets) == ["a", "b", "c"]


def test_a_commit_cannot_widen_the_limit_that_it_exceeds(place: Place) -> None:
    limit = INSTALLATION.replace("maxParallel: 4", "prune: {maxTargets: %d}")
    place.write("i.yaml", limit % 5)
    place.write("a.yaml", many(*(job(f"a{n}") for n in range(40))))
    compare(place)
    place.write("i.yaml", limit % 100)
    place.write("a.yaml", many(*(job(f"a{n}") for n in range(30))))
    assert len(compare(place).guard.pending) == 10


def test_an_approval_may_stand_in_the_installation(place: Place) -> None:
    place.write("i.yaml", INSTALLATION)
    place.write("a.yaml", many(job("a"), job("b"), job("c")))
    compare(place)
    place.write("a.yaml", job("a"))
    digest = compare(place).guard.digest
    place.write(
        "i.yaml", INSTALLATION.replace("n}", f'n, annotations: {{reconciler/approve: "{digest}"}}}}', 1)
    )
    assert compare(place).guard.approved
    assert [t.job for t in place.accepted.desired.targets] == ["a"]


def test_a_target_with_pruning_disabled_stays_and_needs_no_approval(place: Place) -> None:
    keep = job("a").replace("{name: a}", "{name: a, annotations: {reconciler/prune: disabled}}")
    place.write("a.yaml", many(keep, *(job(f"x{n}") for n in range(5))))
    compare(place)
    place.write("a.yaml", many(*(job(f"x{n}") for n in range(5))))
    changes = compare(place)
    assert [item.held for item in changes.guard.kept] == [Held.DISABLED]
    assert not changes.is_blocked
    assert "a" in {t.job for t in place.accepted.desired.targets}
    assert compare(place).is_empty


def test_a_changed_scope_is_a_replacement_that_needs_approval_and_says_why(place: Place) -> None:
    place.write("d.yaml", domain("one.example"))
    place.write("x.yaml", many(*(job(f"x{n}") for n in range(30))))
    place.write("j.yaml", job("j"))
    compare(place)
    place.write("j.yaml", domain_job("j"))
    changes = compare(place)
    (replaced,) = changes.objects
    assert replaced.action is Action.REPLACE
    assert "scope" in replaced.note
    assert [(str(i.target), i.held) for i in changes.guard.pending] == [("j", Held.REPLACE)]
    assert {t for t in place.accepted.desired.targets if t.job == "j"} == {("j", "")}
    compare(place, approved={changes.guard.digest})
    assert {t for t in place.accepted.desired.targets if t.job == "j"} == {("j", "one.example")}


def test_renamed_from_keeps_the_history_and_counts_as_no_removal(place: Place) -> None:
    place.write("a.yaml", many(job("a", NIGHTLY), job("b")))
    compare(place)
    renamed = job("z", NIGHTLY).replace("{name: z}", "{name: z, annotations: {reconciler/renamed-from: a}}")
    place.write("a.yaml", many(renamed, job("b")))
    changes = compare(place)
    assert not changes.is_blocked
    assert targets(changes) == ["> z"]
    assert changes.targets[0].renamed_from == "a"


def test_a_removed_planning_that_would_start_a_stopped_target_needs_approval(place: Place) -> None:
    place.write("j.yaml", many(domain("one.example"), domain_job("j", NIGHTLY)))
    place.write("domains/one.example/j.yaml", planning("j", "{mode: disabled}"))
    compare(place)
    place.remove("domains/one.example/j.yaml")
    changes = compare(place)
    assert [(str(i.target), i.held) for i in changes.guard.pending] == [("j@one.example", Held.START)]
    plan = place.accepted.desired.targets[changes.guard.pending[0].target]
    assert plan.mode == "disabled"
    compare(place, approved={changes.guard.digest})
    assert place.accepted.desired.targets[changes.guard.pending[0].target].mode == "scheduled"


def test_a_planning_that_is_edited_to_start_a_target_needs_none(place: Place) -> None:
    place.write("j.yaml", many(domain("one.example"), domain_job("j", NIGHTLY)))
    place.write("domains/one.example/j.yaml", planning("j", "{mode: disabled}"))
    compare(place)
    place.write("domains/one.example/j.yaml", planning("j", "{mode: scheduled, schedule: {every: 1h}}"))
    assert not compare(place).is_blocked


def test_a_removed_pause_that_would_start_a_target_needs_approval(place: Place) -> None:
    place.write("j.yaml", job("j", NIGHTLY))
    place.write("p.yaml", planning("j", '{pause: {until: "2027-01-04T08:00", reason: freeze}}'))
    compare(place)
    place.remove("p.yaml")
    assert [item.held for item in compare(place).guard.pending] == [Held.START]


def test_clock_changes_collisions_and_hot_spots_are_warned_of(place: Place) -> None:
    place.write("i.yaml", INSTALLATION)
    compare(place)
    at = '  locks: [db]\n  planning: {mode: scheduled, schedule: {cron: "30 2 * * *", timeZone: Europe/Paris}}\n'
    place.write("a.yaml", many(*(job(f"a{n}", at if n < 2 else NIGHTLY) for n in range(6))))
    warnings = "\n".join(compare(place, now=datetime(2027, 3, 20, tzinfo=UTC)).warnings)
    assert "share the lock db" in warnings
    assert "6 runs are due at once" in warnings
    assert "28 Mar 2027" in warnings


def test_two_offline_versions_give_the_digest_that_the_daemon_waits_for(tmp_path: Path) -> None:
    place = Place(tmp_path / "site")
    place.write("a.yaml", many(job("a"), job("b"), job("c")))
    before = versions(place)
    compare(place)
    place.write("a.yaml", job("a"))
    daemon = compare(place)
    from reconciler.core.changes import diff

    offline = diff(before, versions(place), NOW)
    assert offline.guard.digest == daemon.guard.digest != ""


def test_a_paused_target_makes_no_hot_spot_and_hides_none(place: Place) -> None:
    limits = INSTALLATION.replace("maxParallel: 4", "maxParallel: 2")
    paused = job("z") + "---\n" + planning("z", "{pause: {until: 2027-01-01, reason: freeze}}")
    nightly = many(
        limits, job("a", NIGHTLY), job("b", NIGHTLY), paused.replace("[echo, z]\n", "[echo, z]\n" + NIGHTLY)
    )
    place.write("a.yaml", nightly)
    assert not [each for each in compare(place).warnings if "at once" in each]
    place.write("b.yaml", job("c", NIGHTLY))
    (warning,) = [each for each in compare(place).warnings if "at once" in each]
    assert warning.startswith("3 runs are due at once")

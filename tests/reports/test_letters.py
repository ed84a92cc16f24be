"""Which letters come of what happens: the real engine, store and rules on a simulated machine."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.model import TargetId
from reconciler.core.plan import AddedReport, Plan
from reconciler.ports.notifier import Outcome
from tests.reports.post import FAILS, OPS, WORKS, PostBench, facts_of, plan, report, told_of
from tests.sim.machine import Fate


def fanout(job: str, count: int, **more: Any) -> dict[TargetId, Plan]:
    one = replace(plan(job), scope="domain", **more)
    return {TargetId(job, f"d{number:03}.example"): one for number in range(count)}


def test_a_failure_is_told_once_with_its_reason_log_and_next_run(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"backup": FAILS})
    bench.apply(plan("backup"))
    bench.until("2026-01-01T01:30")
    (page,) = bench.pages()
    assert page.subject == "✘ failure: backup – exit code 3"
    facts = facts_of(page)
    assert facts["Exit code"] == "3"
    assert facts["Next run"].startswith("Thu 01 Jan 2026 02:00")
    assert facts["Defined in"] == "jobs.d/a.yaml:3"
    assert any(line.text == "it broke" for section in page.sections for line in section.lines)
    assert "jobs.d/a.yaml:7" in page.footer[1]


def test_who_heard_of_a_failure_hears_of_the_recovery_under_the_new_name(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"backup": FAILS, "save": WORKS})
    bench.apply(plan("backup"))
    bench.until("2026-01-01T01:30")
    bench.apply(plan("save", renamed_from="backup"))
    bench.until("2026-01-01T02:30")
    failed, recovered = bench.subjects()
    assert failed == "✘ failure: backup – exit code 3"
    assert recovered.startswith("✔ recovered: save")


def test_a_success_is_told_to_nobody_and_one_after_a_failure_as_recovered(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"backup": WORKS})
    bench.apply(plan("backup"))
    bench.until("2026-01-01T01:30")
    assert bench.subjects() == []
    bench.fates["backup"] = FAILS
    bench.until("2026-01-01T02:30")
    bench.fates["backup"] = WORKS
    bench.until("2026-01-01T05:30")
    assert [subject.split(":")[0] for subject in bench.subjects()] == ["✘ failure", "✔ recovered"]


def test_the_letter_is_written_in_the_transaction_of_its_outcome_or_not_at_all(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"backup": FAILS})
    bench.apply(plan("backup"))
    bench.until("2026-01-01T01:00:20")
    bench.full = True
    bench.machine.pass_time(bench.machine.elapsed + 60)
    bench.engine.round()
    assert bench.states() == []
    bench.full = False
    bench.engine.round()
    assert [state for state, _ in bench.states()] == ["collecting"]
    bench.reopen()
    bench.until("2026-01-01T01:30")
    assert bench.subjects() == ["✘ failure: backup – exit code 3"]


def test_after_and_repeat_keep_a_flapping_job_quiet(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"flaps": FAILS, "stubborn": FAILS})
    bench.apply(plan("flaps", report(repeat_seconds=86400.0)), plan("stubborn", report(after=3)))
    for hour in range(1, 20):
        bench.fates["flaps"] = FAILS if hour % 2 else WORKS
        bench.until(f"2026-01-01T{hour:02}:30")
    flaps = [subject for subject in bench.subjects() if "flaps" in subject]
    assert [subject.split(":")[0] for subject in flaps] == ["✘ failure", "✔ recovered"]
    stubborn = [page for page in bench.pages() if "stubborn" in page.subject]
    assert len(stubborn) == 17
    assert "(3 times in a row)" in stubborn[0].lead


def test_a_failure_of_another_kind_is_told_within_the_repeat_time(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"backup": FAILS})
    bench.apply(plan("backup", report(repeat_seconds=86400.0)))
    bench.until("2026-01-01T02:30")
    bench.fates["backup"] = replace(FAILS, exit_code=4)
    bench.until("2026-01-01T04:30")
    assert bench.subjects() == ["✘ failure: backup – exit code 3", "✘ failure: backup – exit code 4"]


def test_who_heard_of_no_failure_hears_of_no_recovery(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"backup": FAILS})
    bench.apply(plan("backup", report(after=3)))
    bench.until("2026-01-01T02:30")
    bench.fates["backup"] = WORKS
    bench.until("2026-01-01T04:30")
    assert bench.subjects() == []


def test_a_fan_out_over_500_domains_is_one_letter_for_each_recipient(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"import": replace(FAILS, seconds=5.0)})
    targets = fanout("import", 500)
    area = AddedReport(("admin@d007.example",), origin="jobs.d/domains/d007.example/p.yaml:1")
    own = TargetId("import", "d007.example")
    targets[own] = replace(targets[own], report=report(added=(area,)))
    bench.want(targets, most=500)
    bench.until("2026-01-01T01:40")
    (page,) = bench.pages()
    assert page.subject == "✘ import: 500 failed, of 500"
    assert any(section.note == "… and 300 more" for section in page.sections)
    (theirs,) = bench.pages("admin@d007.example")
    assert told_of(theirs) == {"import@d007.example"}
    assert len(bench.sent) == 2


def test_a_group_waits_fifteen_minutes_for_its_runs_and_tells_the_rest_in_one_follow_up(
    tmp_path: Path,
) -> None:
    fates = {"import": FAILS, "import@d003.example": Fate(3600.0, 3), "import@d004.example": Fate(7200.0, 3)}
    bench = PostBench(tmp_path, fates)
    bench.want(fanout("import", 5, schedule=plan("import", schedule={"cron": "0 1 * * *"}).schedule))
    bench.until("2026-01-01T01:14")
    assert bench.sent == []
    bench.until("2026-01-01T01:17")
    (page,) = bench.pages()
    assert page.subject == "✘ import: 3 failed, of 5"
    assert any("2 of the runs have not ended yet" in section.note for section in page.sections)
    bench.until("2026-01-01T02:30")
    assert len(bench.sent) == 1
    bench.until("2026-01-01T03:10")
    assert bench.subjects()[1:] == ["✘ import: 2 failed, of 5 (what came after the first report)"]
    assert bench.sent[0].message_id != bench.sent[1].message_id


def test_a_group_that_is_over_leaves_at_once_and_names_each_outcome(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"import": FAILS})
    bench.want(fanout("import", 3))
    bench.until("2026-01-01T01:02")
    (page,) = bench.pages()
    assert page.subject == "✘ import: 3 failed, of 3"
    assert told_of(page) == {"import@d000.example", "import@d001.example", "import@d002.example"}


def test_slots_missed_while_nothing_ran_are_one_letter_however_many_jobs(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {})
    jobs = [plan(f"job{number}", schedule={"cron": "0 * * * *", "catchUp": "none"}) for number in range(40)]
    bench.apply(*jobs)
    bench.until("2026-01-01T00:30")
    bench.machine.pass_time(bench.machine.elapsed + 6 * 3600)
    bench.reopen(*jobs)
    bench.until("2026-01-01T06:40")
    subjects = bench.subjects()
    assert "! 40 jobs: 40 missed" in subjects
    assert len(subjects) == 2, subjects


def test_a_daily_digest_says_what_happened_and_how_things_stand(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"bad": FAILS, "good": WORKS, "mends": FAILS})
    daily = report(digest="daily 07:00")
    bench.want({TargetId(name): plan(name, daily) for name in ("bad", "good", "mends")}, "Europe/Paris")
    bench.until("2026-01-01T02:30")
    bench.fates["mends"] = WORKS
    bench.until("2026-01-01T05:50")
    assert bench.subjects() == []
    bench.until("2026-01-01T06:01")
    (page,) = bench.pages()
    assert page.subject == "Σ daily digest: 2 failed, 1 recovered, 1 still failing"
    titles = {section.title: section for section in page.sections}
    assert [entry.title for entry in titles["Still failing (1)"].entries] == ["bad"]
    assert "5 in a row" in titles["Still failing (1)"].entries[0].detail
    assert [entry.title for entry in titles["Recovered (1)"].entries] == ["mends"]
    assert "5 times" in titles["New failures (2)"].entries[0].detail


@pytest.mark.parametrize(("when", "count"), [((), 0), (("always",), 2)])
def test_a_digest_with_nothing_to_say_is_sent_only_if_always(
    tmp_path: Path, when: tuple[str, ...], count: int
) -> None:
    bench = PostBench(tmp_path, {})
    weekly = {"cron": "0 12 31 12 *"}
    bench.apply(plan("good", report(digest="daily 07:00", when=when or ("failure",)), schedule=weekly))
    bench.until("2026-01-03T06:00")
    assert [subject for subject in bench.subjects()] == ["Σ daily digest: all is well"] * count


def test_letters_wait_out_a_dead_server_and_then_all_leave(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"backup": FAILS})
    bench.outcome = Outcome.UNREACHABLE
    bench.apply(plan("backup"))
    bench.until("2026-01-01T05:30")
    assert set(bench.post.outbox.troubles) == {"mail"}
    assert any("next try at" in sentence for sentence in bench.said)
    tries = bench.store.db.execute("SELECT max(tries) FROM letters").fetchone()[0]
    assert 5 < tries < 15, "the wait between tries grows"
    bench.outcome = Outcome.SENT
    bench.until("2026-01-01T07:30")
    assert [state for state, _ in bench.states()].count("sent") >= 5
    assert bench.post.outbox.troubles == {}


def test_what_nobody_takes_for_three_days_is_given_up_and_said(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"backup": FAILS})
    bench.outcome = Outcome.LATER
    bench.apply(plan("backup", schedule={"cron": "0 1 1 1 *"}))
    bench.until("2026-01-05T00:00")
    assert bench.states() == [("given-up", "run backup/20260101T010000Z failure")]
    assert "gave up" in bench.said[-1]


def test_a_refused_letter_is_given_up_at_once_and_no_other(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"backup": FAILS})
    bench.outcome = Outcome.REFUSED
    bench.apply(plan("backup"))
    bench.until("2026-01-01T01:30")
    bench.outcome = Outcome.SENT
    bench.until("2026-01-01T02:30")
    assert [state for state, _ in bench.states()] == ["given-up", "sent"]


def test_a_restart_while_a_letter_is_on_its_way_sends_it_again_under_the_same_name(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"backup": FAILS})
    bench.apply(plan("backup"))
    bench.until("2026-01-01T01:00:20")
    bench.machine.pass_time(bench.machine.elapsed + 20)
    bench.engine.round()
    (first,) = bench.post.leave(bench.machine.now())
    assert bench.post.leave(bench.machine.now()) == []
    bench.reopen()
    bench.until("2026-01-01T01:01")
    (second,) = bench.sent
    assert (second.message_id, second.created, second.body) == (first.message_id, first.created, first.body)


@pytest.mark.full
def test_a_thousand_reports_cost_the_deciding_thread_little(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {})
    jobs = {TargetId(f"job{number:04}"): plan(f"job{number:04}") for number in range(1000)}
    bench.fates.update({target.job: FAILS for target in jobs})
    bench.want(jobs, most=1000)
    spent = 0.0

    def timed(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def call(*arguments: object) -> object:
            nonlocal spent
            begun = time.thread_time()
            try:
                return real(*arguments)
            finally:
                spent += time.thread_time() - begun

        setattr(owner, name, call)

    timed(bench.post, "hook")
    timed(bench.post, "leave")
    timed(bench.post.outbox, "settle")
    bench.until("2026-01-01T01:59")
    assert len(bench.sent) == 1000
    assert len({parcel.message_id for parcel in bench.sent}) == 1000
    assert spent < 2.0, f"{spent:.2f} s"


def test_a_full_disk_loses_no_letter(tmp_path: Path) -> None:
    bench = PostBench(tmp_path, {"backup": FAILS})
    bench.apply(plan("backup"))
    bench.until("2026-01-01T01:00:20")
    bench.machine.pass_time(bench.machine.elapsed + 20)
    bench.engine.round()
    bench.full = True
    with pytest.raises(sqlite3.OperationalError):
        bench.post.leave(bench.machine.now())
    bench.full = False
    bench.until("2026-01-01T01:30")
    assert bench.subjects(OPS) == ["✘ failure: backup – exit code 3"]

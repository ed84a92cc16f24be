"""From documents to targets: who runs where, by which planning, and what happens to references that fail."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.core.model import Mode, TargetId
from reconciler.core.plan import Plan
from reconciler.spec.objects import Identity
from reconciler.spec.resolve import ResolveCache, Resolved, resolve
from tests.spec.building import document, job, objects

ACME = document("Domain", "acme.example", {"environment": {"HOST": "a"}}, labels={"ldap": "enabled"})
BETA = document("Domain", "beta.example", {"timeZone": "America/New_York"})
OLD = document("Domain", "old.example", {}, labels={"ldap": "enabled"})
DOMAINS = ACME + "---\n" + BETA + "---\n" + OLD
DAILY = {"mode": "scheduled", "schedule": {"cron": "30 2 * * *"}}


def codes(resolved: Resolved) -> list[str]:
    return sorted(each.code for each in resolved.diagnostics)


def plan(resolved: Resolved, target: str) -> Plan:
    return resolved.desired.targets[TargetId.parse(target)]


def names(resolved: Resolved) -> set[str]:
    return {str(target) for target in resolved.desired.targets}


# Targets.


def test_an_installation_job_is_one_target_and_a_domain_job_one_per_domain() -> None:
    resolved = resolve(objects(DOMAINS, job("backup"), job("quota", scope="domain")))
    assert names(resolved) == {"backup", "quota@acme.example", "quota@beta.example", "quota@old.example"}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, {"acme", "beta", "old"}),
        ({"matchLabels": {"ldap": "enabled"}}, {"acme", "old"}),
        ({"matchLabels": {"ldap": "enabled"}, "except": ["old.example"]}, {"acme"}),
        ({"matchLabels": {"ldap": "enabled"}, "names": ["beta.example"]}, {"acme", "beta", "old"}),
        ({"names": ["beta.example"]}, {"beta"}),
        ({"names": []}, set()),
        ({"except": ["old.example", "gone.example"]}, {"acme", "beta"}),
        ({"matchLabels": {"ldap": "enabled", "tier": "gold"}}, set()),
    ],
)
def test_a_selector_takes_labels_and_names_and_leaves_out_exceptions(
    selector: object, selected: set[str]
) -> None:
    resolved = resolve(objects(DOMAINS, job("quota", scope="domain", domains=selector)))
    assert names(resolved) == {f"quota@{name}.example" for name in selected}


def test_a_new_domain_joins_by_itself() -> None:
    cache = ResolveCache()
    one = objects(ACME, job("quota", scope="domain"))
    resolve(one, cache)
    resolved = resolve(one | objects(BETA), cache)
    assert names(resolved) == {"quota@acme.example", "quota@beta.example"}


def test_targets_that_resolve_alike_share_one_plan() -> None:
    domains = "---\n".join(document("Domain", f"d{n}.example") for n in range(20))
    resolved = resolve(objects(domains, ACME, job("quota", scope="domain")))
    assert len({id(each) for each in resolved.desired.targets.values()}) == 2


# Which planning counts.


def test_the_mode_comes_from_the_domains_own_planning_then_the_systems_then_the_job() -> None:
    system = document(
        "Planning", "quota", {"mode": "disabled", "domains": {"names": ["acme.example", "beta.example"]}}
    )
    own = document("Planning", "quota", {"mode": "scheduled", "schedule": {"every": "15m"}})
    spec = {"scope": "domain", "planning": DAILY}
    resolved = resolve(objects(DOMAINS, job("quota", **spec), system, acme_example=own))
    assert plan(resolved, "quota@acme.example").planning_text == "every 15m"
    assert plan(resolved, "quota@beta.example").mode is Mode.DISABLED
    assert plan(resolved, "quota@old.example").planning_text == "30 2 * * *"
    assert plan(resolved, "quota@acme.example").planning_path == "jobs.d/domains/acme.example/a.yaml:1"


def test_a_planning_without_a_mode_inherits_it_and_pauses_add_up() -> None:
    spec = {"planning": {**DAILY, "pause": {"reason": "job"}}}
    pause = document("Planning", "backup", {"pause": {"until": "2027-01-04T08:00Z", "reason": "move"}})
    found = plan(resolve(objects(job("backup", **spec), pause)), "backup")
    assert found.mode is Mode.SCHEDULED
    assert [each.reason for each in found.pauses] == ["job", "move"]
    assert found.pauses[1].until == datetime(2027, 1, 4, 8, tzinfo=UTC)


def test_the_mode_without_any_planning_is_automatic_with_criteria_and_disabled_without() -> None:
    resolved = resolve(objects(job("a", automatic={"every": "4h"}), job("b")))
    assert (plan(resolved, "a").mode, plan(resolved, "b").mode) == (Mode.AUTOMATIC, Mode.DISABLED)
    criteria = plan(resolved, "a").criteria
    assert criteria is not None
    assert criteria.every_seconds == 4 * 3600


def test_the_zone_is_the_schedules_then_the_domains_then_the_installations() -> None:
    installation = document("Installation", "installation", {"timeZone": "Asia/Tokyo"})
    resolved = resolve(objects(DOMAINS, installation, job("quota", scope="domain", planning=DAILY)))
    zones = {
        str(target): each.schedule.time_zone
        for target, each in resolved.desired.targets.items()
        if each.schedule
    }
    assert zones["quota@acme.example"] == "Asia/Tokyo"
    assert zones["quota@beta.example"] == "America/New_York"


def test_two_plannings_of_one_level_for_one_target_reject_both() -> None:
    one = document("Planning", "one", {"job": "quota", "mode": "disabled"})
    two = document(
        "Planning", "two", {"job": "quota", "mode": "disabled", "domains": {"names": ["acme.example"]}}
    )
    resolved = resolve(objects(DOMAINS, job("quota", scope="domain", planning=DAILY), one, two))
    assert codes(resolved) == ["E205", "E205"]
    assert plan(resolved, "quota@acme.example").mode is Mode.SCHEDULED


# Digests.


def test_the_schedule_digest_changes_with_what_decides_the_slots_and_with_nothing_else() -> None:
    def digests(**spec: object) -> tuple[str, str]:
        found = plan(resolve(objects(job("a", **{"planning": DAILY, **spec}))), "a")
        return found.schedule_digest, found.digest

    schedule, run = digests()
    assert digests(description="other") == (schedule, run)
    assert digests(command=["false"])[0] == schedule
    assert digests(command=["false"])[1] != run
    other_zone = {"mode": "scheduled", "schedule": {"cron": "30 2 * * *", "timeZone": "Europe/Paris"}}
    assert digests(planning=other_zone)[0] != schedule
    assert digests(planning=other_zone)[1] == run
    assert digests(planning={**DAILY, "pause": {}}) == (schedule, run)


def test_the_schedule_digest_changes_with_the_dates_of_a_calendar() -> None:
    def digest(date: str) -> str:
        calendar = document("Calendar", "closures", {"dates": [date]})
        schedule = {"cron": "30 2 * * *", "calendars": {"skip": ["closures"]}}
        return plan(
            resolve(objects(calendar, job("a", planning={"mode": "scheduled", "schedule": schedule}))), "a"
        ).schedule_digest

    assert digest("2026-12-25") != digest("2026-12-26")


def test_writing_out_a_default_does_not_change_the_digest_of_a_document() -> None:
    plain, written = objects(job("a")), objects(job("a", concurrency="skip", stopGrace="10s"))
    assert [each.digest for each in plain.values()] == [each.digest for each in written.values()]


# References that fail.


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([job("a", automatic={"after": ["bakcup"]}), job("backup")], "E201"),
        ([document("Planning", "backup", {"mode": "disabled"})], "E201"),
        ([job("a", scope="domain", domains={"names": ["gone.example"]})], "E202"),
        ([document("Administrator", "al", {"role": "domain", "domains": ["gone.example"]})], "E202"),
        (
            [
                job(
                    "a",
                    planning={"mode": "scheduled", "schedule": {"every": "1h", "calendars": {"skip": ["x"]}}},
                )
            ],
            "E203",
        ),
        ([job("a", automatic={"after": ["a"]})], "E204"),
        ([job("a"), document("Planning", "a", {"mode": "disabled", "domains": {}})], "E206"),
        ([job("a"), document("Planning", "a", {"mode": "automatic"})], "E208"),
        ([ACME, job("a", scope="domain", command=["$(NOWHERE)"])], "E210"),
    ],
)
def test_a_reference_that_fails_rejects_its_document(documents: list[str], expected: str) -> None:
    resolved = resolve(objects(*documents))
    assert codes(resolved) == [expected]
    assert len(resolved.rejected) == 1


def test_a_circle_of_jobs_rejects_each_of_them_and_not_those_who_only_wait_for_it() -> None:
    chain = [
        job("a", automatic={"after": ["b"]}),
        job("b", automatic={"after": ["c"]}),
        job("c", automatic={"after": ["a"]}),
    ]
    resolved = resolve(objects(*chain, job("free", automatic={"every": "1h"})))
    assert codes(resolved) == ["E204", "E204", "E204"]
    assert names(resolved) == {"free"}


def test_dependents_of_a_rejected_object_are_rejected_too() -> None:
    resolved = resolve(
        objects(job("a", automatic={"after": ["gone"]}), job("b", automatic={"after": ["a"]}), job("c"))
    )
    assert {each.name for each in resolved.rejected} == {"a", "b"}
    assert names(resolved) == {"c"}
    assert "its own document is rejected" in next(
        each.message for each in resolved.diagnostics if "`a`" in each.message
    )


def test_the_last_good_version_counts_where_new_references_fail_and_dependents_keep_working() -> None:
    before = objects(job("a", automatic={"every": "1h"}))
    now = objects(job("a", automatic={"after": ["gone"]}), job("b", automatic={"after": ["a"]}))
    resolved = resolve(now, last_good=before)
    assert resolved.rejected == resolved.held == {Identity("Job", "", "a")}
    assert names(resolved) == {"a", "b"}
    criteria = plan(resolved, "a").criteria
    assert criteria is not None
    assert criteria.every_seconds == 3600


def test_a_last_good_version_that_fails_as_well_is_left_out() -> None:
    before = objects(job("a", automatic={"after": ["gone-too"]}))
    resolved = resolve(objects(job("a", automatic={"after": ["gone"]})), last_good=before)
    assert resolved.rejected == {Identity("Job", "", "a")}
    assert resolved.held == frozenset()
    assert names(resolved) == set()


# Requests.


def request(targets: list[str], **spec: object) -> str:
    return document("RunRequest", "r1", {"targets": targets, "requestedAt": "2026-11-22T10:30:00Z", **spec})


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["backup"], []),
        (["quota@acme.example", "quota@*"], []),
        (["bakcup"], ["E201"]),
        (["quota"], ["E206"]),
        (["backup@acme.example"], ["E206"]),
        (["quota@gone.example"], ["E206"]),
    ],
)
def test_a_request_names_targets_that_exist(targets: list[str], expected: list[str]) -> None:
    assert (
        codes(resolve(objects(DOMAINS, job("backup"), job("quota", scope="domain"), request(targets))))
        == expected
    )


def test_a_requests_parameters_are_checked_against_each_job() -> None:
    full = job("full", parameters={"full": {"type": "boolean", "default": False}})
    good = resolve(objects(full, request(["full"], parameters={"full": True})))
    assert codes(good) == []
    assert good.desired.requests[0].parameters == {"full": True}
    for wrong in ({"full": "yes"}, {"ful": True}):
        assert codes(resolve(objects(full, request(["full"], parameters=wrong)))) == ["E209"]


def test_references_of_an_expired_request_are_not_checked_any_more() -> None:
    asked = objects(request(["gone"]))
    late = datetime(2026, 11, 22, 11, 31, tzinfo=UTC)
    assert codes(resolve(asked, now=late)) == []
    assert codes(resolve(asked, now=late - timedelta(minutes=2))) == ["E201"]


def test_a_request_in_a_domains_folder_means_this_domain_and_never_says_what_else_there_is() -> None:
    system = [
        DOMAINS,
        job("backup"),
        job("quota", scope="domain"),
        job("secret", scope="domain", domains={"names": []}),
    ]
    assert codes(resolve(objects(*system, acme_example=request(["quota"])))) == []
    for hidden in ("backup", "secret", "secrt", "nothing"):
        resolved = resolve(objects(*system, acme_example=request([hidden])))
        assert codes(resolved) == ["E201"]
        assert resolved.diagnostics[0].message == f"there is no job `{hidden}`"
        assert resolved.diagnostics[0].help == ""


# Domain areas.


def test_a_planning_of_a_domain_cannot_be_denser_than_the_job_allows() -> None:
    quota = job("quota", scope="domain", minInterval="1h")
    for schedule, expected in (
        ({"every": "15m"}, ["E207"]),
        ({"cron": "*/30 * * * *"}, ["E207"]),
        ({"weekly": {"times": ["10:00", "10:20"]}}, ["E207"]),
        ({"cron": "0 * * * *"}, []),
        ({"every": "2h"}, []),
    ):
        own = document("Planning", "quota", {"mode": "scheduled", "schedule": schedule})
        assert codes(resolve(objects(ACME, quota, acme_example=own))) == expected, schedule
        system = resolve(objects(ACME, quota, own))
        assert codes(system) == []


def test_a_planning_of_a_domain_is_for_jobs_that_run_there() -> None:
    own = document("Planning", "quota", {"mode": "disabled"})
    elsewhere = job("quota", scope="domain", domains={"names": ["beta.example"]})
    for system in ([DOMAINS, elsewhere], [DOMAINS, job("quota")]):
        assert codes(resolve(objects(*system, acme_example=own))) == ["E206"]


def test_calendars_resolve_in_the_own_folder_first_then_in_the_system_area_and_never_elsewhere() -> None:
    schedule = {"cron": "0 0 * * *", "calendars": {"skip": ["closures"]}}
    own = document("Planning", "quota", {"mode": "scheduled", "schedule": schedule})
    quota = job("quota", scope="domain")
    shared = document("Calendar", "closures", {"dates": ["2026-12-24"]})
    theirs = document("Calendar", "closures", {"dates": ["2026-12-25"]})
    slot = int(datetime(2026, 12, 25, tzinfo=UTC).timestamp())

    def left_out(*system: str, area: str) -> str | None:
        found = plan(
            resolve(objects(ACME, BETA, quota, *system, acme_example=area)), "quota@acme.example"
        ).schedule
        assert found is not None
        return found.left_out(slot)

    assert left_out(shared, area=own) is None
    assert left_out(shared, area=f"{own}---\n{theirs}") == "skipped: closures"
    resolved = resolve(objects(ACME, BETA, quota, acme_example=own, beta_example=theirs))
    assert codes(resolved) == ["E203"]
    assert "closures" not in resolved.diagnostics[0].help.replace("Calendar of this name", "")


def test_a_folder_without_its_domain_is_an_error() -> None:
    own = document("Calendar", "closures", {"dates": ["2026-12-25"]})
    assert codes(resolve(objects(acme_example=own))) == ["E202"]


# Reports.


def test_reports_merge_field_by_field_and_a_domains_folder_only_adds_recipients() -> None:
    installation = document(
        "Installation", "installation", {"report": {"send": True, "recipients": ["i@x.org"], "after": 3}}
    )
    domain = document("Domain", "acme.example", {"report": {"recipients": ["d@x.org"]}})
    quota = job("quota", scope="domain", report={"when": ["failure"], "repeat": "24h"})
    system = document("Planning", "quota", {"report": {"after": 2}})
    own = document("Planning", "quota", {"report": {"recipients": ["own@x.org"], "when": ["always"]}})
    found = plan(
        resolve(objects(installation, domain, quota, system, acme_example=own)), "quota@acme.example"
    ).report
    assert (found.send, found.recipients, found.when, found.after) == (True, ("d@x.org",), ("failure",), 2)
    assert found.repeat_seconds == 86400
    assert dict(found.origins)["recipients"] == "jobs.d/1.yaml:1"
    [added] = found.added
    assert (added.recipients, added.when, added.send) == (("own@x.org",), ("always",), True)
    assert added.origin == "jobs.d/domains/acme.example/a.yaml:1"


# The rest of what is desired.


def test_the_installations_settings_and_administrators_are_carried_over() -> None:
    installation = document(
        "Installation",
        "installation",
        {
            "hosts": ["mail1"],
            "maxParallel": 4,
            "maxParallelPerDomain": 2,
            "retention": {"runs": 7},
            "prune": {"maxTargets": 3},
        },
        annotations={"reconciler/approve": "0123abcd"},
    )
    admin = document("Administrator", "al", {"role": "system", "identities": ["unix:al"]})
    desired = resolve(objects(installation, admin, job("a", retention={"age": "1d"}))).desired
    assert desired.hosts == ("mail1",)
    assert (desired.limits.max_parallel, desired.limits.max_parallel_per_domain) == (4, 2)
    assert (desired.retention.runs, desired.prune_max_targets, desired.approved_digest) == (7, 3, "0123abcd")
    assert desired.administrators["al"].identities == ("unix:al",)
    own = desired.targets[TargetId("a")].retention
    assert (own.runs, own.age_seconds) == (7, 86400)


def test_without_an_installation_nothing_is_said_about_hosts() -> None:
    assert resolve(objects(job("a"))).desired.hosts is None


def test_an_annotation_on_a_job_or_planning_is_a_request_of_its_own() -> None:
    stamp = "2026-11-22T10:30:00+01:00#1"
    desired = resolve(
        objects(document("Job", "a", {"command": ["x"]}, annotations={"reconciler/run-requested-at": stamp}))
    )
    [found] = desired.desired.run_now
    assert found.token == f"Job//a#{stamp}"
    assert found.requested_at == datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def test_prune_protection_and_renaming_reach_the_plan() -> None:
    marks = {"reconciler/prune": "disabled", "reconciler/renamed-from": "older"}
    found = plan(resolve(objects(document("Job", "a", {"command": ["x"]}, annotations=marks))), "a")
    assert (found.prunable, found.renamed_from) == (False, "older")
    kept = document("Domain", "acme.example", {}, annotations={"reconciler/prune": "disabled"})
    resolved = resolve(objects(kept, BETA, job("quota", scope="domain")))
    assert not plan(resolved, "quota@acme.example").prunable
    assert plan(resolved, "quota@beta.example").prunable


# How much is looked at again.


def test_only_what_changed_is_resolved_again() -> None:
    cache = ResolveCache()
    first = objects(DOMAINS, *(job(f"j{n}", planning=DAILY) for n in range(20)), job("quota", scope="domain"))
    before = resolve(first, cache).desired.targets
    after = resolve(first | objects(job("j3", planning=DAILY, timeout="1m")), cache).desired.targets
    changed = {str(target) for target, each in after.items() if each is not before[target]}
    assert changed == {"j3"}


def test_a_resolving_with_a_cache_gives_the_same_as_one_without() -> None:
    cache = ResolveCache()
    states = [
        objects(DOMAINS, job("a", planning=DAILY), job("quota", scope="domain")),
        objects(
            ACME,
            job("a", planning=DAILY),
            job("quota", scope="domain"),
            document("Planning", "a", {"mode": "disabled"}),
        ),
        objects(ACME, job("quota", scope="domain", planning=DAILY)),
        objects(),
    ]
    for state in states + states[::-1]:
        cached, fresh = resolve(state, cache).desired, resolve(state).desired
        assert {str(k): (p.digest, p.schedule_digest, p.mode) for k, p in cached.targets.items()} == {
            str(k): (p.digest, p.schedule_digest, p.mode) for k, p in fresh.targets.items()
        }


def test_resolving_and_ordering_never_import_pydantic_or_yaml() -> None:
    program = (
        "import sys, reconciler.spec.resolve, reconciler.spec.order\n"
        "print([m for m in ('pydantic', 'ruamel', '_ruamel_yaml', 'croniter', 'jsonschema') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.full
def test_a_vanished_job_with_hundreds_of_plannings_is_told_quickly() -> None:
    import time

    jobs = "---\n".join(job(f"some-job-{n}", scope="domain") for n in range(2000))
    domains = "---\n".join(document("Domain", f"d{n}.example") for n in range(300))
    found = objects(jobs, domains)
    planning = document("Planning", "gone", {"mode": "disabled"})
    for n in range(300):
        found |= objects(**{f"d{n}_example": planning})
    cache = ResolveCache()
    resolve(found, cache)
    before = time.process_time()
    assert codes(resolve(found, cache)) == ["E201"] * 300
    assert time.process_time() - before < 5


def test_a_folder_without_its_domain_is_said_once() -> None:
    own = document("Planning", "quota", {"mode": "disabled"})
    assert codes(resolve(objects(BETA, job("quota", scope="domain"), acme_example=own))) == ["E202"]
    assert codes(resolve(objects(BETA, job("quota"), acme_example=own))) == ["E202"]


# Plans of which little is asked at a start.

INSTALLATION = document(
    "Installation", "installation", {"user": "nobody", "report": {"send": True, "recipients": ["ops@acme.example"]}}
)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"planning": DAILY, "timeout": "30m", "locks": ["db"], "retry": {"attempts": 3}},
        {"planning": {**DAILY, "pause": {"until": "2027-01-01", "reason": "moving"}}, "concurrency": "queue"},
        {"planning": {"mode": "disabled"}, "environment": {"A": "b"}, "retention": {"runs": 3}},
        {"user": "daemon"},
        {"group": "daemon"},
        {"limits": {"memory": "1GiB"}},
        {"secrets": {"TOKEN": "token"}},
        {"report": {"recipients": ["me@acme.example"]}},
        {"automatic": {"every": "4h", "after": ["other"], "onChange": ["/etc/*"], "probe": {"command": ["true"]}}},
    ],
)
@pytest.mark.parametrize("installation", ["", INSTALLATION])
def test_what_a_start_asks_of_a_plan_is_what_the_whole_plan_says(spec: dict[str, Any], installation: str) -> None:
    everything = objects(job("backup", **spec), job("other"), *([installation] if installation else []))
    begun = plan(resolve(everything), "backup")
    whole = begun.whole() if begun.whole else begun
    for name in ("job", "scope", "criteria", "report", "executor", "secrets", "needs", "renamed_from"):
        assert getattr(begun, name) == getattr(whole, name), name
    assert [getattr(begun, each.name) for each in fields(Plan)] == [getattr(whole, each.name) for each in fields(Plan)]


def test_a_plan_is_made_at_the_first_question_that_a_start_does_not_ask_and_once() -> None:
    made: list[Plan] = []

    def whole() -> Plan:
        made.append(Plan("a", "installation", Mode.DISABLED, "d", "s", labels=(("team", "x"),)))
        return made[-1]

    begun = Plan.begun(whole, job="a", secrets=())
    assert (begun.job, begun.secrets, made) == ("a", (), [])
    assert (begun.labels, begun.mode) == ((("team", "x"),), Mode.DISABLED)
    assert len(made) == 1
    assert begun == made[0]
    with pytest.raises(AttributeError, match="colour"):
        begun.colour  # noqa: B018

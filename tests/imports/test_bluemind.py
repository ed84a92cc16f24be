"""BlueMind's jobs: Quartz' expressions, one plan for each domain, and what a person has to write."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.spec.imports import File, Options, convert
from tests.imports.oracles import Accepts, documents, imported, only_job, slots_between, walk


def plan(kind: str, cron: str | None = None, domain: str = "acme.example") -> dict[str, Any]:
    rec = {"cronString": cron} if cron else None
    return {"kind": kind, "domain": domain, "rec": rec, "lastRun": None, "nextRun": None}


def search(*plans: dict[str, Any], **fields: Any) -> str:
    """The answer of `_searchJob` with one job."""
    job = {"id": "LDAPImport", "kind": "MULTIDOMAIN", "description": "Import", "sendReport": False, "recipients": None,
           "domainStatus": [], "domainPlanification": list(plans)}  # fmt: skip
    return json.dumps({"total": 1, "values": [job | fields]})


def schedule_of(cron: str, zone: str = "UTC") -> dict[str, Any]:
    text = search(plan("SCHEDULED", cron, "global.virt"), kind="GLOBAL")
    schedule: dict[str, Any] = only_job(imported("bluemind", text, time_zone=zone))["planning"]["schedule"]
    return schedule


def test_a_global_job_is_an_installation_job_and_keeps_its_schedule() -> None:
    job = only_job(imported("bluemind", search(plan("SCHEDULED", "0 30 2 ? * MON-FRI", "global.virt"), kind="GLOBAL"),
                            time_zone="Europe/Paris"))  # fmt: skip
    assert "scope" not in job
    assert job["description"] == "Import"
    assert job["planning"] == {
        "mode": "scheduled",
        "schedule": {"cron": "30 2 * * mon-fri", "timeZone": "Europe/Paris", "dst": "skip"},
    }


def test_each_domain_keeps_its_own_plan() -> None:
    plans = [plan("SCHEDULED", "0 0 2 * * ?", "a.example"), plan("SCHEDULED", "0 0 2 * * ?", "b.example"),
             plan("DISABLED", None, "c.example"), plan("SCHEDULED", "0 0 5 * * ?", "d.example")]  # fmt: skip
    result = imported("bluemind", search(*plans), time_zone="UTC")
    job = only_job(result)
    assert job["scope"] == "domain"
    assert job["planning"]["schedule"]["cron"] == "0 2 * * *"
    found = {tuple(spec["domains"]["names"]): spec for spec in documents(result.documents_yaml, "Planning").values()}
    assert {names: spec["mode"] for names, spec in found.items()} == {
        ("c.example",): "disabled",
        ("d.example",): "scheduled",
    }
    assert {spec["job"] for spec in found.values()} == {"ldapimport"}
    assert [*documents(result.documents_yaml, "Domain")] == ["a.example", "b.example", "c.example", "d.example"]


def test_an_opportunistic_job_is_automatic_and_its_probe_waits_for_a_person() -> None:
    result = imported("bluemind", search(plan("OPPORTUNISTIC")))
    job = only_job(result)
    assert job["planning"] == {"mode": "automatic"}
    assert job["automatic"] == {"probe": {"command": ["false"], "every": "1m"}}
    assert any("probe" in remark.text for remark in result.remarks)


def test_the_recipients_of_the_report_are_carried_over() -> None:
    result = imported("bluemind", search(plan("DISABLED"), sendReport=True, recipients="a@b.example; c@d.example root"))
    assert only_job(result)["report"] == {
        "send": True,
        "recipients": ["a@b.example", "c@d.example"],
        "when": ["always"],
    }
    assert any("root" in remark.text for remark in result.remarks)


def test_what_it_ran_is_for_a_person_to_write_and_fails_until_then() -> None:
    result = imported("bluemind", search(plan("DISABLED")))
    assert only_job(result)["script"].endswith("exit 1\n")
    assert any("LDAPImport" in remark.text for remark in result.remarks)


@pytest.mark.parametrize("cron", ["0 0 25 * * ?", "0 0 2 1 * 2", "0 0 2 ? * 8", "0 0 2 * *", "nonsense", "",
                                  "0 0 2 * * ? 2026,2028", "0 0 2 ? * 2-9"])  # fmt: skip
def test_an_expression_without_an_equal_is_disabled_and_said(cron: str) -> None:
    result = imported("bluemind", search(plan("SCHEDULED", cron)), time_zone="UTC")
    assert only_job(result)["planning"] == {"mode": "disabled"}
    assert any("cannot be carried over" in remark.text for remark in result.remarks)


def test_seconds_and_years_are_kept() -> None:
    assert schedule_of("15/20 0 3 ? * 1 2027-2028") == {
        "cron": "15-59/20 0 3 * * sun",
        "from": "2027-01-01",
        "until": "2028-12-31",
        "timeZone": "UTC",
        "dst": "skip",
    }


def at(minutes: set[int], hours: set[int]) -> Accepts:
    return lambda local: local.minute in minutes and local.hour in hours


def nth(weekday: int, number: int) -> Accepts:
    return lambda local: (
        local.isoweekday() == weekday and (local.day - 1) // 7 + 1 == number and (local.hour, local.minute) == (6, 0)
    )


def on(*weekdays: int) -> Accepts:
    """At 06:00 on these days, Monday is 1."""
    return lambda local: local.isoweekday() in weekdays and (local.hour, local.minute) == (6, 0)


def last_day(local: datetime) -> bool:
    return (local + timedelta(days=1)).day == 1 and (local.hour, local.minute) == (6, 0)


@pytest.mark.parametrize(
    ("cron", "accepts"),
    [
        ("0 0/10 3-5 * * ?", at(set(range(0, 60, 10)), {3, 4, 5})),
        ("0 5/25 * * * ?", at({5, 30, 55}, set(range(24)))),
        ("0 30 2 * * ?", at({30}, {2})),
        ("0 0 22-1 ? * *", at({0}, {22, 23, 0, 1})),
        ("0 0 6 ? * 1", on(7)),
        ("0 0 6 ? * 2-6", on(1, 2, 3, 4, 5)),
        ("0 0 6 ? * SAT,sun", on(6, 7)),
        ("0 0 6 ? * 6-2", on(5, 6, 7, 1)),
        ("0 0 6 ? * 2/2", on(1, 3, 5)),
        ("0 0 6 ? * L", on(6)),
        ("0 0 6 ? * 3#2", nth(2, 2)),
        ("0 0 6 L * ?", last_day),
    ],
)
def test_a_forecast_is_what_quartz_expressions_mean(cron: str, accepts: Accepts) -> None:
    schedule = schedule_of(cron, "Europe/Paris")
    start = datetime(2026, 3, 20, tzinfo=UTC)
    end = start + timedelta(days=45)
    assert slots_between(schedule, start, end) == walk(accepts, start, end, "Europe/Paris", passes=1)


def test_the_second_pass_of_quartz_is_said_where_it_matters() -> None:
    for cron, matters in (("0 30 2 * * ?", True), ("0 30 5 * * ?", False)):
        result = imported("bluemind", search(plan("SCHEDULED", cron)), time_zone="Europe/Paris")
        assert any("second pass" in remark.text for remark in result.remarks) is matters


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", "[3, {}]", "[" * 100_000, '{"values": 3}', '{"id": "x"}',
                                  '{"id": "Ü", "domainPlanification": [{}]}'])  # fmt: skip
def test_any_text_is_imported_without_an_exception(text: str) -> None:
    assert convert("bluemind", [File("x", text)], Options()).documents_yaml.startswith("# Imported")


@pytest.mark.parametrize("value", [None, 0, True, "x", "", [], [3], [[]], [{}], {}, {"a": 1}])
def test_a_value_of_a_wrong_type_breaks_nothing(value: Any) -> None:
    for key in ("id", "kind", "description", "sendReport", "recipients", "domainPlanification"):
        assert convert("bluemind", [File("x", search(**{key: value}))], Options()).documents_yaml
    for key in ("kind", "domain", "rec"):
        text = search(plan("SCHEDULED", "0 0 2 * * ?") | {key: value})
        assert convert("bluemind", [File("x", text)], Options()).documents_yaml

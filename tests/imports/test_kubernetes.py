"""Kubernetes CronJobs: their schedules by robfig/cron's rules, and what of a container is left."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.spec.imports import File, Options, convert
from tests.imports.oracles import Accepts, documents, imported, only_job, slots_between, walk


def manifest(spec: dict[str, Any] | None = None, pod: dict[str, Any] | None = None, **job_spec: Any) -> str:
    """A CronJob (JSON is YAML too)."""
    container = {"name": "main", "image": "shop:1", "command": ["/bin/report"]}
    template = {"template": {"spec": {"restartPolicy": "Never", "containers": [container | (pod or {})]}}}
    cron_job = {"schedule": "0 1 * * *", "timeZone": "UTC", "jobTemplate": {"spec": template | job_spec}} | (spec or {})
    return json.dumps({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report"}, "spec": cron_job})


def schedule_of(expression: str, zone: str) -> tuple[dict[str, Any], list[str]]:
    result = imported("kubernetes", manifest({"schedule": expression, "timeZone": zone}))
    return only_job(result)["planning"]["schedule"], [remark.text for remark in result.remarks]


def test_a_cron_job_is_a_job_and_the_image_is_named() -> None:
    spec = {"concurrencyPolicy": "Forbid", "startingDeadlineSeconds": 300}
    pod = {"args": ["--all"], "workingDir": "/srv", "env": [{"name": "A", "value": "1"}],
           "resources": {"limits": {"memory": "64Mi"}}}  # fmt: skip
    result = imported("kubernetes", manifest(spec, pod, activeDeadlineSeconds=3600, backoffLimit=2))
    assert documents(result.documents_yaml) == {
        "report": {
            "environment": {"A": "1"},
            "command": ["/bin/report", "--all"],
            "workingDirectory": "/srv",
            "limits": {"memory": "64MiB"},
            "planning": {
                "mode": "scheduled",
                "schedule": {"cron": "0 1 * * *", "timeZone": "UTC", "startingDeadline": "5m"},
            },
            "concurrency": "skip",
            "timeout": "1h",
            "retry": {"attempts": 3, "delay": "10s", "backoff": 2, "maxDelay": "6m"},
        }
    }
    assert [remark.text for remark in result.remarks] == [
        "it ran in the image shop:1; here its command must be on this machine"
    ]


@pytest.mark.parametrize(("theirs", "ours"), [("Allow", "allow"), ("Forbid", "skip"), ("Replace", "replace")])
def test_the_concurrency_policy_has_a_word_of_ours(theirs: str, ours: str) -> None:
    assert only_job(imported("kubernetes", manifest({"concurrencyPolicy": theirs})))["concurrency"] == ours


def test_defaults_of_the_cluster_are_written_down() -> None:
    job = only_job(imported("kubernetes", manifest({"timeZone": None})))
    assert job["concurrency"] == "allow"
    assert job["retry"]["attempts"] == 7
    assert job["planning"]["schedule"]["timeZone"] == "UTC"
    assert "retry" not in only_job(imported("kubernetes", manifest(backoffLimit=0)))


def test_a_suspended_one_keeps_its_schedule_and_is_disabled() -> None:
    planning = only_job(imported("kubernetes", manifest({"suspend": True})))["planning"]
    assert planning == {"mode": "disabled", "schedule": {"cron": "0 1 * * *", "timeZone": "UTC"}}


def test_a_zone_before_the_expression_is_its_zone() -> None:
    text = manifest({"schedule": "CRON_TZ=Asia/Tokyo 0 1 * * *", "timeZone": None})
    assert only_job(imported("kubernetes", text))["planning"]["schedule"]["timeZone"] == "Asia/Tokyo"


def test_every_is_an_automatic_criterion() -> None:
    assert only_job(imported("kubernetes", manifest({"schedule": "@every 1h30m"})))["automatic"] == {"every": "1h30m"}


def test_a_reference_to_an_unknown_variable_stays_as_it_is() -> None:
    pod = {"command": ["x", "$(A)", "$(B)", "$$(A)", "$$"], "env": [{"name": "A", "value": "1"}]}
    assert only_job(imported("kubernetes", manifest(pod=pod)))["command"] == ["x", "$(A)", "$$(B)", "$$(A)", "$"]


def test_a_secret_becomes_the_name_of_a_file_and_is_said() -> None:
    env = [{"name": "PW", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
           {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]  # fmt: skip
    result = imported("kubernetes", manifest(pod={"env": env}))
    assert only_job(result)["secrets"] == {"PW": "db-password"}
    assert "environment" not in only_job(result)
    assert any("POD" in remark.text for remark in result.remarks)


def test_an_unknown_entry_point_fails_loudly_and_keeps_its_schedule() -> None:
    result = imported("kubernetes", manifest(pod={"command": None, "args": ["-x"]}))
    job = only_job(result)
    assert "::error::" in job["script"]
    assert job["script"].endswith("exit 1\n")
    assert job["planning"]["mode"] == "scheduled"
    assert any("shop:1" in remark.text for remark in result.remarks)


def test_what_has_no_counterpart_is_named_by_its_path() -> None:
    text = manifest({"successfulJobsHistoryLimit": 3}, {"volumeMounts": [{"name": "v"}]}, parallelism=2)
    (lost,) = [remark.text for remark in imported("kubernetes", text).remarks if "no counterpart" in remark.text]
    for path in ("spec.successfulJobsHistoryLimit", "containers[0].volumeMounts", "spec.jobTemplate.spec.parallelism"):
        assert path in lost


def test_lists_and_several_documents_are_read_and_other_kinds_named() -> None:
    listed = f"kind: List\nitems:\n- {manifest()}\n- {manifest()}\n---\nkind: Service\n"
    result = imported("kubernetes", listed)
    assert [*documents(result.documents_yaml)] == ["report", "report-2"]
    assert ("file:5", "Service is no CronJob") in result.remarks


@pytest.mark.parametrize("text", ["{", "[" * 50_000, "a: b", "- 1", "", "\x00", "kind: CronJob"])
def test_any_text_is_imported_without_an_exception(text: str) -> None:
    assert convert("kubernetes", [File("x", text)], Options()).documents_yaml.startswith("# Imported")


PATHS = [
    ("metadata",), ("metadata", "name"), ("metadata", "labels"), ("spec",), ("spec", "schedule"), ("spec", "timeZone"),
    ("spec", "suspend"), ("spec", "concurrencyPolicy"), ("spec", "startingDeadlineSeconds"), ("spec", "jobTemplate"),
    ("spec", "jobTemplate", "spec"), ("spec", "jobTemplate", "spec", "backoffLimit"),
    ("spec", "jobTemplate", "spec", "activeDeadlineSeconds"), ("spec", "jobTemplate", "spec", "template"),
    ("spec", "jobTemplate", "spec", "template", "spec", "containers"),
]  # fmt: skip
CONTAINER = ["command", "args", "env", "image", "workingDir", "resources"]


@pytest.mark.parametrize("value", [None, 0, -1, 1e300, True, "x", "", [], [3], [[]], [{}], {}, {"a": [{"b": 1}]}])
def test_a_value_of_a_wrong_type_breaks_nothing(value: Any) -> None:
    for path in PATHS:
        tree = json.loads(manifest())
        inner = tree
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        assert convert("kubernetes", [File("x", json.dumps(tree))], Options()).documents_yaml
    for key in CONTAINER:
        assert convert("kubernetes", [File("x", manifest(pod={key: value}))], Options()).documents_yaml


def local(
    minutes: set[int], hours: set[int], days: set[int] | None = None, weekdays: set[int] | None = None
) -> Accepts:
    """robfig/cron's rule: both day fields restricted (a step is a restriction) mean one or the other."""

    def accepts(at: datetime) -> bool:
        day, weekday = days is None or at.day in days, weekdays is None or at.isoweekday() % 7 in weekdays
        both = day and weekday if days is None or weekdays is None else day or weekday
        return at.minute in minutes and at.hour in hours and both

    return accepts


ALL = set(range(24))


@pytest.mark.parametrize(
    ("expression", "zone", "accepts"),
    [
        ("*/20 * * * *", "Europe/Paris", local({0, 20, 40}, ALL)),
        ("5/25 1 * * *", "America/New_York", local({5, 30, 55}, {1})),
        ("30 */2 * * *", "Europe/Paris", local({30}, set(range(0, 24, 2)))),
        ("30 2 * * *", "America/New_York", local({30}, {2})),
        ("0 9 */2 * 1", "Europe/Paris", local({0}, {9}, set(range(1, 32, 2)), {1})),
        ("0 9 ? * */3", "Europe/Paris", local({0}, {9}, None, {0, 3, 6})),
        ("0 9 13 * 5", "UTC", local({0}, {9}, {13}, {5})),
    ],
)
def test_a_forecast_is_what_robfigs_rules_give(expression: str, zone: str, accepts: Accepts) -> None:
    schedule, remarks = schedule_of(expression, zone)
    for start in (datetime(2026, 3, 6, tzinfo=UTC), datetime(2026, 10, 22, tzinfo=UTC)):
        end = start + timedelta(days=25)
        assert slots_between(schedule, start, end) == walk(accepts, start, end, zone, passes=3)
    assert not any("clock change" in remark for remark in remarks)


def test_where_no_rule_of_ours_is_the_same_the_difference_is_said() -> None:
    # In Paris both the gap and the repeated hour are at two: robfig skips the one and runs twice in the other.
    schedule, remarks = schedule_of("30 2 * * *", "Europe/Paris")
    assert schedule["dst"] == "both"
    assert any("clock change" in remark for remark in remarks)

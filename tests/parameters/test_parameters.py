"""Parameters: declared by the job, listed, checked when somebody asks, and never found wrong at night."""

from __future__ import annotations

import time

import pytest

from tests.support.installation import Installation, document, job, until

pytestmark = pytest.mark.full

DECLARED = {
    "full": {"type": "boolean", "default": False, "description": "Import everything"},
    "count": {"type": "integer"},
    "mode": {"enum": ["fast", "full"], "default": "fast"},
    "name": {"pattern": "[a-z]+"},
}
SAYS = "env | grep ^RECONCILE_PARAM_ | sort"


def request(name: str, **parameters: object) -> str:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return document("RunRequest", name, targets=["a"], requestedAt=now, parameters=parameters)


def test_a_run_gets_the_typed_values_and_the_defaults_of_the_rest(place: Installation):
    place.write("a.yaml", job("a", SAYS, parameters=DECLARED))
    place.serve()
    assert place.run("run", "a", "--param", "full=yes", "--param", "count=7", "--wait").returncode == 0
    (run,) = place.json("get", "runs")["items"]
    assert run["parameters"] == {"full": True, "count": 7}
    said = [line.split()[-1] for line in place.run("logs", "a").stdout.splitlines()]
    assert said == ["RECONCILE_PARAM_COUNT=7", "RECONCILE_PARAM_FULL=true", "RECONCILE_PARAM_MODE=fast"]


def test_describe_lists_what_may_be_given(place: Installation):
    place.write("a.yaml", job("a", SAYS, parameters=DECLARED))
    place.serve()
    lines = [" ".join(line.split()) for line in place.run("describe", "a").stdout.splitlines()]
    assert "full (boolean, default false) Import everything" in lines
    assert "count (integer, no default)" in lines
    assert "mode (string, one of fast, full, default fast)" in lines
    assert "name (string, matching [a-z]+, no default)" in lines


def test_what_does_not_fit_is_refused_at_once_with_what_would(place: Installation):
    place.write("a.yaml", job("a", SAYS, parameters=DECLARED))
    place.serve()
    for given, expected in {
        "full=perhaps": "`perhaps` is not a boolean",
        "count=1.5": "`1.5` is not an integer",
        "mode=slow": "`slow` is none of `fast`, `full`",
        "name=X1": "does not match `[a-z]+`",
        "ful=yes": "did you mean `full`?",
        "full": "write NAME=VALUE",
    }.items():
        done = place.run("run", "a", "--param", given)
        assert (done.returncode, expected in done.stderr) == (64, True), done.stderr
    assert not (place.root / "jobs.d" / "run").exists()


def test_a_request_file_with_wrong_parameters_never_runs_and_all_of_it_is_said(place: Installation):
    place.write("a.yaml", job("a", SAYS, parameters=DECLARED))
    place.serve()
    place.write("run/1.yaml", request("one", full="perhaps", zip=1))
    place.write("run/2.yaml", request("two", full=True))
    place.wait_runs("a", "success")
    until(lambda: "jobs.d/run/1.yaml" in place.run("status").stdout)
    said = place.run("validate").stdout
    assert "`full`: `perhaps` is not a boolean" in said
    assert "no parameter `zip`" in said
    assert [run["run"] for run in place.runs("a")] == ["r-two"]
    assert [item["name"] for item in place.json("get", "requests")["items"]] == ["two"]
    assert " 1 " in place.run("get", "requests").stdout.splitlines()[1], "its runs are counted"


def test_a_request_that_waits_while_its_job_changes_is_refused_by_what_the_job_is_then(place: Installation):
    place.write("a.yaml", job("a", f"{SAYS}; {place.gate()}", parameters=DECLARED, concurrency="queue"))
    place.serve()
    assert place.run("run", "a").returncode == 0
    place.wait_runs("a", "running")
    assert place.run("run", "a", "--param", "count=7").returncode == 0
    until(lambda: len(place.runs("a")) == 2)
    place.write("a.yaml", job("a", "true", concurrency="queue"))
    until(lambda: "parameters" not in place.json("describe", "a")["definition"]["spec"])
    place.open_gate()
    (run,) = place.wait_runs("a", "failure")
    assert run["reason"] == "StartFailed"
    assert "no parameter `count`" in place.run("history", "a").stdout

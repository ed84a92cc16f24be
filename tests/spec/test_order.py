"""What an attempt is started with: exactly its environment, its argv, and its parameters."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.model import TargetId
from reconciler.spec.order import Account, RunFacts, Site, make_order, probe_order
from reconciler.spec.parameters import check_parameters, read_parameter
from tests.spec.building import job, objects

ACCOUNT = Account("svc", "/home/svc", "/bin/bash")
SITE = Site(ACCOUNT, default_user="nobody", secrets_folder="/run/secrets", log_bytes=1024)
FACTS = RunFacts(
    TargetId("ldap", "acme.example"),
    "20261122T103000Z",
    2,
    group="g1",
    slot="2026-11-22T10:30:00Z",
    trigger="schedule",
    revision="abc",
    last_success="2026-11-21T10:30:00Z",
    state_folder="/var/lib/reconciler/x",
)


def spec(**fields: Any) -> dict[str, Any]:
    [found] = objects(job("ldap", **fields)).values()
    return found.spec


def test_a_run_gets_exactly_its_environment_and_nothing_of_the_daemons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RECONCILE_STATE", "/daemon")
    monkeypatch.setenv("LD_PRELOAD", "x.so")
    order = make_order(
        spec(environment={"A": "job", "B": "job"}), {"environment": {"B": "domain"}}, FACTS, SITE
    )
    assert order.environment == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/home/svc",
        "USER": "svc",
        "LOGNAME": "svc",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "A": "job",
        "B": "domain",
        "RECONCILE_JOB": "ldap",
        "RECONCILE_DOMAIN": "acme.example",
        "RECONCILE_RUN": "20261122T103000Z",
        "RECONCILE_GROUP": "g1",
        "RECONCILE_SLOT": "2026-11-22T10:30:00Z",
        "RECONCILE_TRIGGER": "schedule",
        "RECONCILE_ATTEMPT": "2",
        "RECONCILE_REVISION": "abc",
        "RECONCILE_LAST_SUCCESS": "2026-11-21T10:30:00Z",
        "RECONCILE_STATE_DIR": "/var/lib/reconciler/x",
    }


def test_names_in_a_command_are_replaced_once_and_a_doubled_dollar_stays_literal() -> None:
    command = ["x", "--domain=$(RECONCILE_DOMAIN)", "$(A)", "$$(A)", "$A", "$(A)$(A)"]
    order = make_order(spec(command=command, environment={"A": "$(B); rm"}), None, FACTS, SITE)
    assert order.argv == ("x", "--domain=acme.example", "$(B); rm", "$(A)", "$A", "$(B); rm$(B); rm")


def test_nothing_is_replaced_in_the_text_of_a_script() -> None:
    order = make_order(spec(script="echo $(hostname) $(RECONCILE_JOB)\n"), None, FACTS, SITE)
    assert order.argv == ("/bin/sh", "-eu", "-c", "echo $(hostname) $(RECONCILE_JOB)\n", "ldap")
    assert make_order(spec(script="x", shell=["/bin/bash"]), None, FACTS, SITE).argv[:2] == (
        "/bin/bash",
        "-c",
    )


def test_secrets_are_named_and_never_in_the_environment() -> None:
    order = make_order(spec(secrets={"PW": "ldap"}), {"environment": {"PW": "from the domain"}}, FACTS, SITE)
    assert order.secrets == {"PW": "ldap"}
    assert "PW" not in order.environment
    assert order.secrets_folder == "/run/secrets"


def test_limits_user_and_times_are_numbers_in_the_order() -> None:
    limits = {
        "memory": "1MiB",
        "cpuTime": "2m",
        "openFiles": 64,
        "fileSize": "1KiB",
        "nice": 5,
        "ioPriority": "idle",
    }
    fields = {
        "user": "root",
        "group": "adm",
        "umask": "027",
        "timeout": "1h30m",
        "stopSignal": "INT",
        "stopGrace": "0s",
    }
    order = make_order(spec(limits=limits, workingDirectory="/srv", **fields), None, FACTS, SITE)
    assert order.limits is not None
    assert (order.limits.memory_bytes, order.limits.cpu_seconds, order.limits.file_size_bytes) == (
        1 << 20,
        120,
        1024,
    )
    assert (order.limits.open_files, order.limits.nice, order.limits.io_priority) == (64, 5, "idle")
    assert (order.user, order.group, order.umask, order.working_directory) == ("root", "adm", 0o27, "/srv")
    assert (order.timeout_seconds, order.stop_signal, order.stop_grace_seconds) == (5400, "INT", 0)
    assert order.log_bytes == 1024


def test_without_fields_the_defaults_hold() -> None:
    order = make_order(spec(), None, FACTS, SITE)
    assert (order.user, order.group, order.umask, order.working_directory) == ("nobody", None, 0o22, "/")
    assert (order.timeout_seconds, order.stop_signal, order.stop_grace_seconds, order.limits) == (
        None,
        "TERM",
        10,
        None,
    )
    assert order.attempt.path == "acme.example/ldap/20261122T103000Z/2"


def test_a_probe_has_the_jobs_environment_and_ends_by_itself() -> None:
    probed = spec(automatic={"probe": {"command": ["test", "-s", "/spool/$(RECONCILE_DOMAIN)"]}})
    order = probe_order(probed, None, FACTS, SITE)
    assert order.argv == ("test", "-s", "/spool/acme.example")
    assert order.timeout_seconds == 300


PARAMETERS = {
    "parameters": {
        "full": {"type": "boolean", "default": False},
        "limit": {"type": "integer"},
        "ratio": {"type": "number", "default": 0.5},
        "mode": {"enum": ["fast", "slow"], "default": "fast"},
        "prefix": {"pattern": "[a-z]+"},
    }
}


def test_parameters_are_the_given_values_over_the_defaults() -> None:
    values, errors = check_parameters(spec(**PARAMETERS), {"full": True, "limit": 3, "prefix": "abc"})
    assert errors == []
    assert values == {"full": True, "limit": 3, "ratio": 0.5, "mode": "fast", "prefix": "abc"}
    facts = RunFacts(TargetId("ldap"), "r", 1, parameters=values)
    order = make_order(spec(**PARAMETERS), None, facts, SITE)
    found = {name: value for name, value in order.environment.items() if name.startswith("RECONCILE_PARAM_")}
    assert found["RECONCILE_PARAM_FULL"] == "true"
    assert found["RECONCILE_PARAM_LIMIT"] == "3"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"full": "yes"}, "is not a boolean"),
        ({"full": 1}, "is not a boolean"),
        ({"limit": True}, "is not an integer"),
        ({"limit": 1.5}, "is not an integer"),
        ({"ratio": "1"}, "is not a number"),
        ({"mode": "medium"}, "is none of `fast`, `slow`"),
        ({"prefix": "ABC"}, "does not match"),
        ({"prefix": "abc\n"}, "does not match"),
        ({"prefx": "abc"}, "did you mean `prefix`?"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused_and_said_why(given: dict[str, Any], said: str) -> None:
    values, errors = check_parameters(spec(**PARAMETERS), given)
    assert len(errors) == 1
    assert said in errors[0]
    assert values == {"full": False, "ratio": 0.5, "mode": "fast"}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("boolean", "true", True),
        ("boolean", "No", False),
        ("boolean", "maybe", "maybe"),
        ("integer", "3", 3),
        ("integer", "three", "three"),
        ("number", "0.5", 0.5),
        ("string", "3", "3"),
    ],
)
def test_the_text_of_the_command_line_becomes_a_value_of_the_declared_type(
    kind: str, text: str, value: Any
) -> None:
    assert read_parameter({"type": kind}, text) == value

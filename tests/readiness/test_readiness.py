"""What this machine cannot run is said when it is applied, not by a failed run at night; and it heals by itself."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys

import pytest

from reconciler.engine.readiness import account_faults, limit_faults
from tests.support.installation import Installation, document, job, until

pytestmark = pytest.mark.full


def reasons(place: Installation) -> dict[str, str]:
    return {item["target"]: item["notReady"] for item in place.json("get", "jobs")["items"]}


def test_a_missing_secret_keeps_a_target_waiting_until_it_appears_by_itself(place: Installation):
    place.write("a.yaml", job("a", 'test "$TOKEN" = sesame', secrets={"TOKEN": "token"}))
    place.serve()
    assert "secret missing" in reasons(place)["a"]
    place.run("run", "a")
    until(lambda: "NotReady: secret missing" in place.run("describe", "a").stdout, "it says why it waits")
    (ready,) = [one for one in place.json("describe", "a")["conditions"] if one["type"] == "Ready"]
    assert ready["status"] == "False"
    assert "token" in ready["message"]
    (place.root / "secrets" / "token").write_text("sesame\n")
    place.wait_runs("a", "success")
    until(lambda: reasons(place)["a"] == "", "it is ready now")


def test_a_secret_that_vanishes_is_noticed_before_the_next_run(place: Installation):
    secret = place.root / "secrets" / "token"
    secret.write_text("x")
    place.write("a.yaml", job("a", "true", secrets={"TOKEN": "token"}))
    place.serve()
    assert reasons(place)["a"] == ""
    secret.unlink()
    until(lambda: "token" in reasons(place)["a"])


def test_applying_says_what_cannot_run_here_and_why(place: Installation):
    place.write("u.yaml", job("u", "true", user="nobody-knows"))
    place.write("g.yaml", job("g", "true", group="nobody-knows"))
    place.write("x.yaml", job("x", "true", executor={"name": "mainframe"}))
    place.write("fine.yaml", job("fine", "true"))
    place.serve()
    said = place.run("apply").stderr
    assert "no user `nobody-knows`" in said
    assert "no group `nobody-knows`" in said
    assert "no executor `mainframe` here; there is: local" in said
    assert "fine" not in said
    assert "no user `nobody-knows`" in place.run("validate").stderr
    assert "not ready" in place.run("get", "jobs").stdout
    assert {name for name, why in reasons(place).items() if why} == {"u", "g", "x"}
    assert {item["target"] for item in place.json("get", "jobs", "--status", "not-ready")["items"]} == {
        "u",
        "g",
        "x",
    }


def test_the_default_user_of_the_installation_counts_for_all_jobs(place: Installation):
    if os.geteuid() != 0:
        pytest.skip("only root runs jobs as others")
    place.write("all.yaml", document("Installation", "installation", user="nobody-knows"))
    place.write("a.yaml", job("a", "true"))
    place.serve()
    assert "nobody-knows" in reasons(place)["a"]


AS_NOBODY = """
import json, os, sys
from reconciler.engine.readiness import account_faults, limit_faults
os.setgroups([]); os.setgid({gid}); os.setuid({uid})
print(json.dumps([account_faults("root", None, None), account_faults("{name}", None, "root"),
    account_faults(None, "root", None), limit_faults({{"nice": -5}}), limit_faults({{"nice": 5}})]))
"""


def test_who_is_not_root_can_give_neither_other_users_nor_better_limits():
    if os.geteuid() != 0:
        pytest.skip("only root can become another")
    nobody = pwd.getpwnam("nobody")
    program = AS_NOBODY.format(uid=nobody.pw_uid, gid=nobody.pw_gid, name="nobody")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr
    user, own, group, nicer, meeker = json.loads(done.stdout)
    assert user == ["only root may run it as user `root`, and the reconciler runs as user nobody"]
    assert own == []
    assert group == ["only root may run it as group `root`, and the reconciler runs as user nobody"]
    assert nicer == ["only root may set limits.nice to -5"]
    assert meeker == []


def test_root_can_give_all_of_it():
    if os.geteuid() != 0:
        pytest.skip("for root")
    assert account_faults("nobody", None, None) == []
    assert limit_faults({"nice": -20, "openFiles": 1 << 30}) == []

"""What a person relies on of `reconcile serve`: real files, real processes, real kills."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installation import Installation, document, job, until

pytestmark = pytest.mark.full


def test_a_rejected_file_keeps_its_last_good_version_over_a_restart(place: Installation) -> None:
    place.write("a.yaml", job("a", "echo good"))
    place.serve().terminate()
    place.write("a.yaml", "spec: ]")
    daemon = place.serve()
    assert "1 rejected file" in daemon.said
    done = place.run("run", "a", "--wait")
    assert done.returncode == 0, done.stderr
    assert "good" in place.run("logs", "a").stdout


def test_a_file_that_was_just_written_is_read_again_only_until_its_times_can_be_trusted(place: Installation) -> None:
    place.write("a.yaml", job("a", "echo good"))
    place.serve("--interval", "1s")
    stamp = "SELECT mtime_ns FROM files WHERE path = 'jobs.d/a.yaml'"
    until(lambda: place.rows(stamp)[0][0] > 0, "the stamp that is kept is the file's")


def test_a_run_that_ended_while_no_daemon_lived_has_its_exit_code_end_and_whole_log(place: Installation) -> None:
    gate = place.root / "gate"
    place.write("slow.yaml", job("slow", f"while [ ! -e {gate} ]; do sleep 0.05; done; echo last words; exit 4"))
    daemon = place.serve()
    place.run("run", "slow")
    (run,) = place.wait_runs("slow", "running")
    daemon.kill()
    gate.touch()
    attempt = place.state / "runs" / "_installation" / "slow" / run["run"] / "1"
    until((attempt / "exit").exists, "the runner records the end alone")
    place.serve()
    (run,) = place.wait_runs("slow", "failure")
    assert run["exit_code"] == 4
    assert "last words" in place.run("logs", "slow").stdout


def test_sigterm_ends_the_daemon_and_leaves_the_runs(place: Installation) -> None:
    place.write("slow.yaml", job("slow", "sleep 3; exit 0"))
    daemon = place.serve()
    place.run("run", "slow")
    place.wait_runs("slow", "running")
    assert daemon.terminate() == 0
    place.serve()
    assert place.wait_runs("slow", "success")[0]["attempts"] == 1


def test_a_second_daemon_says_who_holds_the_state(place: Installation) -> None:
    place.write("a.yaml", job("a", "true"))
    first = place.serve()
    second = place.serve(ready=False)
    assert second.process.wait(30) == 1
    assert f"pid {first.process.pid}" in second.said
    assert "is in use by `reconcile serve`" in second.said


def test_health_readiness_and_metrics_are_served(place: Installation) -> None:
    place.write("a.yaml", job("a", "true"))
    daemon = place.serve()
    assert daemon.get("/-/healthy")[0] == 200
    assert daemon.get("/-/ready")[0] == 200
    assert daemon.get("/nothing")[0] == 404
    place.run("run", "a", "--wait")
    place.wait_runs("a", "success")
    series = 'job_last_run_success{domain="_installation",job_name="a"} 1'
    page = until(
        lambda: text if series in (text := daemon.get("/metrics")[1]) else "",
        "the run in the metrics: " + daemon.get("/metrics")[1][:3000],
    )
    assert "reconciler_build_info" in page


def test_systemd_is_told_when_it_is_ready(place: Installation, tmp_path: Path) -> None:
    place.write("a.yaml", job("a", "true"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "notify"))
        link.settimeout(30)
        place.serve(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert b"READY=1" in link.recv(4096)


def test_a_request_is_handled_once_for_ever(place: Installation) -> None:
    place.write("a.yaml", job("a", f"echo ran >> {place.ledger}"))
    daemon = place.serve()
    assert place.run("run", "a", "--wait").returncode == 0
    (file,) = (place.root / "jobs.d" / "run").glob("*.yaml")
    text = file.read_text()
    file.unlink()
    until(lambda: not place.rows("SELECT 1 FROM objects WHERE kind='RunRequest'"))
    place.write("run/again.yaml", text)
    until(lambda: place.rows("SELECT 1 FROM objects WHERE kind='RunRequest'"))
    daemon.terminate()
    place.serve()
    assert place.ledger.read_text() == "ran\n"
    assert len(place.runs("a")) == 1
    (outcome,) = (place.state / "requests" / "_installation").glob("*.yaml")
    assert "accepted" in outcome.read_text()


def test_domain_jobs_run_once_for_each_domain_and_new_domains_join(place: Installation) -> None:
    place.write("d.yaml", document("Domain", "one.example"))
    place.write(
        "j.yaml",
        job("hello", "true", scope="domain", planning={"mode": "automatic"}, automatic={"every": "9h"}),
    )
    place.serve()
    place.wait_runs("hello", "success")
    place.write("e.yaml", document("Domain", "two.example"))
    runs = place.wait_runs("hello", "success", 2)
    assert {run["domain"] for run in runs} == {"one.example", "two.example"}
    place.run("run", "hello", "-A", "--wait")
    groups = place.rows("SELECT DISTINCT group_id FROM runs WHERE trigger='request'")
    assert len(groups) == 1
    assert len(place.rows("SELECT 1 FROM runs WHERE trigger='request'")) == 2


def test_cancel_ends_the_whole_tree(place: Installation) -> None:
    pids = place.root / "pids"
    place.write("tree.yaml", job("tree", f"(setsid sleep 300 & echo $! >> {pids}); echo $$ >> {pids}; sleep 300"))
    place.serve()
    place.run("run", "tree")
    until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    done = place.run("cancel", "tree")
    assert done.returncode == 0, done.stderr
    (run,) = place.wait_runs("tree", "cancelled")
    assert run["reason"] == "CancelledByRequest"
    for pid in pids.read_text().split():
        until(lambda pid=pid: not _lives(int(pid)), f"{pid} is gone")  # type: ignore[misc]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_timeout_is_a_failure_that_says_so(place: Installation) -> None:
    place.write("long.yaml", job("long", "sleep 300", timeout="1s"))
    place.serve()
    done = place.run("run", "long", "--wait")
    assert done.returncode == 10
    assert place.runs("long")[0]["reason"] == "TimedOut"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"command": ["/no/such/program"]}, "/no/such/program"),
        ({"command": ["/etc/passwd"]}, "/etc/passwd"),
        ({"command": ["true"], "workingDirectory": "/no/such/folder"}, "/no/such/folder"),
    ],
)
def test_what_cannot_start_says_what_and_why(place: Installation, spec: dict[str, object], said: str) -> None:
    place.write("j.yaml", job("j", "", **spec))
    place.serve()
    assert place.run("run", "j", "--wait").returncode == 10
    ((state, reason, message),) = place.rows("SELECT state, reason, message FROM runs")
    assert (state, reason) == ("failure", "StartFailed")
    assert said in message


def test_an_exit_by_signal_is_recorded_as_such(place: Installation) -> None:
    place.write("j.yaml", job("j", "kill -SEGV $$"))
    place.serve()
    assert place.run("run", "j", "--wait").returncode == 10
    (run,) = place.runs("j")
    assert (run["reason"], run["signal"], run["exit_code"]) == ("Signal", signal.SIGSEGV, None)


def test_names_with_unicode_and_shell_characters_arrive_as_they_are(place: Installation) -> None:
    words = ["printf", "%s|", "größe $$(id) `id` ; rm -rf 'x' \"y\" *", "日本語"]
    place.write("j.yaml", job("j", "", command=words, environment={"ODD": "a\tb $HOME é"}))
    place.serve()
    assert place.run("run", "j", "--wait").returncode == 0
    assert "größe $(id) `id` ; rm -rf 'x' \"y\" *|日本語|" in place.run("logs", "j").stdout


def test_a_run_gets_exactly_the_environment_that_is_promised(place: Installation) -> None:
    place.write("j.yaml", job("j", "env", environment={"MINE": "yes"}))
    place.serve(env={"LEAK": "from the daemon", "RECONCILE_LEAK": "too"})
    assert place.run("run", "j", "--wait").returncode == 0
    log = next(place.state.glob("runs/_installation/j/*/1/log")).read_text()
    names = {line.partition("=")[0] for line in log.splitlines()}
    promised = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "MINE"}
    told = {"JOB", "DOMAIN", "RUN", "GROUP", "SLOT", "TRIGGER", "ATTEMPT", "REVISION", "LAST_SUCCESS", "STATE_DIR"}
    assert names - {"PWD", "_", "SHLVL", "OLDPWD"} == promised | {f"RECONCILE_{name}" for name in told}


def test_an_emptied_folder_deletes_nothing(place: Installation) -> None:
    place.write("a.yaml", job("a", "true"))
    daemon = place.serve()
    (place.root / "jobs.d" / "a.yaml").unlink()
    until(lambda: json.loads(place.rows("SELECT value FROM meta WHERE key='source'")[0][0]).get("refused"))
    assert place.rows("SELECT gone FROM targets") == [(0,)]
    assert daemon.process.poll() is None


def test_a_removal_of_all_waits_for_the_approval_of_its_digest(place: Installation) -> None:
    for name in "abcd":
        place.write(f"{name}.yaml", job(name, "true"))
    place.serve()
    for name in "abc":
        (place.root / "jobs.d" / f"{name}.yaml").unlink()
    done = place.run("apply")
    assert done.returncode == 5, done.stderr
    assert place.rows("SELECT count(*) FROM targets WHERE gone=0") == [(4,)]
    digest = until(lambda: json.loads(place.rows("SELECT value FROM meta WHERE key='source'")[0][0]).get("prune"))
    assert place.run("apply", "--approve", digest["digest"]).returncode == 0
    assert place.rows("SELECT job FROM targets WHERE gone=0") == [("d",)]


def test_a_state_of_a_newer_version_is_refused_and_left_alone(place: Installation) -> None:
    place.write("a.yaml", job("a", "true"))
    place.run("apply")
    subprocess.run(
        [sys.executable, "-c", "import sqlite3,sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version=99')",
         str(place.state / "state.db")], check=True,
    )  # fmt: skip
    before = (place.state / "state.db").read_bytes()
    daemon = place.serve(ready=False)
    assert daemon.process.wait(30) == 1
    assert "newer version" in daemon.said
    assert (place.state / "state.db").read_bytes() == before


def test_a_corrupt_state_is_refused_and_never_overwritten(place: Installation) -> None:
    place.write("a.yaml", job("a", "true"))
    place.state.mkdir()
    (place.state / "state.db").write_bytes(b"this is no database " * 500)
    daemon = place.serve(ready=False)
    assert daemon.process.wait(30) == 1
    assert "It was left as it is" in daemon.said
    assert (place.state / "state.db").read_bytes() == b"this is no database " * 500


def test_a_million_lines_in_a_second_are_counted_and_slow_nobody_down(place: Installation) -> None:
    loud = "yes 'a line of a loud job' | head -n 1000000; echo ::warning::that was much"
    place.write("loud.yaml", job("loud", loud, warnings={"level": "warning"}))
    place.serve()
    assert place.run("run", "loud", "--wait").returncode == 11
    (run,) = place.runs("loud")
    assert run["lines"] == 1_000_001
    assert run["state"] == "warning"


def test_children_that_keep_the_log_open_do_not_keep_the_run(place: Installation) -> None:
    place.write("parent.yaml", job("parent", "sleep 300 & echo left; exit 0"))
    place.serve()
    assert place.run("run", "parent", "--wait").returncode == 0
    assert place.runs("parent")[0]["state"] == "success"


def test_after_and_probe_start_what_waits_for_them(place: Installation) -> None:
    flag = place.root / "todo"
    place.write("first.yaml", job("first", "true"))
    place.write("second.yaml", job("second", "true", planning={"mode": "automatic"}, automatic={"after": ["first"]}))
    probe = {"command": ["test", "-s", str(flag)], "every": "1s"}
    place.write(
        "third.yaml", job("third", f": > {flag}", planning={"mode": "automatic"}, automatic={"probe": probe})
    )
    place.serve()
    assert place.run("run", "first", "--wait").returncode == 0
    place.wait_runs("second", "success")
    assert place.runs("third") == []
    flag.write_text("something to do")
    place.wait_runs("third", "success")


def test_a_held_removal_keeps_the_planning_that_a_domain_chose(place: Installation) -> None:
    place.write("d.yaml", document("Domain", "one.example"))
    place.write("j.yaml", job("hello", "true", scope="domain"))
    chosen = document("Planning", "hello", mode="scheduled", schedule={"cron": "7 3 * * *"})
    place.write("domains/one.example/hello.yaml", chosen)
    place.serve()
    before = place.rows("SELECT mode, planning, schedule_digest FROM targets")
    assert before[0][:2] == ("scheduled", "7 3 * * *")
    (place.root / "jobs.d" / "j.yaml").unlink()
    assert place.run("apply").returncode == 5
    assert place.rows("SELECT mode, planning, schedule_digest FROM targets") == before
    place.write("j.yaml", job("hello", "true", scope="domain"))
    assert place.run("apply").returncode == 0
    assert place.rows("SELECT mode, planning, schedule_digest FROM targets") == before


def test_a_daemon_that_cannot_start_its_runner_says_so_and_goes_on_when_it_can(place: Installation) -> None:
    place.write("j.yaml", job("j", "exit 5"))
    python = place.root / "python"
    python.symlink_to(sys.executable)
    place.python = str(python)
    daemon = place.serve(env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)})
    python.unlink()
    place.run("run", "j")
    until(lambda: "could not start the runner" in daemon.said, "it says so")
    assert daemon.get("/-/ready")[0] == 503
    python.symlink_to(sys.executable)
    assert place.wait_runs("j", "failure")[0]["exit_code"] == 5
    until(lambda: daemon.get("/-/ready")[0] == 200, "it is ready again")

"""The value of a secret is nowhere but in its file, in the run, and in the log that the run itself wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.installation import Installation, document, job, until

pytestmark = pytest.mark.full

VALUE = "s3same-0pen-door"
KEY = ["-----BEGIN KEY-----", "b64lineOneOfKey", "b64lineTwoOfKey"]
SAYS = r"""
echo "token $TOKEN"
echo "::error::$TOKEN was refused"
echo "{\"level\": \"warning\", \"msg\": \"$TOKEN\"}"
echo "<3>$TOKEN"
echo "$KEY"
printf '%s\r50%%\n' "$TOKEN"
echo "::progress 40"
tr '\0' ' ' < /proc/$$/cmdline
exit 3
"""
HIDDEN = (VALUE, *KEY[1:])


def hold(place: Installation) -> None:
    (place.root / "secrets" / "token").write_text(VALUE + "\n")
    (place.root / "secrets" / "key").write_text("\n".join(KEY) + "\n")


def shows(text: str) -> list[str]:
    return [value for value in HIDDEN if value in text]


def test_no_file_of_the_state_and_nothing_that_is_printed_shows_a_secret(place: Installation):
    hold(place)
    secrets = {"TOKEN": "token", "KEY": "key"}
    place.write("all.yaml", document("Installation", "installation"))
    place.write("a.yaml", job("a", SAYS, secrets=secrets, retry={"attempts": 2, "delay": "1s"}))
    place.write("gone.yaml", job("gone", "true", secrets={**secrets, "MORE": "more"}))
    place.write("broken.yaml", job("broken", "true", secrets=secrets, workingDirectory="/nowhere/at/all"))
    daemon = place.serve()
    place.run("run", "a", "broken", "--wait")
    place.run("run", "gone")
    until(lambda: "waits" in place.run("describe", "gone").stdout)
    (run,) = place.wait_runs("a", "failure")
    name = f"a/{run['run']}"
    until((place.state / "runs/_installation/a" / run["run"] / "run.yaml").exists)
    calls = (
        ["logs", "a"], ["logs", "a", "-o", "json"], ["logs", "a", "--attempt", "1"], ["logs", "a", "--tail", "2"],
        ["logs", "a", "--level", "error", "-o", "yaml"], ["describe", "a"], ["describe", name, "-o", "json"],
        ["get", "jobs", "-o", "json"], ["get", "runs", "-o", "yaml"], ["history", "a", "-o", "wide"], ["events"],
        ["events", "-o", "json"], ["status", "-o", "json"], ["plan"], ["plan", "-o", "json"], ["validate"],
        ["doctor", "--secrets", str(place.root / "secrets")], ["forecast"], ["report", "--preview", name],
        ["describe", "broken"], ["logs", "gone"], ["apply"],
    )  # fmt: skip
    for call in calls:
        done = place.run(*call)
        assert shows(done.stdout + done.stderr) == [], call
        # The doctor finds the secret that is missing; what waits for it has never run.
        assert done.returncode == (1 if call[0] == "doctor" else 6 if call == ["logs", "gone"] else 0), done
    assert "*** was refused" in place.run("logs", "a", "--level", "error").stdout
    assert place.run("logs", "a", "--grep", VALUE).stdout == "", "a search does not find what is not shown"
    status, page = daemon.get("/metrics")
    assert (status, shows(page)) == (200, [])
    assert shows(daemon.said) == []
    daemon.terminate()
    logs = [path for path in place.state.rglob("*") if path.is_file() and path.name == "log"]
    assert any(VALUE in path.read_text() for path in logs), "the run did say it"
    for path in place.state.rglob("*"):
        if path.is_file() and path not in logs:
            assert shows(path.read_bytes().decode("utf-8", "replace")) == [], path


def test_while_it_runs_the_command_lines_of_all_processes_do_not_show_it(place: Installation):
    hold(place)
    place.write("a.yaml", job("a", "sleep 30; :", secrets={"TOKEN": "token"}))
    place.serve()
    place.run("run", "a")
    place.wait_runs("a", "running")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            assert shows(words) == []


def test_a_secret_in_a_command_is_refused_with_how_to_do_it(place: Installation):
    hold(place)
    place.write("a.yaml", job("a", "true", secrets={"TOKEN": "token"}, command=["curl", "$(TOKEN)"]))
    done = place.run("validate")
    assert done.returncode == 3
    assert "TOKEN" in done.stdout


def test_where_a_value_is_not_known_any_more_the_reader_is_told_that_it_may_be_seen(place: Installation):
    hold(place)
    place.write("a.yaml", job("a", "echo $TOKEN", secrets={"TOKEN": "token"}))
    place.serve()
    assert place.run("run", "a", "--wait").returncode == 0
    assert "not masked" not in place.run("logs", "a").stderr
    (place.root / "secrets" / "token").unlink()
    assert "not masked: token" in place.run("logs", "a").stderr

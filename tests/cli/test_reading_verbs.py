"""What the reading verbs show."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.doctoring import Subject
from reconciler.cli.doctoring.runs import findings as runs_findings
from reconciler.cli.doctoring.state import findings as state_findings
from reconciler.cli.exits import Exit, Failure
from reconciler.cli.out import Column, cut, table, width_of
from reconciler.cli.times import ago, span
from reconciler.outputs import Outputs
from reconciler.store.schema import VERSION
from reconciler.store.tokens import handled_in
from tests.support import database
from tests.support.database import NOON

from .conftest import Cli


@pytest.mark.usefixtures("state")
def test_a_list_has_icons_with_words_and_aligned_columns(cli: Cli) -> None:
    lines = cli("get", "jobs").out.splitlines()
    assert lines[0].split()[:4] == ["STATUS", "JOB", "DOMAIN", "PLANNING"]
    assert lines[1].startswith("✔ success  backup")
    assert lines[2].startswith("✘ failure  import")
    assert lines[3].startswith("– never    import")
    assert "2 failures in a row" in lines[2]
    assert {line.index("30 2 * * *") for line in lines[1:]} == {lines[0].index("PLANNING")}
    assert "\033" not in "".join(lines)


@pytest.mark.usefixtures("state")
def test_one_list_in_every_form(cli: Cli) -> None:
    items = json.loads(cli("get", "jobs", "-o", "json").out)["items"]
    assert [item["target"] for item in items] == ["backup", "import@acme.example", "import@globex.example"]
    assert items[1]["lastRun"]["startedAt"] == "2026-11-22T12:00:00Z"
    from ruamel.yaml import YAML

    assert YAML(typ="safe").load(cli("get", "jobs", "-o", "yaml").out)["items"] == items
    assert cli("get", "jobs", "-o", "name").out.split() == [item["target"] for item in items]
    assert cli("get", "jobs", "-o", "markdown").out.splitlines()[1].startswith("|---|")
    assert "jobs" not in cli("get", "runs", "-o", "wide").out


@pytest.mark.parametrize(
    ("filters", "targets"),
    [
        (["--status", "failure"], ["import@acme.example"]),
        (["--status", "never,success"], ["backup", "import@globex.example"]),
        (["--contains", "EVERYTHING"], ["backup"]),
        (["--contains", "acme"], ["import@acme.example"]),
        (["-l", "team=ops"], ["backup"]),
        (["-l", "team!=ops"], ["import@acme.example", "import@globex.example"]),
        (["-l", "team"], ["backup"]),
        (["-n", "_installation"], ["backup"]),
        (["--limit", "1"], ["backup"]),
        (["import"], ["import@acme.example", "import@globex.example"]),
    ],
)
@pytest.mark.usefixtures("state")
def test_filters_narrow_a_list(cli: Cli, filters: list[str], targets: list[str]) -> None:
    assert cli("get", "jobs", *filters, "-o", "name").out.split() == targets


def test_runs_are_listed_newest_first_and_by_job(cli: Cli, state: sqlite3.Connection) -> None:
    database.ran(
        state, "backup", "", "20261122T130000Z", "missed", started=None, count=4, first=NOON, slot=NOON + 9
    )
    lines = cli("history", "backup").out.splitlines()
    assert lines[1].startswith("! missed ×4")
    assert lines[2].startswith("✔ success")
    assert (
        cli("get", "runs", "--status", "failure", "-o", "name").out
        == "import@acme.example/20261122T120000Z\n"
    )


def test_unread_is_until_the_log_was_opened(cli: Cli, state: sqlite3.Connection) -> None:
    state.execute("UPDATE targets SET log_run = 7, log_lines = 3 WHERE job = 'backup'")
    assert cli("--as", "root", "get", "jobs", "--status", "unread", "-o", "name").out == "backup\n"
    database.insert(state, "marks", administrator="root", job="backup", domain="", log_run=7, log_lines=3)
    assert cli("--as", "root", "get", "jobs", "--status", "unread", "-o", "name").out == ""
    state.execute("UPDATE targets SET log_lines = 4")
    assert cli("--as", "root", "get", "jobs", "--status", "unread", "-o", "name").out == "backup\n"


@pytest.mark.usefixtures("state")
def test_a_domain_administrator_meets_nothing_of_anybody_else(cli: Cli) -> None:
    def shown(*arguments: str) -> str:
        said = cli("--as", "alice", *arguments)
        return said.out + said.err

    for arguments in (
        ["get", "jobs", "-o", "wide"],
        ["get", "jobs", "-o", "json"],
        ["get", "runs", "-o", "json"],
        ["get", "domains", "-o", "json"],
        ["get", "administrators", "-o", "json"],
        ["get", "requests"],
        ["events"],
        ["status", "-o", "json"],
        ["describe", "import", "-o", "json"],
        ["describe", "domain/acme.example", "-o", "json"],
        ["history", "import"],
        ["get", "jobs", "bakup"],
        ["get", "jobs", "-n", "globex.exampel"],
    ):
        text = shown(*arguments)
        assert "globex.example" not in text, arguments
        assert "backup" not in text.replace("bakup", ""), arguments
        assert '"root"' not in text, arguments
    assert json.loads(cli("--as", "alice", "status", "-o", "json").out)["targets"]["targets"] == 1
    for name in ("backup", "import@globex.example", "backup/20261122T120000Z"):
        hidden, missing = cli("--as", "alice", "describe", name), cli("--as", "alice", "describe", "nosuch")
        assert hidden.code == missing.code == Exit.NOT_FOUND
        assert cli("--as", "alice", "logs", name).code == Exit.NOT_FOUND
    assert cli("--as", "alice", "get", "jobs", "-n", "globex.example").code == Exit.NOT_FOUND


def test_logs_are_filtered_and_followed_to_their_end(
    cli: Cli, repository: Path, state: sqlite3.Connection
) -> None:
    folder = database.attempt(
        repository / ".reconcile", "backup", "", "20261122T120000Z", log=b"one\n::error::two\n\x1b[31mred\n"
    )
    os.utime(folder / "log", (NOON, NOON))
    (folder / "exit").write_text("")
    said = cli("logs", "backup")
    assert [line[10:] for line in said.out.splitlines()] == ["  one", "✘ two", "  ␛[31mred"]
    assert cli("logs", "-f", "backup", "--level", "error").out.endswith("✘ two\n")
    items = json.loads(cli("logs", "backup", "--tail", "1", "-o", "json").out)["items"]
    assert items == [{"at": "2026-11-22T12:00:00Z", "late": False, "level": "info", "text": "␛[31mred"}]
    said = cli("logs", "import@globex.example")
    assert (said.code, "never run" in said.err) == (Exit.NOT_FOUND, True)


def test_describe_puts_together_what_is_known(cli: Cli, state: sqlite3.Connection) -> None:
    database.insert(
        state, "facts", at=NOON, job="import", domain="acme.example", kind="Finished", run="20261122T120000Z",
        body={"run": "20261122T120000Z", "state": "failure", "reason": "ExitCode"},
    )  # fmt: skip
    text = cli("describe", "job/import", "-n", "acme.example").out
    for part in (
        "import@acme.example",
        "✘ failure",
        "Conditions",
        "full (boolean, default false)",
        "Recent events",
    ):
        assert part in text
    run = json.loads(cli("describe", "run/import@acme.example/20261122T120000Z", "-o", "json").out)
    assert (run["item"]["exitCode"], run["events"][0]["kind"]) == (2, "Finished")
    assert "ACME" in cli("describe", "domain", "acme.example").out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0s"),
        (9.96, "10.0s"),
        (59, "59s"),
        (250, "4m10s"),
        (3600, "1h"),
        (7500, "2h5m"),
        (100_000, "1d3h"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_instants_are_relative_to_now() -> None:
    assert ago("2026-11-22T11:59:00Z", NOON) == "1m ago"
    assert ago("2026-11-22T14:05:00Z", NOON) == "in 2h5m"
    assert ago("2026-11-22T12:00:00Z", NOON) == "now"
    assert ago(None, NOON) == "–"


def test_wide_characters_take_two_cells_in_a_table() -> None:
    columns = [Column("NAME", lambda item: item["name"]), Column("NEXT", lambda item: "x")]
    lines = table([{"name": "日本"}, {"name": "ab"}], columns).splitlines()
    assert [width_of(line) for line in lines[1:]] == [7, 7]
    assert cut("日本語", 5) == "日本…"


def test_a_hostile_description_cannot_move_the_cursor(cli: Cli, state: sqlite3.Connection) -> None:
    state.execute("UPDATE targets SET description = ? WHERE job = 'backup'", ("\x1b[2J\ngone",))
    out = cli("get", "jobs", "-o", "wide").out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 4


@pytest.mark.usefixtures("state")
def test_watching_shows_in_place_until_ctrl_c(repository: Path) -> None:
    import pty
    import signal
    import subprocess
    import sys

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "get", "jobs", "-w"], cwd=repository, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    while b"import" not in seen:
        seen += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == Exit.INTERRUPTED
    os.close(ours)
    assert seen.startswith(b"\x1b[2J\x1b[H")
    assert "\033[32m✔ success\033[0m".encode() in seen
    assert b"Traceback" not in seen


def test_the_path_of_the_state_may_have_any_character(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "a#b?c=d%41 &é"
    connection = database.make(folder)
    connection.execute("PRAGMA application_id = 0x7265636F")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    database.target(connection, "backup")
    database.insert(connection, "tokens", token="t", digest="d", handled=NOON, outcome="accepted", body="{}")
    connection.close()
    assert cli("--state", str(folder), "get", "jobs", "-o", "name").out == "backup\n"
    assert handled_in(folder / "state.db")("t")
    outputs = Outputs(folder)
    page = outputs["metrics"].page()  # type: ignore[attr-defined]
    outputs.close(NOON)
    assert b"reconciler_targets" in page
    assert (folder / "metrics.prom").exists()
    subject = Subject(str(folder), "", "", NOON)
    assert subject.rows("SELECT job FROM targets") == [("backup",)]
    assert not [each for each in state_findings(subject) if each.check == "state" and each.severity != "ok"]
    assert subject.database is not None
    subject.database.close()
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_only_a_run_that_was_running_has_ended_without_a_daemon(
    state: sqlite3.Connection, repository: Path
) -> None:
    folder = repository / ".reconcile"
    for run, is_in in (("20261122T130000Z", "queued"), ("20261122T140000Z", "running")):
        database.ran(state, "backup", "", run, is_in)
        lines = [{"target": "backup"}, {"pid": 1, "ticks": 1, "boot": "b"}]
        attempt = database.attempt(folder, "backup", "", run)
        (attempt / "order.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    subject = Subject(str(folder), "", "", NOON)
    said = [each.message for each in runs_findings(subject) if "ended while" in each.message]
    assert said == ["1 runs ended while no daemon was there: _installation/backup/20261122T140000Z/1"]
    assert subject.database is not None
    subject.database.close()


@pytest.mark.parametrize(("form", "first"), [("json", '{"seq": 1,'), ("name", "1"), ("table", "")])
@pytest.mark.usefixtures("state")
def test_events_are_watched_in_the_form_that_was_asked_for(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, form: str, first: str
) -> None:
    answers = iter([[], [1, 2], [3]])

    def read(*_: object, **__: object) -> dict[str, Any]:
        found = next(answers, None)
        if found is None:
            raise Failure(Exit.FAILED, "enough")
        return {
            "items": [{"seq": n, "at": "2026", "target": "a", "kind": "Left", "text": "t"} for n in found]
        }

    monkeypatch.setattr("reconciler.cli.verbs.events.read", read)
    monkeypatch.setattr("reconciler.cli.waiting.pause", lambda seconds: None)
    lines = cli("events", "-w", "-o", form).out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(first)
    if form == "json":
        assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3]


@pytest.mark.parametrize("form", ["yaml", "markdown"])
@pytest.mark.usefixtures("state")
def test_a_document_cannot_be_watched_for_events(cli: Cli, form: str) -> None:
    said = cli("events", "-w", "-o", form)
    assert (said.code, said.out) == (Exit.USAGE, "")


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["-l", "team=ops"], ["acme.example"]),
        (["-l", "team!=ops"], ["globex.example"]),
        (["-l", "team"], ["acme.example"]),
        (["-l", "team= ops"], ["acme.example"]),
        (["--contains", "ACME"], ["acme.example"]),
        (["-n", "globex.example"], ["globex.example"]),
        ([], ["acme.example", "globex.example"]),
    ],
)
def test_domains_are_chosen_by_the_filters_of_targets(
    cli: Cli, state: sqlite3.Connection, filters: list[str], names: list[str]
) -> None:
    state.execute(
        """UPDATE objects SET body = json_set(body, '$.metadata.labels', json('{"team": "ops"}'))"""
        " WHERE kind = 'Domain' AND name = 'acme.example'"
    )
    assert cli("get", "domains", *filters, "-o", "name").out.split() == names


@pytest.mark.usefixtures("state")
def test_a_label_filter_that_means_nothing_is_refused_for_domains_too(cli: Cli) -> None:
    assert cli("get", "domains", "-l", "team!").code == Exit.USAGE

"""crontabs: what runs, when, as whom, with what; and what is said about the rest."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from reconciler.spec.imports import File, Options, convert
from tests.imports.oracles import documents, imported, only_job, slots


def test_a_simple_entry_is_a_command_that_is_planned_as_cron_does_it() -> None:
    job = only_job(imported("crontab", "30 2 * * 1-5 /usr/local/bin/backup.sh --all\n", time_zone="Europe/Paris"))
    assert job == {
        "command": ["/usr/local/bin/backup.sh", "--all"],
        "planning": {
            "mode": "scheduled",
            "schedule": {"cron": "30 2 * * 1-5", "timeZone": "Europe/Paris", "catchUp": "none"},
        },
        "concurrency": "allow",
    }


def test_what_needs_a_shell_is_a_script_of_the_shell_that_cron_takes() -> None:
    text = "* * * * * cd /srv && ./poll > /dev/null 2>&1\nSHELL=/bin/bash\n0 1 * * * /bin/one\n"
    poll, one = documents(imported("crontab", text).documents_yaml).values()
    assert (poll["script"], poll["shell"]) == ("cd /srv && ./poll > /dev/null 2>&1\n", ["/bin/sh"])
    assert (one["script"], one["shell"]) == ("/bin/one\n", ["/bin/bash"])


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("cat%one%two", "one\ntwo\n"),
        ("cat%one%%two%", "one\n\ntwo\n"),
        (r"cat%50 \% off", "50 % off\n"),
        (r"printf '\%s\n' x", "x\n"),
        ("cat; cat%b%INPUT%c $HOME `date`", "b\nINPUT\nc $HOME `date`\n"),
        ("false; echo goes on", "goes on\n"),
    ],
)
def test_a_percent_sign_feeds_the_command_what_follows_it(command: str, output: str) -> None:
    job = only_job(imported("crontab", f"0 0 * * * {command}\n"))
    result = subprocess.run([*job["shell"], "-c", job["script"]], capture_output=True, text=True)
    assert result.stdout == output


def test_the_system_form_has_a_user_before_the_command() -> None:
    text = "SHELL=/bin/sh\nPATH=/usr/sbin:/usr/bin\n17 * * * * root cd / && run-parts --report /etc/cron.hourly\n"
    (name, job), = documents(imported("crontab", text, "/etc/crontab").documents_yaml).items()  # fmt: skip
    assert (name, job["user"]) == ("cron-hourly", "root")
    assert job["script"] == "cd / && run-parts --report /etc/cron.hourly\n"
    assert job["environment"]["PATH"] == "/usr/sbin:/usr/bin"


@pytest.mark.parametrize(
    ("name", "user"),
    [("/etc/cron.d/certbot", "www"), ("/var/spool/cron/crontabs/joe", "joe"), ("mine.txt", None)],
)
def test_the_path_of_a_file_tells_whose_it_is(name: str, user: str | None) -> None:
    job = only_job(imported("crontab", "0 1 * * * www run it\n", name))
    assert job.get("user") == user
    assert job["command"][0] == ("run" if user == "www" else "www")


def test_the_user_column_can_be_told() -> None:
    assert only_job(imported("crontab", "0 1 * * * www run it\n", user_column=True))["user"] == "www"


def test_variables_hold_for_the_entries_that_follow() -> None:
    text = 'A = "x y"\n0 1 * * * one\nB=2\nA=\n0 2 * * * two\n'
    one, two = documents(imported("crontab", text).documents_yaml).values()
    assert one["environment"] == {"A": "x y"}
    assert two["environment"] == {"A": "", "B": "2"}


def test_cron_tz_is_the_zone_of_what_follows_and_tz_only_a_variable() -> None:
    text = "TZ=Asia/Tokyo\n0 1 * * * one\nCRON_TZ=America/New_York\n0 2 * * * two\n"
    one, two = documents(imported("crontab", text, time_zone="UTC").documents_yaml).values()
    assert one["planning"]["schedule"]["timeZone"] == "UTC"
    assert two["planning"]["schedule"]["timeZone"] == "America/New_York"
    assert two["environment"] == {"TZ": "Asia/Tokyo"}


def test_mailto_names_the_recipients_and_an_empty_one_nobody() -> None:
    text = 'MAILTO=a@example.org,b@example.org\n0 1 * * * one\nMAILTO=""\n0 2 * * * two\nMAILTO=root\n0 3 * * * three\n'
    result = imported("crontab", text)
    one, two, three = documents(result.documents_yaml).values()
    assert one["report"] == {"send": True, "recipients": ["a@example.org", "b@example.org"]}
    assert two["report"] == {"send": False}
    assert "report" not in three
    assert any("MAILTO=root" in remark.text for remark in result.remarks)


def test_comments_stay_with_the_entry_that_they_stand_above() -> None:
    text = "# About backups\n\n# nightly\n0 1 * * * one\n0 2 * * * two\n# the end\n"
    yaml = imported("crontab", text).documents_yaml
    one, two = yaml.split("---\n")
    assert one.index("# About backups") < one.index("# nightly") < one.index("kind: Job")
    assert "# the end" in two


def test_names_come_from_the_commands_and_are_unique() -> None:
    commands = ["/opt/x/sync.py", "python3 /opt/x/sync.py", "[ -x /bin/sync.py ] && nice -n 5 /bin/sync.py",
                "FOO=1 Sync", "flock -n /tmp/l sync.sh", "sh -c 'sync'", "/Übung/Prüfe",
                "test -e /x && sudo -u joe sync"]  # fmt: skip
    text = "".join(f"0 1 * * * {command}\n" for command in commands)
    assert [*documents(imported("crontab", text).documents_yaml)] == [
        "sync", "sync-2", "sync-3", "sync-4", "sync-5", "job", "prufe", "sync-6"
    ]  # fmt: skip


@pytest.mark.parametrize("when", ["@reboot", "~ 3 * * *", "0 25 * * *", "0 0 30 2 *"])
def test_a_time_that_we_cannot_say_leaves_the_job_disabled_and_says_so(when: str) -> None:
    line = f"{when} /bin/start"
    result = imported("crontab", line, time_zone="UTC")
    assert only_job(result)["planning"] == {"mode": "disabled"}
    assert [remark.place for remark in result.remarks] == ["file:1"]
    assert f"# file:1: {line}" in result.documents_yaml
    assert "NOTE: " in result.documents_yaml


def test_what_is_no_entry_is_said_with_its_line() -> None:
    result = imported("crontab", "nonsense\n0 1 * * * root\n", "/etc/cron.d/x")
    assert [remark.place for remark in result.remarks] == ["/etc/cron.d/x:1", "/etc/cron.d/x:2"]
    assert "nonsense" in result.documents_yaml


def test_what_we_would_refuse_stands_behind_comment_signs() -> None:
    result = imported("crontab", "CRON_TZ=Mars/Olympus\n0 1 * * * one\nCRON_TZ=UTC\n0 2 * * * two\n")
    assert [*documents(result.documents_yaml)] == ["two"]
    assert "# metadata: {name: one}" in result.documents_yaml
    assert any("Mars/Olympus" in remark.text for remark in result.remarks)


def test_without_a_zone_the_person_is_told_whose_clock_counts() -> None:
    (remark,) = imported("crontab", "0 1 * * * one\n").remarks
    assert "zone" in remark.text


@pytest.mark.parametrize(
    "expression",
    ["30 2 * * *", "*/15 * * * *", "0 2 * * 1-5", "5 4 1,15 * fri", "0 0 */2 * sun", "15 */3 * * *", "@daily",
     "@weekly", "0 22-23,0-2 * * *", "7 1-23/4 * jan,jul mon", "0 0 29 2 *", "*/7 2 * * *", "1 2 * * 7"],
)  # fmt: skip
@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York"])
def test_a_forecast_is_what_an_independent_reading_of_debians_rules_gives(expression: str, zone: str) -> None:
    spelled = {"@daily": "0 0 * * *", "@weekly": "0 0 * * 0"}.get(expression, expression)
    schedule = only_job(imported("crontab", f"{expression} run\n", time_zone=zone))["planning"]["schedule"]
    for start in (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 10, 20, tzinfo=UTC)):
        oracle = CronSim(spelled, start.astimezone(ZoneInfo(zone)))
        assert slots(schedule, start, 40) == [next(oracle).astimezone(UTC) for _ in range(40)]


def test_any_text_is_imported_without_an_exception() -> None:
    entry = "0 0 * * * \x07\x1b[31m%\u2028"
    for text in ("\x00", "%%%", "* * * * *", "=\n=x\n", entry, "A='\n0 0 * * * '\n", "@", "🦄 " * 6):
        result = convert("crontab", [File("a\nb", text)], Options(user_column=False))
        assert result.documents_yaml.startswith("# Imported from")

"""systemd timers: the pair of units, drop-ins and templates included, as a job."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reconciler.spec.imports import File, Imported, Options, convert
from reconciler.spec.load import load_file
from tests.imports.oracles import documents

FOLDER = "/etc/systemd/system"


def units(**texts: str) -> Imported:
    """Import units given as `a_timer="..."`, `a_service="..."`."""
    files = [File(f"{FOLDER}/{name.replace('_', '.')}", text) for name, text in texts.items()]
    result = convert("systemd", files, Options(time_zone="Europe/Paris"))
    assert load_file("import.yaml", result.documents_yaml.encode()).diagnostics == ()
    return result


def job_of(timer: str, service: str = "ExecStart=/bin/true") -> tuple[dict[str, Any], Imported]:
    result = units(a_timer=f"[Timer]\n{timer}\n", a_service=f"[Service]\n{service}\n")
    return documents(result.documents_yaml)["a"], result


def test_a_timer_and_its_service_are_one_job() -> None:
    result = units(
        backup_timer="[Unit]\nDescription=Nightly\n[Timer]\nOnCalendar=02:30\nPersistent=true\n[Install]\nWantedBy=x",
        backup_service="# keep\n[Unit]\nDescription=Back up\n[Service]\nType=oneshot\nUser=joe\nGroup=adm\nUMask=0027\n"
        "Environment=\"REPO=/srv/a b\" L=info\nExecStart=/usr/bin/restic backup \\\n  --repo ${REPO}\n"
        "TimeoutStartSec=1h 30min\n"
        "MemoryMax=512M\nNice=10\nLimitNOFILE=1024:4096\nIOSchedulingClass=idle\nKillSignal=SIGINT\nTimeoutStopSec=20\n"
        "WorkingDirectory=/srv\nSuccessExitStatus=3 4\nStandardOutput=journal\n",
    )  # fmt: skip
    assert documents(result.documents_yaml) == {
        "backup": {
            "description": "Back up",
            "command": ["/usr/bin/restic", "backup", "--repo", "$(REPO)"],
            "environment": {"REPO": "/srv/a b", "L": "info"},
            "user": "joe",
            "group": "adm",
            "workingDirectory": "/srv",
            "umask": "027",
            "limits": {"memory": "512MiB", "openFiles": 1024, "nice": 10, "ioPriority": "idle"},
            "timeout": "1h30m",
            "stopGrace": "20s",
            "stopSignal": "INT",
            "warnings": {"exitCodes": [3, 4]},
            "planning": {
                "mode": "scheduled",
                "schedule": {
                    "weekly": {"times": ["02:30"]},
                    "dst": "skip",
                    "timeZone": "Europe/Paris",
                    "catchUp": "latest",
                },
            },
        }
    }
    assert "# keep\n" in result.documents_yaml
    assert result.remarks == ()


def test_what_systemd_gives_by_default_is_written_down() -> None:
    job, _ = job_of("OnCalendar=daily")
    assert (job["user"], job["workingDirectory"]) == ("root", "/")
    assert job["planning"]["schedule"]["catchUp"] == "none"
    assert "timeout" not in job


def test_an_interval_is_an_automatic_criterion() -> None:
    job, result = job_of("OnBootSec=5min\nOnUnitActiveSec=1h 30min")
    assert job["automatic"] == {"every": "1h30m"}
    assert any("OnBootSec=5min" in remark.text for remark in result.remarks)


def test_a_timer_that_only_counts_from_the_boot_is_disabled() -> None:
    job, _ = job_of("OnBootSec=5min")
    assert job["planning"] == {"mode": "disabled"}


def test_a_random_delay_is_a_jitter_and_the_difference_is_said() -> None:
    job, result = job_of("OnCalendar=daily\nRandomizedDelaySec=90.5")
    assert job["planning"]["schedule"]["jitter"] == "1m31s"
    assert "always the same" in result.documents_yaml
    _, fixed = job_of("OnCalendar=daily\nRandomizedDelaySec=90\nFixedRandomDelay=yes")
    assert "always the same" not in fixed.documents_yaml


def test_events_that_no_single_schedule_can_say_become_jobs_that_exclude_each_other() -> None:
    _, result = job_of("OnCalendar=Mon 08:00\nOnCalendar=Thu 09:00")
    jobs = documents(result.documents_yaml)
    assert [*jobs] == ["a", "a-2"]
    assert [job["locks"] for job in jobs.values()] == [["a"], ["a"]]
    assert [job["planning"]["schedule"]["weekly"]["days"] for job in jobs.values()] == [["mon"], ["thu"]]


def test_an_event_that_cannot_be_said_is_named_and_the_others_stay() -> None:
    job, result = job_of("OnCalendar=Mon *-*-13 08:00\nOnCalendar=daily")
    assert job["planning"]["schedule"]["weekly"] == {"times": ["00:00"]}
    assert any("Mon *-*-13 08:00" in remark.text for remark in result.remarks)


def test_every_key_without_a_counterpart_is_named_in_the_document_and_in_a_remark() -> None:
    service = "ExecStart=/bin/true\nProtectSystem=full\nEnvironmentFile=/e"
    _, result = job_of("OnCalendar=daily\nWakeSystem=yes", service)
    text = " ".join(remark.text for remark in result.remarks)
    for setting in ("WakeSystem=yes", "ProtectSystem=full", "EnvironmentFile=/e"):
        assert setting in text
        assert setting in result.documents_yaml


@pytest.mark.parametrize(
    ("service", "output"),
    [
        (r"ExecStart=/usr/bin/printf '%%s|' a 'b c' \x41 d\se", "a|b c|A|d e|"),
        ("Environment=A=1 'B=x  y'\nExecStart=/usr/bin/printf '%%s|' ${A} $B [${B}] $$A ${NOPE}", "1|x|y|[x  y]|$A||"),
        ("Environment=A=$(B)\nExecStart=/usr/bin/printf '%%s|' ${A} $$(B)", "$(B)|$(B)|"),
        ("ExecStart=:/usr/bin/printf '%%s|' ${A} $A", "${A}|$A|"),
        ("ExecStartPre=-/bin/false\nExecStart=/bin/echo a; b\nExecStartPost=/bin/echo c", "a; b\nc\n"),
        ("ExecStart=/bin/echo a ; /bin/echo 'b*' \"c\\\"d\"", 'a\nb* c"d\n'),
        ("ExecStart=/bin/echo %n %p %i %%", "a.service a  %\n"),
        ("ExecStart=/bin/one\nExecStart=\nExecStart=/bin/echo two", "two\n"),
    ],
)
def test_a_command_line_does_what_systemd_makes_of_it(service: str, output: str) -> None:
    job, _ = job_of("OnCalendar=daily", service)
    variables = job.get("environment", {})
    argv = ["/bin/sh", "-eu", "-c", job["script"]] if "script" in job else job["command"]
    for name, value in variables.items():
        argv = [word.replace(f"$({name})", value) if f"$$({name})" not in word else word for word in argv]
    argv = [word.replace("$$(", "$(") for word in argv]
    result = subprocess.run(argv, capture_output=True, text=True, env={"PATH": os.defpath, **variables})
    assert result.stdout == output


def test_a_service_of_several_commands_ends_at_the_first_that_fails() -> None:
    job, _ = job_of("OnCalendar=daily", "ExecStartPre=/bin/false\nExecStart=/bin/echo no")
    result = subprocess.run(["/bin/sh", "-eu", "-c", job["script"]], capture_output=True)
    assert (result.returncode, result.stdout) == (1, b"")


def test_a_drop_in_changes_its_unit_wherever_it_stands_among_the_files() -> None:
    files = [
        File(f"{FOLDER}/a.timer.d/zone.conf", "[Timer]\nOnCalendar=\nOnCalendar=05:00\n"),
        File(f"{FOLDER}/a.timer", "[Timer]\nOnCalendar=daily\n"),
        File(f"{FOLDER}/a.service", "[Service]\nExecStart=/bin/true\n"),
    ]
    job = documents(convert("systemd", files, Options()).documents_yaml)["a"]
    assert job["planning"]["schedule"]["weekly"] == {"times": ["05:00"]}


def test_an_instance_of_a_template_knows_its_name() -> None:
    files = [
        File(f"{FOLDER}/vacuum@shop.timer", "[Timer]\nOnCalendar=daily\n"),
        File(f"{FOLDER}/vacuum@.service", "[Unit]\nDescription=Vacuum %i\n[Service]\nExecStart=/bin/vacuum --db %i\n"),
    ]
    job = documents(convert("systemd", files, Options()).documents_yaml)["vacuum-shop"]
    assert (job["description"], job["command"]) == ("Vacuum shop", ["/bin/vacuum", "--db", "shop"])


def test_a_unit_without_its_other_half_is_named() -> None:
    result = units(a_timer="[Timer]\nOnCalendar=daily\n", b_service="[Service]\nExecStart=/bin/true\n")
    assert documents(result.documents_yaml) == {}
    assert sorted(Path(remark.place).name for remark in result.remarks) == ["a.timer", "b.service"]


@pytest.mark.parametrize("line", ["OnUnitActiveSec=soon", "OnCalendar=daily\nRandomizedDelaySec=a", "OnCalendar=", ""])
def test_nonsense_in_a_timer_is_said_and_breaks_nothing(line: str) -> None:
    job, result = job_of(line)
    assert job["command"] == ["/bin/true"]
    assert result.remarks


@pytest.mark.parametrize("line", ["ExecStart='a", "ExecStart=", "Environment='A\nExecStart=/bin/true", "[x\n=\n=y\n\\"])
def test_nonsense_in_a_service_is_said_and_breaks_nothing(line: str) -> None:
    result = units(a_timer="[Timer]\nOnCalendar=daily\n", a_service=f"[Service]\n{line}\n")
    assert result.remarks

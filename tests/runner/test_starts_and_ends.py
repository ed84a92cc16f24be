"""What a run gets, how it ends, and what is said when it could not start."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import pytest
from local import Machine, eventually, make_order

from reconciler.core.model import Reason
from reconciler.ports import attempt as files
from reconciler.ports import process
from reconciler.ports.executor import Order, ProcessLimits, Started, script_argv

root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root may start runs as somebody else")


def test_a_run_that_succeeds_is_started_and_ended_once_with_its_log(machine: Machine) -> None:
    order = make_order("r", "sh", "-c", "echo out; echo err >&2")
    end = machine.run(order)
    assert (end.exit_code, end.signal, end.reason) == (0, None, Reason.NONE)
    assert [type(event) for event in machine.events] == [Started, type(end)]
    assert machine.start_of("r").at <= end.at
    assert machine.log(order) == "out\nerr\n"


def test_everything_of_an_attempt_is_readable_by_its_owner_only(machine: Machine) -> None:
    order = make_order("r", "true")
    machine.run(order)
    names = {path.name for path in machine.directory(order).iterdir()}
    assert names == {"order.json", "go", "log", "pid", "exit"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in machine.directory(order).iterdir()} == {0o600}
    assert stat.S_IMODE(machine.directory(order).stat().st_mode) == 0o700
    assert stat.S_IMODE((machine.state / "runner").stat().st_mode) == 0o700


def test_exit_codes_and_signals_are_told_apart(machine: Machine) -> None:
    end = machine.run(make_order("code", "sh", "-c", "exit 143"))
    assert (end.exit_code, end.signal, end.reason) == (143, None, Reason.EXIT_CODE)
    end = machine.run(make_order("signal", "sh", "-c", "kill -USR1 $$"))
    assert (end.exit_code, end.signal, end.reason) == (None, signal.SIGUSR1, Reason.SIGNAL)


def _not_executable(folder: Path) -> str:
    (folder / "plain").write_text("#!/bin/sh\n")
    return str(folder / "plain")


def _no_interpreter(folder: Path) -> str:
    (folder / "orphan").write_text("#!/nowhere/at/all\n")
    (folder / "orphan").chmod(0o755)
    return str(folder / "orphan")


def _no_format(folder: Path) -> str:
    (folder / "text").write_text("hello\n")
    (folder / "text").chmod(0o755)
    return str(folder / "text")


@pytest.mark.parametrize("limits", [None, ProcessLimits(nice=1)], ids=["spawned", "forked"])
def test_a_run_that_cannot_start_says_why(
    machine: Machine, tmp_path: Path, limits: ProcessLimits | None
) -> None:
    cases = {
        "nope-nope": "command not found in PATH (/usr/local/bin:/usr/bin:/bin)",
        "/nope/nope": "command not found",
        "/etc": "directory",
        _not_executable(tmp_path): "not executable",
        _no_interpreter(tmp_path): "the interpreter that its first line names does not exist",
        _no_format(tmp_path): "neither a program nor a script that begins with #!",
    }
    for number, (command, why) in enumerate(cases.items()):
        end = machine.run(make_order(f"r{number}", command, limits=limits))
        assert (end.exit_code, end.signal, end.reason) == (None, None, Reason.START_FAILED), command
        assert end.message.startswith(f"could not run `{command}`: "), end.message
        assert why in end.message, end.message
    assert machine.run(make_order("after", "true", limits=limits)).exit_code == 0


@pytest.mark.parametrize("limits", [None, ProcessLimits(nice=1)], ids=["spawned", "forked"])
def test_a_missing_working_directory_is_named(machine: Machine, limits: ProcessLimits | None) -> None:
    end = machine.run(make_order("r", "true", working_directory="/no/such/folder", limits=limits))
    assert end.reason is Reason.START_FAILED
    assert end.message == "could not enter the working directory /no/such/folder: No such file or directory"


@pytest.mark.parametrize("limits", [None, ProcessLimits(nice=1)], ids=["spawned", "forked"])
def test_a_run_gets_its_environment_directory_umask_and_nothing_of_ours(
    machine: Machine, tmp_path: Path, limits: ProcessLimits | None
) -> None:
    order = make_order(
        "r", "sh", "-c", "pwd; umask; env; cat; readlink /proc/$$/fd/*; cat /proc/self/status",
        working_directory=str(tmp_path), umask=0o027, limits=limits,
    )  # fmt: skip
    assert machine.run(order).exit_code == 0
    lines = machine.log(order).splitlines()
    assert lines[0:2] == [str(tmp_path), "0027"]
    words = {line.partition("=")[0] for line in lines if "=" in line}
    assert words - set(order.environment) <= {"PWD", "OLDPWD", "SHLVL", "_"}
    opened = [line for line in lines[1:] if line.startswith(("/", "socket:", "pipe:", "anon_inode:"))]
    log = str(machine.directory(order) / "log")
    assert opened == ["/dev/null", log, log]
    signals = {
        line.split()[0]: int(line.split()[1], 16) for line in lines if line.startswith(("SigIgn:", "SigBlk:"))
    }
    threads = 0b11 << 31  # signals 32 and 33 are the C library's own: nobody else can set them
    assert signals["SigIgn:"] & ~threads == 0
    assert signals["SigBlk:"] == 0


def test_each_run_has_a_session_of_its_own(machine: Machine) -> None:
    order = make_order("r", "sh", "-c", "cut -d ' ' -f 1,5,6 /proc/$$/stat")
    machine.run(order)
    pid, group, session = machine.log(order).split()
    assert pid == group == session


def test_names_with_unicode_and_shell_characters_arrive_unchanged(machine: Machine) -> None:
    words = ("ü ñ 日本", "$HOME; `id`", "a'b\"c", "*", "", "new\nline", "\udcff\udcfe")
    order = make_order("r-ü$(x)", "printf", "%s\\0", *words, environment={"ÄÖ": "$(id) ß"})
    assert machine.run(order).exit_code == 0
    assert (machine.directory(order) / "log").read_bytes() == b"".join(os.fsencode(w) + b"\0" for w in words)
    order = make_order("env", "printenv", "ÄÖ", environment={"ÄÖ": "$(id) ß"})
    machine.run(order)
    assert machine.log(order) == "$(id) ß\n"


def test_a_script_names_its_job_in_the_shells_own_messages(machine: Machine) -> None:
    order = make_order("r", *script_argv(["/bin/sh", "-eu"], "echo one\nno-such-thing\n", "backup"))
    end = machine.run(order)
    assert end.exit_code == 127
    assert machine.log(order).startswith("one\nbackup: ")


def test_secrets_are_read_at_the_start_and_lie_nowhere(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret value\n")
    order = make_order("r", "printenv", "P", secrets={"P": "password"}, secrets_folder=str(tmp_path))
    assert machine.run(order).exit_code == 0
    assert machine.log(order) == "s3cret value\n"
    assert "s3cret" not in (machine.directory(order) / "order.json").read_text()


def test_a_missing_secret_is_named_with_its_file(machine: Machine, tmp_path: Path) -> None:
    end = machine.run(make_order("r", "true", secrets={"P": "password"}, secrets_folder=str(tmp_path)))
    assert end.reason is Reason.SECRET_MISSING
    assert end.message == (
        f"could not read the secret `password` for P: No such file or directory: {tmp_path}/password"
    )


def test_the_same_order_given_twice_runs_once(machine: Machine, tmp_path: Path) -> None:
    order = make_order("r", "sh", "-c", f"echo x >> {tmp_path}/ledger")
    machine.executor.start(order)
    machine.executor.start(order)
    machine.end_of("r")
    machine.events.clear()
    assert machine.run(order).exit_code == 0
    assert (tmp_path / "ledger").read_text() == "x\n"


def test_limits_hold_in_the_run(machine: Machine) -> None:
    limits = ProcessLimits(
        cpu_seconds=100, open_files=77, file_size_bytes=1 << 20, nice=5, io_priority="best-effort:6"
    )
    order = make_order("r", "sh", "-c", "ulimit -t; ulimit -n; cut -d ' ' -f 19 /proc/self/stat; cat /proc/self/limits",
                       limits=limits)  # fmt: skip
    assert machine.run(order).exit_code == 0
    assert machine.log(order).split()[:3] == ["100", "77", "5"]
    assert "Max file size             1048576" in machine.log(order)


def test_cpu_time_used_up_ends_the_run(machine: Machine) -> None:
    end = machine.run(make_order("r", "sh", "-c", "while :; do :; done", limits=ProcessLimits(cpu_seconds=1)))
    assert end.signal in (signal.SIGXCPU, signal.SIGKILL)
    assert end.cpu_seconds is not None
    assert end.cpu_seconds > 0.9


def test_memory_used_up_ends_the_run(machine: Machine) -> None:
    eat = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    limits = ProcessLimits(memory_bytes=100 << 20)
    order = make_order("r", "python3", "-I", "-S", "-c", eat, limits=limits)
    end = machine.run(order)
    assert (end.reason, end.signal) == (Reason.OUT_OF_MEMORY, signal.SIGKILL) or "MemoryError" in machine.log(
        order
    )


@root_only
def test_a_run_gets_its_user_and_group(machine: Machine) -> None:
    order = make_order("r", "sh", "-c", "id -un; id -gn", user="nobody", group="daemon")
    assert machine.run(order).exit_code == 0
    assert machine.log(order) == "nobody\ndaemon\n"
    order = make_order("plain", "id", "-gn", user="nobody")
    assert machine.run(order).exit_code == 0
    assert machine.log(order) == "nogroup\n"


def test_an_unknown_user_is_named(machine: Machine) -> None:
    end = machine.run(make_order("r", "true", user="no-such-user"))
    assert end.reason is Reason.START_FAILED
    assert end.message == "could not run as no-such-user: no such user or group on this machine"


def test_an_order_that_cannot_be_written_is_a_failed_start(machine: Machine) -> None:
    order = make_order("r", "true")
    blocked = machine.directory(order).parent
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the folder of the run should be")
    end = machine.run(order)
    assert end.reason is Reason.START_FAILED
    assert end.message.startswith("could not write the order of _installation/job/r/1: ")


def test_a_log_that_cannot_be_opened_is_a_failed_start(machine: Machine) -> None:
    order = make_order("r", "true")
    (machine.directory(order) / "log").mkdir(parents=True)
    end = machine.run(order)
    assert end.reason is Reason.START_FAILED
    assert end.message.startswith("could not open the log: ")


def test_the_exit_file_says_how_it_ended(machine: Machine) -> None:
    order = make_order("r", "sh", "-c", "exit 4")
    machine.run(order)
    last = json.loads((machine.directory(order) / files.EXIT).read_text().splitlines()[-1])
    assert (last["exitCode"], last["reason"]) == (4, "ExitCode")


def test_a_runner_without_runs_and_daemon_goes_by_itself_and_a_new_one_comes(machine: Machine) -> None:
    machine.run(make_order("a", "true"))
    [first] = machine.runners()
    os.kill(first, signal.SIGTERM)  # drain: the same end without waiting ten seconds for it
    eventually(lambda: first not in machine.runners())
    assert machine.run(make_order("b", "true")).exit_code == 0


def test_a_draining_runner_ends_its_runs_while_a_new_one_starts_the_next(machine: Machine) -> None:
    order = make_order("old", "sh", "-c", "read x < gate; exit 5", working_directory=str(machine.state))
    os.mkfifo(machine.state / "gate")
    machine.executor.start(order)
    machine.start_of("old")
    [first] = machine.runners()
    os.kill(first, signal.SIGTERM)
    eventually(lambda: list((machine.state / "runner").glob("drain-*.sock")))
    assert machine.run(make_order("new", "true")).exit_code == 0
    assert len(machine.runners()) == 2
    (machine.state / "gate").write_text("go\n")
    assert machine.end_of("old").exit_code == 5
    eventually(lambda: first not in machine.runners())


def test_an_idle_runner_sleeps_without_an_end(machine: Machine) -> None:
    machine.run(make_order("a", "true"))
    [pid] = machine.runners()
    assert pid
    try:
        Path(f"/proc/{pid}/syscall").read_text()
    except OSError:
        pytest.skip("nobody may see what a process waits in here")
    eventually(lambda: _epoll_timeout(pid) == 0xFFFFFFFF)


def _epoll_timeout(pid: int) -> int | None:
    """How long it sleeps at most, as the 32 bits that it gave to the kernel; nothing while it does not sleep."""
    number, *arguments = Path(f"/proc/{pid}/syscall").read_text().split()
    return int(arguments[3], 16) & 0xFFFFFFFF if number.isdigit() and len(arguments) >= 6 else None


def test_the_start_time_of_a_child_born_within_one_tick_is_known_without_asking_the_kernel() -> None:
    known = 0
    for _ in range(100):
        before = process.ticks_now()
        pid = os.posix_spawn("/bin/true", ["true"], {})
        within_one_tick = process.ticks_now() == before
        found = process.look(pid)
        os.waitpid(pid, 0)
        assert found is not None
        assert found.ticks == before or not within_one_tick
        known += within_one_tick
    assert known > 50, "a birth takes far less than a tick of 10 ms"


def test_two_hundred_runs_at_once_all_end_with_their_own_code(machine: Machine) -> None:
    orders: list[Order] = [make_order(f"r{n}", "sh", "-c", f"echo {n}; exit {n % 100}") for n in range(200)]
    for order in orders:
        machine.executor.start(order)
    for number, order in enumerate(orders):
        assert machine.end_of(order.attempt.run).exit_code == number % 100
        assert machine.log(order) == f"{number}\n"

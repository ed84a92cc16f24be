"""Turn an order into a process; say in words why when that does not work.

The plain case is posix_spawn, which costs the same at any size of ours. Working directory and umask are set in this
process around it, which is right only because the runner has one thread. User, group and limits need fork: the child
sets them and reports through a pipe that exec closes.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import resource
import signal

from reconciler.ports.attempt import TYPE_CHECKING
from reconciler.runner import cgroup, linux

if TYPE_CHECKING:
    from typing import Any, NoReturn

_ALL_SIGNALS = signal.valid_signals()
_RLIMITS = {
    "cpuTime": resource.RLIMIT_CPU,
    "openFiles": resource.RLIMIT_NOFILE,
    "fileSize": resource.RLIMIT_FSIZE,
}


class Refused(Exception):
    """The run could not be started. `reason` is StartFailed or SecretMissing."""

    def __init__(self, message: str, reason: str = "StartFailed") -> None:
        super().__init__(message)
        self.reason = reason


def start(order: dict[str, Any], log: int, directory: str) -> tuple[int, cgroup.Group | None]:
    """Start the process of this order with the log as its output; return its pid and its group, if it has one."""
    environment = {**order["environment"], **_secrets(order)}
    if order["user"] or order["group"] or order["limits"]:
        return _fork(order, environment, log, directory)
    try:
        os.chdir(order["workingDirectory"])
    except OSError as error:
        raise Refused(_cannot_enter(order, error)) from error
    before = os.umask(order["umask"])
    try:
        return _spawn(order["argv"], environment, log), None
    finally:
        os.umask(before)
        os.chdir("/")


def _secrets(order: dict[str, Any]) -> dict[str, str]:
    values = {}
    for variable, name in order["secrets"].items():
        path = f"{order['secretsFolder']}/{name}"
        try:
            with open(path, "rb") as stream:
                value = stream.read()
        except OSError as error:
            text = (
                f"could not read the secret `{name}` for {variable}: {os.strerror(error.errno or 0)}: {path}"
            )
            raise Refused(text, "SecretMissing") from error
        if b"\0" in value:
            raise Refused(
                f"could not pass the secret `{name}` as {variable}: it holds a NUL byte", "SecretMissing"
            )
        values[variable] = os.fsdecode(value.removesuffix(b"\n"))
    return values


def _spawn(argv: list[str], environment: dict[str, str], log: int) -> int:
    program = _find(argv[0], environment)
    actions = (
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
    )
    try:
        return os.posix_spawn(
            program,
            argv,
            environment,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=_ALL_SIGNALS,
        )
    except (OSError, ValueError) as error:
        raise Refused(_cannot_run(argv[0], program, error)) from error


def _find(name: str, environment: dict[str, str]) -> str:
    """Look the command up in the run's own PATH, as execvp would."""
    if "/" in name:
        return name
    path = environment.get("PATH", os.defpath)
    candidates = [f"{folder or '.'}/{name}" for folder in path.split(":")]
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    denied = next((candidate for candidate in candidates if os.path.isfile(candidate)), "")
    if denied:
        raise Refused(f"could not run `{name}`: {denied} is not executable")
    raise Refused(f"could not run `{name}`: command not found in PATH ({path})")


def _cannot_run(name: str, program: str, error: OSError | ValueError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT and os.path.exists(program):
        why = "the interpreter that its first line names does not exist"
    elif number == errno.ENOENT:
        why = "command not found"
    elif number == errno.EACCES and os.path.isdir(program):
        why = "it is a directory"
    elif number == errno.EACCES:
        why = "it is not executable"
    elif number == errno.ENOEXEC:
        why = "it is neither a program nor a script that begins with #!"
    elif number == errno.EAGAIN:
        why = "this machine or user has too many processes"
    elif number == errno.E2BIG:
        why = "its arguments and environment are too long"
    else:
        why = os.strerror(number) if number else str(error)
    return f"could not run `{name}`: {why}"


def _cannot_enter(order: dict[str, Any], error: OSError) -> str:
    return (
        f"could not enter the working directory {order['workingDirectory']}: {os.strerror(error.errno or 0)}"
    )


def _fork(
    order: dict[str, Any], environment: dict[str, str], log: int, directory: str
) -> tuple[int, cgroup.Group | None]:
    memory = (order["limits"] or {}).get("memory")
    group = cgroup.make(directory, memory) if memory else None
    try:
        answer, said = os.pipe()
    except OSError as error:
        raise Refused(_cannot_run(order["argv"][0], "", error)) from error
    try:
        pid = os.fork()
    except OSError as error:
        os.close(said)
        raise Refused(_cannot_run(order["argv"][0], "", error)) from error
    else:
        if pid == 0:
            _become(order, environment, log, group, said)
        os.close(said)
        with open(answer, "rb", closefd=False) as stream:
            complaint = stream.read().decode(errors="surrogateescape")
    finally:
        os.close(answer)
    if complaint:
        os.waitpid(pid, 0)
        if group is not None:
            group.remove()
        raise Refused(complaint)
    return pid, group


def _become(
    order: dict[str, Any], environment: dict[str, str], log: int, group: cgroup.Group | None, said: int
) -> NoReturn:
    """In the child: take on everything the order says, then exec; write to `said` what went wrong."""
    argv = order["argv"]
    try:
        _detach(log)
        _limit(order["limits"] or {}, group)
        _switch_user(order["user"], order["group"])
        try:
            os.chdir(order["workingDirectory"])
        except OSError as error:
            raise Refused(_cannot_enter(order, error)) from error
        os.umask(order["umask"])
        program = _find(argv[0], environment)
        try:
            os.execve(program, argv, environment)  # noqa: S606
        except (OSError, ValueError) as error:
            raise Refused(_cannot_run(argv[0], program, error)) from error
    except BaseException as error:
        os.write(said, os.fsencode(str(error) or repr(error)))
    finally:
        os._exit(127)


def _detach(log: int) -> None:
    signal.set_wakeup_fd(-1)
    os.setsid()
    for number in _ALL_SIGNALS - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open("/dev/null", os.O_RDONLY)
    for fd, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, fd)


def _limit(limits: dict[str, Any], group: cgroup.Group | None) -> None:
    try:
        if group is not None:
            group.join()
        elif limits.get("memory"):
            resource.setrlimit(resource.RLIMIT_DATA, (limits["memory"], limits["memory"]))
        if limits.get("nice") is not None:
            os.setpriority(os.PRIO_PROCESS, 0, limits["nice"])
        if limits.get("ioPriority"):
            linux.set_io_priority(limits["ioPriority"])
        for name, number in _RLIMITS.items():
            if limits.get(name) is not None:
                # CPU time: SIGXCPU at the limit and SIGKILL a second later, for those that ignore it.
                more = 1 if name == "cpuTime" else 0
                resource.setrlimit(number, (limits[name], limits[name] + more))
    except (OSError, ValueError, KeyError) as error:
        raise Refused(f"could not set the limits {limits}: {error}") from error


def _switch_user(user: str | None, group: str | None) -> None:
    if not user and not group:
        return
    try:
        account = pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())
        gid = grp.getgrnam(group).gr_gid if group else account.pw_gid
    except KeyError as error:
        raise Refused(f"could not run as {user or group}: no such user or group on this machine") from error
    if (account.pw_uid, gid) == (os.getuid(), os.getgid()):
        return
    if os.getuid() != 0:
        text = f"could not run as {user or group}: only root may change the user or group of a run"
        raise Refused(text)
    try:
        os.initgroups(account.pw_name, gid)
        os.setgid(gid)
        os.setuid(account.pw_uid)
    except OSError as error:
        raise Refused(f"could not run as {user or group}: {os.strerror(error.errno or 0)}") from error

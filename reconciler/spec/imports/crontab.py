"""crontab files: a user's own, and the system's with a user column (/etc/crontab, /etc/cron.d).

The rules are those of Debian's cron (crontab(5)): environment lines hold for what follows, the rest of an entry
goes to the shell, an unescaped `%` ends the command and starts its input, and nothing is made up for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from reconciler.spec.imports._commands import command_fields, program_name
from reconciler.spec.imports._documents import Document, File, Imported, Options, Writer, is_address
from reconciler.triggers import cron
from reconciler.triggers.errors import ScheduleError

_VARIABLE = re.compile(r"""\s*(?:([A-Za-z_]\w*)|"([^"=]+)"|'([^'=]+)')\s*=\s*(.*?)\s*""", re.ASCII)
_ENTRY = re.compile(r"\s*-?(@\w+|(?:\S+\s+){4}\S+)\s+(\S.*?)\s*")
_USER = re.compile(r"([A-Za-z_][\w.-]*\$?)(?::([\w.-]+))?(?:/[\w.-]+)?\s+(\S.*)", re.ASCII)


@dataclass
class _State:
    """What the lines so far say about the entries that follow."""

    user: str
    has_user_column: bool
    time_zone: str
    environment: dict[str, str] = field(default_factory=dict)
    shell: str = "/bin/sh"
    mail_to: str | None = None
    comments: list[str] = field(default_factory=list)


def convert(files: Sequence[File], options: Options) -> Imported:
    """One Job for each entry, in the order of the files."""
    writer = Writer(f"Imported from {', '.join(file.name for file in files)}")
    for file in files:
        _convert_file(file, options, writer)
    return writer.finish()


def _convert_file(file: File, options: Options, writer: Writer) -> None:
    state = _State(_owner(file.name), _has_user_column(file, options), options.time_zone)
    unzoned = False
    for number, line in enumerate(file.text.splitlines(), 1):
        place = f"{file.name}:{number}"
        text = line.strip()
        if not text or text.startswith("#"):
            if text or state.comments:
                state.comments.append(text.lstrip("#").strip())
        elif match := _VARIABLE.fullmatch(line):
            _set_variable(match[1] or match[2] or match[3], match[4], state, place, writer)
        elif match := _ENTRY.fullmatch(line):
            added = _entry(match[1], match[2], state, place, writer)
            unzoned = unzoned or (added and not state.time_zone)
        else:
            writer.remark_at(place, f"`{text}` is no entry of a crontab, and was left out")
    writer.endnote(state.comments)
    if unzoned:
        writer.remark_at(file.name, "cron follows its machine's zone; none was given, so the installation's counts")


def _owner(name: str) -> str:
    """Whose crontab a spool file is; "" when its path does not say."""
    path = PurePosixPath(name)
    return path.name if path.parent.name == "crontabs" else ""


def _has_user_column(file: File, options: Options) -> bool:
    if options.user_column is not None:
        return options.user_column
    path = PurePosixPath(file.name)
    return path.parent.name == "cron.d" or (path.name == "crontab" and path.parent.name == "etc")


def _set_variable(name: str, value: str, state: _State, place: str, writer: Writer) -> None:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    match name:
        case "CRON_TZ":
            state.time_zone = value
        case "MAILTO":
            state.mail_to = value
            for user in _recipients(value):
                if not is_address(user):
                    text = f"MAILTO={user} is a local user, and was left out: name an address in `report`"
                    writer.remark_at(place, text)
        case "MAILFROM":
            writer.remark_at(place, f"the sender {value} was left out: `mail.from` of the Installation names it")
        case "SHELL":
            state.shell = value
            state.environment[name] = value
        case "LOGNAME" | "USER":
            writer.remark_at(place, f"{name} was left out: it always names the job's user, as cron's own does")
        case "RANDOM_DELAY":
            writer.remark_at(place, f"RANDOM_DELAY={value} was left out: give the schedules `jitter: {value}m`")
        case _:
            state.environment[name] = value


def _entry(when: str, rest: str, state: _State, place: str, writer: Writer) -> bool:
    """Add the job of one entry; say whether there is one."""
    user = group = ""
    if state.has_user_column:
        match = _USER.fullmatch(rest)
        if match is None:
            writer.remark_at(place, f"`{when} {rest}` has no user and command, and was left out")
            return False
        user, group, rest = match[1], match[2] or "", match[3]
    command, given = _split_percent(rest)
    job = writer.add("Job", program_name(command), place, state.comments)
    state.comments = []
    job.comments.append(f"{place}: {when} {rest}")
    job.spec |= command_fields(_with_input(command, given), shell=state.shell)
    if state.environment:
        job.spec["environment"] = dict(state.environment)
    if "HOME" in state.environment:
        job.spec["workingDirectory"] = state.environment["HOME"]
    if user or state.user:
        job.spec["user"] = user or state.user
    if group:
        job.spec["group"] = group
    job.spec["planning"] = _planning(when, state, writer, job)
    # cron starts an entry whether or not the last one has ended.
    job.spec["concurrency"] = "allow"
    _report(state, job)
    return True


def _split_percent(text: str) -> tuple[str, str | None]:
    """The command, and what it reads: behind the first unescaped `%`, each further one ends a line."""
    parts = re.split(r"(?<!\\)%", text)
    command, *given = [part.replace("\\%", "%") for part in parts]
    text = "\n".join(given)
    # cron ends the last line itself where the crontab does not.
    return command.strip(), (text if text.endswith("\n") else text + "\n") if given else None


def _with_input(command: str, given: str | None) -> str:
    """The whole command line reads the text, as cron's shell does."""
    if given is None:
        return command
    mark = next(word for n in range(10**6) if (word := f"INPUT{n or ''}") not in given.split("\n"))
    return f"{{\n{command}\n}} <<'{mark}'\n{given}{mark}\n"


def _planning(when: str, state: _State, writer: Writer, job: Document) -> dict[str, Any]:
    if when == "@reboot":
        writer.remark("@reboot has no counterpart: the job is disabled, it runs when asked to", job)
        return {"mode": "disabled"}
    expression = " ".join(when.split())
    try:
        cron.compile(expression)
    except ScheduleError as error:
        why = f"{error.message}; {error.help}" if error.help else error.message
        writer.remark(f"its schedule cannot be carried over ({why}): the job is disabled", job)
        return {"mode": "disabled"}
    schedule = {"cron": expression}
    if state.time_zone:
        schedule["timeZone"] = state.time_zone
    return {"mode": "scheduled", "schedule": schedule | {"catchUp": "none"}}


def _recipients(value: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", value) if word]


def _report(state: _State, job: Document) -> None:
    """MAILTO: cron mails whatever a command prints, to addresses or to local users; empty, to nobody."""
    if state.mail_to is None:
        return
    recipients = [word for word in _recipients(state.mail_to) if is_address(word)]
    if recipients:
        job.comments.append("cron mailed every output; here, what needs attention is (see `report.when`).")
        job.spec["report"] = {"send": True, "recipients": recipients}
    elif not state.mail_to.strip():
        job.spec["report"] = {"send": False}

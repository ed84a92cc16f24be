"""systemd's .timer and .service units, with their drop-ins (X.timer.d/*.conf).

A timer that elapses while its service runs does nothing, as `concurrency: skip`; what a clock change leaves out does
not run, and what it repeats runs once, as `dst: skip`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

from reconciler.core.units import format_duration
from reconciler.spec.imports._documents import Document, File, Imported, Options, Writer
from reconciler.spec.imports._exec import Command, command_fields, read_commands
from reconciler.spec.imports._oncalendar import Event, NotCarried, parse, schedules
from reconciler.spec.imports._units import Unit, environment, expand, read, seconds

_INTERVALS = ("Timer.OnUnitActiveSec", "Timer.OnUnitInactiveSec")
_MOMENTS = ("Timer.OnActiveSec", "Timer.OnBootSec", "Timer.OnStartupSec")
_COMMANDS = ("Service.ExecStartPre", "Service.ExecStart", "Service.ExecStartPost")
# What is said by other means here: a file that is there is enabled, and logs go to the run's own file.
_NEEDLESS = frozenset(
    ["Unit.Description", "Unit.Documentation", "Timer.Unit", "Timer.RemainAfterElapse", "Service.RemainAfterExit",
     "Install.WantedBy", "Install.RequiredBy", "Install.Also", "Service.Type", "Service.Environment"]
)  # fmt: skip
_JOURNAL = ("journal", "inherit", "journal+console", "syslog")


def convert(files: Sequence[File], options: Options) -> Imported:
    """One Job for each timer; more where one schedule cannot say all its events."""
    writer = Writer(f"Imported from {', '.join(file.name for file in files)}")
    units = _units(files)
    used: set[str] = set()
    for name, timer in units.items():
        if name.endswith(".timer"):
            service = _service_of(timer, units)
            if service is None:
                writer.remark_at(timer.place, f"the service that {name} starts is not among the files")
            else:
                used.add(service.name)
                _convert(timer, service, options, writer)
    for name, unit in units.items():
        if name.endswith(".service") and name not in used:
            writer.remark_at(unit.place, f"no timer among the files starts {name}, and it was left out")
    return writer.finish()


def _units(files: Sequence[File]) -> dict[str, Unit]:
    """The units by name; drop-ins come after what they change."""
    units: dict[str, Unit] = {}
    for file in sorted(files, key=lambda file: (_drop_in_of(file.name) is not None, file.name)):
        name = _drop_in_of(file.name) or PurePosixPath(file.name).name
        unit = units.setdefault(name, Unit(name, file.name))
        read(file.name, file.text, unit)
    return units


def _drop_in_of(path: str) -> str | None:
    folder = PurePosixPath(path).parent.name
    return folder.removesuffix(".d") if folder.endswith((".timer.d", ".service.d")) else None


def _service_of(timer: Unit, units: dict[str, Unit]) -> Unit | None:
    name = expand(timer.last("Timer.Unit"), timer.name)[0] or timer.name.removesuffix(".timer") + ".service"
    prefix, at, _ = name.partition("@")
    return units.get(name) or (units.get(f"{prefix}@.service") if at else None)


def _convert(timer: Unit, service: Unit, options: Options, writer: Writer) -> None:
    stem = timer.name.removesuffix(".timer")
    comments = [*timer.comments, *service.comments]
    comments += [f"See {value.text}" for value in service.all("Unit.Documentation") or timer.all("Unit.Documentation")]
    comments.append(f"{timer.place}, {service.place}")
    unit = expand(timer.last("Timer.Unit"), timer.name)[0] or f"{stem}.service"
    commands, lost = _commands(service, unit)
    if not commands:
        writer.remark_at(service.place, f"there is no command that could be read ({'; '.join(lost)})")
        return
    first = writer.add("Job", stem, timer.place, comments)
    for text in lost:
        writer.remark(text, first)
    spec = _Reader(timer, service, unit, first, writer).spec(commands)
    plannings = _plannings(timer, options, first, writer)
    for number, planning in enumerate(plannings):
        job = first if number == 0 else writer.add("Job", stem, timer.place, [f"Further events of {timer.place}"])
        job.spec = spec | planning
        if len(plannings) > 1:
            # One unit never runs twice at a time; these are several jobs.
            job.spec["locks"] = [first.name]


def _commands(service: Unit, unit: str) -> tuple[list[Command], list[str]]:
    """What runs, in order, and what of it cannot be carried over."""
    commands: list[Command] = []
    lost: list[str] = []
    for key in _COMMANDS:
        try:
            found, missing = read_commands(service.all(key), unit)
        except ValueError as error:
            found, missing = [], [f"{key.partition('.')[2]}= could not be read: {error}"]
        commands += found
        lost += missing
    return commands, lost


def _plannings(timer: Unit, options: Options, job: Document, writer: Writer) -> list[dict[str, Any]]:
    """The fields that say when: one set for each schedule that is needed."""
    for key in _MOMENTS:
        if value := timer.last(key):
            text = f"{key.partition('.')[2]}={value} has no counterpart: nothing here counts from a boot"
            writer.remark(text, job)
    intervals = [(key, timer.last(key)) for key in _INTERVALS if timer.last(key)]
    blocks = _schedule_blocks(timer, options, job, writer)
    if blocks:
        for key, value in intervals:
            writer.remark(f"{key.partition('.')[2]}={value} was left out: a job is scheduled or automatic", job)
        return [{"planning": {"mode": "scheduled", "schedule": block}} for block in blocks]
    if timer.last("Timer.RandomizedDelaySec") and intervals:
        writer.remark("RandomizedDelaySec= was left out: only a schedule has `jitter`", job)
    if not intervals:
        if not timer.all("Timer.OnCalendar"):
            writer.remark("no time is left that could be carried over: the job is disabled", job)
        return [{"planning": {"mode": "disabled"}}]
    key, value = intervals[0]
    interval = _seconds(timer, key, job, writer)
    if not interval:
        return [{"planning": {"mode": "disabled"}}]
    if key == "Timer.OnUnitInactiveSec":
        writer.remark(f"OnUnitInactiveSec={value} counted from the end of a run; `every` counts from its start", job)
    return [{"automatic": {"every": format_duration(interval)}}]


def _seconds(timer: Unit, key: str, job: Document, writer: Writer) -> float:
    try:
        return seconds(timer.last(key, "0"))
    except ValueError as error:
        writer.remark(f"{key.partition('.')[2]}=: {error}", job)
        return 0.0


def _schedule_blocks(timer: Unit, options: Options, job: Document, writer: Writer) -> list[dict[str, Any]]:
    events: list[Event] = []
    for value in timer.all("Timer.OnCalendar"):
        try:
            event = parse(value.text)
            schedules([event])
            events.append(event)
        except NotCarried as error:
            writer.remark(f"OnCalendar={value.text} cannot be carried over: {error}", job)
    if not events:
        if timer.all("Timer.OnCalendar"):
            writer.remark("none of its events could be carried over: the job is disabled", job)
        return []
    blocks = schedules(events)
    delay = math.ceil(_seconds(timer, "Timer.RandomizedDelaySec", job, writer))
    for block in blocks:
        if options.time_zone and "timeZone" not in block:
            block["timeZone"] = options.time_zone
        block["catchUp"] = "latest" if timer.is_on("Timer.Persistent") else "none"
        if delay:
            block["jitter"] = format_duration(delay)
    if delay and not timer.is_on("Timer.FixedRandomDelay"):
        job.comments.append("systemd drew a new delay each time; `jitter` is always the same for one target.")
    if any("timeZone" not in block for block in blocks):
        writer.remark("systemd follows its machine's zone; none was given, so the installation's counts", job)
    return blocks


class _Reader:
    """Reads what runs, and keeps account of what it has read, so that nothing else is lost in silence."""

    def __init__(self, timer: Unit, service: Unit, unit: str, job: Document, writer: Writer) -> None:
        self._timer = timer
        self._service = service
        self._job = job
        self._writer = writer
        self._read = {*_NEEDLESS, *_INTERVALS, *_MOMENTS, *_COMMANDS}
        self._read |= {f"Timer.{key}" for key in ("OnCalendar", "Persistent", "RandomizedDelaySec", "FixedRandomDelay")}
        self._unit = unit

    def spec(self, commands: Sequence[Command]) -> dict[str, Any]:
        """The fields that say what runs."""
        try:
            variables = environment(self._service.all("Service.Environment"))
        except ValueError as error:
            variables = {}
            self._remark(f"Environment= could not be read: {error}")
        spec: dict[str, Any] = {}
        if description := self._service.last("Unit.Description") or self._timer.last("Unit.Description"):
            spec["description"] = expand(description, self._unit)[0]
        spec |= command_fields(commands, variables)
        if variables:
            spec["environment"] = dict(variables)
        self._take(spec, "user", "Service.User")
        self._take(spec, "group", "Service.Group")
        self._user(spec)
        self._folder(spec)
        self._limits(spec)
        self._ending(spec)
        self._rest()
        return spec

    def _remark(self, text: str) -> None:
        self._writer.remark(text, self._job)

    def _take(self, into: dict[str, Any], field: str, key: str, how: Callable[[str], Any] = str) -> None:
        """Carry one value over by `how`; what raises ValueError there stays among what is lost."""
        value, unknown = expand(self._service.last(key), self._unit)
        if value and not unknown:
            try:
                into[field] = how(value)
            except ValueError:
                return
            self._read.add(key)

    def _user(self, spec: dict[str, Any]) -> None:
        if "user" not in spec and "systemd/system" in self._service.place:
            spec["user"] = "root"
        elif "user" not in spec:
            self._remark("no User=: a system unit runs as root, this job as the installation's `user`")

    def _folder(self, spec: dict[str, Any]) -> None:
        spec["workingDirectory"] = "/"
        self._take(spec, "workingDirectory", "Service.WorkingDirectory", lambda path: path.removeprefix("-"))
        if spec["workingDirectory"] == "~":
            del spec["workingDirectory"]
        self._take(spec, "umask", "Service.UMask", lambda mask: f"{int(mask, 8):03o}")

    def _limits(self, spec: dict[str, Any]) -> None:
        limits: dict[str, Any] = {}
        self._take(limits, "memory", "Service.MemoryMax", _size)
        self._take(limits, "openFiles", "Service.LimitNOFILE", lambda text: int(text.partition(":")[0]))
        self._take(limits, "fileSize", "Service.LimitFSIZE", _size)
        self._take(limits, "nice", "Service.Nice", int)
        self._take(limits, "ioPriority", "Service.IOSchedulingClass", _one_of("idle"))
        if limits:
            spec["limits"] = limits

    def _ending(self, spec: dict[str, Any]) -> None:
        kind = self._service.last("Service.Type", "simple")
        if kind not in ("simple", "exec", "oneshot"):
            self._remark(f"Type={kind}: a run here ends when its first process ends")
        # Only the start of a oneshot service is its whole run.
        key = "Service.TimeoutStartSec" if kind == "oneshot" else "Service.RuntimeMaxSec"
        for name in (key, "Service.TimeoutStopSec"):
            if self._service.last(name) in ("infinity", "0"):
                self._read.add(name)
        if key not in self._read:
            self._take(spec, "timeout", key, _span)
        if "Service.TimeoutStopSec" not in self._read:
            self._take(spec, "stopGrace", "Service.TimeoutStopSec", _span)
        signals = _one_of("TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL")
        self._take(spec, "stopSignal", "Service.KillSignal", lambda name: signals(name.removeprefix("SIG")))
        codes: dict[str, Any] = {}
        self._take(codes, "exitCodes", "Service.SuccessExitStatus", lambda text: [int(word) for word in text.split()])
        if codes:
            spec["warnings"] = codes
            self._job.comments.append("SuccessExitStatus= is a warning here: an exit code is never green.")

    def _rest(self) -> None:
        """Name what has no counterpart, all in one remark."""
        for key in ("Service.StandardOutput", "Service.StandardError"):
            if self._service.last(key) in _JOURNAL:
                self._read.add(key)
        lost = [
            f"{key.partition('.')[2]}={value.text}"
            for unit in (self._timer, self._service)
            for key, values in unit.values.items()
            if key not in self._read
            for value in values
        ]
        if lost:
            self._remark(f"no counterpart for {'; '.join(lost)}")


def _span(text: str) -> str:
    return format_duration(seconds(text))


def _size(text: str) -> str:
    """systemd's sizes count by 1024 too."""
    number, suffix = (text[:-1], text[-1]) if text[-1:] in "KMGT" else (text, "")
    return f"{int(number)}{suffix}{'iB' if suffix else 'B'}"


def _one_of(*known: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in known:
            raise ValueError(text)
        return text

    return check

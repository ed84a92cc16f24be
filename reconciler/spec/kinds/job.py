"""Job: what runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, model_validator

from reconciler.spec.blocks import DomainSelector, Metadata, PlanningBlock, Report
from reconciler.spec.checks import annotation_faults, command_faults, schedule_faults
from reconciler.spec.fields import (
    AbsolutePath,
    Command,
    Description,
    Duration,
    Environment,
    ExitCode,
    Model,
    Name,
    PositiveDuration,
    Secret,
    Size,
    Text,
    TimeOfDay,
    Umask,
    UserName,
    Variable,
    bad,
    item,
    needed,
)
from reconciler.spec.kinds import Body, Fault, Kind
from reconciler.spec.parameters import parameter_value_fault

Signal = Literal["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL"]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64)]


IoPriority = Annotated[str, Field(pattern=r"^(idle|(best-effort|realtime):[0-7])$")]


class Limits(Model):
    """Bounds on what one run may use."""

    memory: Size | None = item("Memory.", "512MiB")
    cpu_time: PositiveDuration | None = item("Processor time.", "10m")
    open_files: Annotated[int, Field(ge=8, le=1 << 30)] | None = item("Open files.", 1024)
    file_size: Size | None = item("The largest file that it may write.", "1GiB")
    nice: Annotated[int, Field(ge=-20, le=19)] | None = item("Priority: 19 is the most modest.", 10)
    io_priority: IoPriority | None = item("Priority for disks.", "idle", "best-effort:7")


class Parameter(Model):
    """One parameter that a request may give; the run finds it in RECONCILE_PARAM_<NAME>."""

    type: Literal["boolean", "integer", "number", "string"] = item(
        "The type of its values.", default="string"
    )
    default: JsonValue = item("The value where a request gives none.", False)
    description: Description | None = item("What it does, for those who are asked.", "Import everything")
    enum: list[JsonValue] | None = item("The only values allowed.", ["fast", "full"], min_length=1)
    pattern: Annotated[str, Field(max_length=500)] | None = item(
        "A regular expression that the whole text must match.", "[a-z]+"
    )

    @model_validator(mode="after")
    def _agrees(self) -> Parameter:
        if self.pattern is not None:
            if self.type != "string":
                raise bad("E123", "`pattern` is for `type: string`", "remove it", ("pattern",))
            try:
                re.compile(self.pattern)
            except (re.error, RecursionError, OverflowError) as error:
                raise bad(
                    "E123", f"`pattern` is not a regular expression: {error}", "", ("pattern",)
                ) from None
        declared = self.model_dump(exclude_none=True, exclude={"default"})
        for index, value in enumerate(self.enum or ()):
            if fault := parameter_value_fault({"type": self.type}, value):
                raise bad("E123", fault, "", ("enum", index))
        if self.default is not None and (fault := parameter_value_fault(declared, self.default)):
            raise bad("E123", f"the default does not fit: {fault}", "", ("default",))
        return self


class Probe(Model):
    """A command that says whether there is something to do: exit 0 runs the job, 1 does not, else the probe failed."""

    command: Command = needed("The command, without a shell.", ["test", "-s", "/var/spool/ldap/todo"])
    every: PositiveDuration = item("How often to ask.", "1m", default="1m")


class Window(Model):
    """Part of the day; may cross midnight."""

    from_: TimeOfDay = needed("When it opens.", "22:00")
    to: TimeOfDay = needed("When it closes.", "06:00")

    @model_validator(mode="after")
    def _not_empty(self) -> Window:
        if self.from_ == self.to:
            help = "remove it for the whole day"
            raise bad("E115", "the window is empty: `from` and `to` are the same", help, ("to",))
        return self


_CRITERIA = ("every", "on_change", "after", "probe")


class Automatic(Model):
    """The job's own criteria; any one of them starts it."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": [name]} for name in ("every", "onChange", "after", "probe")]
        }
    )

    every: PositiveDuration | None = item("This long since the last run's start.", "4h")
    on_change: list[AbsolutePath] | None = item(
        "Files changed; `*`, `?`, `**`.", ["/etc/ldap/**"], min_length=1
    )
    after: list[Name] | None = item("That job ended in success or warning.", ["domain-sync"], min_length=1)
    probe: Probe | None = item("A command that says whether there is something to do.")
    window: Window | None = item("Only then; a criterion met outside is held until it opens.")

    @model_validator(mode="after")
    def _some_criterion(self) -> Automatic:
        if not any(getattr(self, name) is not None for name in _CRITERIA):
            raise bad("E115", "`automatic` has no criterion", "add `every`, `onChange`, `after` or `probe`")
        return self


class Retry(Model):
    """Further attempts of a run that failed."""

    attempts: Annotated[int, Field(ge=1, le=100)] = needed("Attempts in all, the first included.", 3)
    delay: Duration = item("Before the second attempt.", "30s", default="30s")
    backoff: Annotated[float, Field(ge=1, le=100)] = item(
        "Each further delay is this many times longer.", 2, default=2.0
    )
    max_delay: Duration = item("The longest delay.", "10m", default="10m")
    exit_codes: list[ExitCode] | None = item("Only for these exit codes; default: all.", [75])
    states: list[Literal["failure", "interrupted"]] | None = item(
        "Which ends are tried again; default: failure.", ["failure", "interrupted"], min_length=1
    )


class Warnings(Model):
    """What makes a success a warning."""

    exit_codes: list[ExitCode] | None = item("Exit codes that mean: done, with warnings.", [3])
    level: Literal["error", "warning", "never"] = item(
        "The least severity of a log line that makes a success a warning.", default="error"
    )


class DurationBounds(Model):
    """How long a run normally takes."""

    min: Duration | None = item("Shorter is suspicious.", "5s")
    max: PositiveDuration | None = item("Longer is suspicious.", "20m")


class LineBounds(Model):
    """How much a run normally writes."""

    min: Annotated[int, Field(ge=0)] | None = item("Fewer lines are suspicious.", 1)


class Expect(Model):
    """What is normal; a broken expectation is a warning, a missing success is overdue."""

    start_within: PositiveDuration | None = item("A run starts this soon after it is due.", "5m")
    duration: DurationBounds | None = item("How long a run takes.", {"min": "5s", "max": "20m"})
    output_lines: LineBounds | None = item("How much a run writes.", {"min": 1})
    success_every: PositiveDuration | None = item("A success at least this often, also the first.", "26h")


class Resources(Model):
    """What a run needs, for executors that place it."""

    cpu: Annotated[float, Field(gt=0, le=4096)] | None = item("Processors.", 1)
    memory: Size | None = item("Memory.", "512Mi")


class Executor(Model):
    """Where runs are executed."""

    name: Name = item("`local` or one of the engines.", default="local")
    resources: Resources | None = item("What a run needs.", {"cpu": 1, "memory": "512Mi"})
    node_selector: dict[str, str] | None = item("Which nodes may run it.", {"disk": "ssd"})


class Retention(Model):
    """How much history each target keeps; the last run, success and failure always stay."""

    runs: Annotated[int, Field(ge=1, le=1_000_000)] | None = item("Started runs.", 100)
    age: PositiveDuration | None = item("How long.", "90d")
    log: Size | None = item("Bound on one attempt's log.", "64MiB")


class JobSpec(Model):
    """What runs, when by its own criteria, and what is normal for it."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["command"]}, {"required": ["script"]}],
            "dependentRequired": {"shell": ["script"]},
            "if": {"required": ["domains"]},
            "then": {"required": ["scope"], "properties": {"scope": {"const": "domain"}}},
        }
    )

    description: Description | None = item(
        "For people; edited here and nowhere else.", "Import users and groups"
    )
    scope: Literal["installation", "domain"] = item(
        "`installation`: one run; `domain`: one independent run per domain.", default="installation"
    )
    domains: DomainSelector | None = item("For `scope: domain`: which; default: every Domain, new ones too.")
    command: Command | None = item(
        "The command, word by word, without a shell; `$(NAME)` from the environment.", ["true"]
    )
    script: Annotated[Text, Field(min_length=1, max_length=120_000)] | None = item(
        "Instead of `command`: a script, run by `shell`.", "echo done"
    )
    shell: Command | None = item(
        "What runs the script (before `-c SCRIPT`); default: /bin/sh -eu.", ["/bin/bash", "-eu"]
    )
    environment: Environment | None = item("Variables; a Domain's win over them.", {"LOG_LEVEL": "info"})
    secrets: dict[Variable, Secret] | None = item(
        "Variables from files in the secrets directory.", {"PW": "ldap-password"}
    )
    user: UserName | None = item("Whom it runs as; default: the Installation's.", "svc-ldap")
    group: UserName | None = item("Its group; default: the user's.", "ldap")
    working_directory: AbsolutePath | None = item("Where it runs; default: `/`.", "/srv")
    umask: Umask | None = item("Its umask; default: 022.", "027")
    limits: Limits | None = item("Bounds on what one run may use.", {"memory": "512MiB"})
    parameters: dict[ParameterName, Parameter] | None = item(
        "What a request may give.", {"full": {"type": "boolean"}}
    )
    automatic: Automatic | None = item("The job's own criteria; any one of them starts it.", {"every": "4h"})
    planning: PlanningBlock | None = item("Where no Planning says otherwise.", {"mode": "automatic"})
    min_interval: PositiveDuration = item("The shortest interval that a domain area may plan.", default="1m")
    timeout: PositiveDuration | None = item("From the start; then it is stopped. Default: none.", "30m")
    stop_signal: Signal = item("How it is asked to stop.", default="TERM")
    stop_grace: Duration = item("How long it may take to stop before it is killed.", default="10s")
    retry: Retry | None = item("Further attempts of a run that failed; default: none.", {"attempts": 3})
    concurrency: Literal["skip", "queue", "replace", "allow"] = item(
        "When the last run is not over: `skip`, `queue` (at most one waits), `replace`, `allow`.",
        default="skip",
    )
    locks: list[Name] | None = item(
        "Each held by at most one run at a time, whatever started it.", ["database"]
    )
    warnings: Warnings | None = item("What makes a success a warning.", {"exitCodes": [3]})
    expect: Expect | None = item("What is normal.", {"successEvery": "26h"})
    executor: Executor | None = item("Where runs are executed; default: here.", {"name": "local"})
    report: Report | None = item("Who hears about outcomes.", {"recipients": ["ops@example.org"]})
    retention: Retention | None = item("How much history; default: the Installation's.", {"runs": 500})

    @model_validator(mode="after")
    def _agrees(self) -> JobSpec:
        if self.command is not None and self.script is not None:
            raise bad("E115", "a job has `command` or `script`, not both", "remove one", ("script",))
        if self.command is None and self.script is None:
            raise bad("E105", "the job does not say what runs", "add `command` or `script`")
        if self.shell is not None and self.script is None:
            raise bad(
                "E115", "`shell` is for `script`", "remove it, or put the shell into `command`", ("shell",)
            )
        if self.domains is not None and self.scope != "domain":
            raise bad("E115", "`domains` needs `scope: domain`", "add `scope: domain`", ("domains",))
        for name in self.secrets or ():
            if name in (self.environment or ()):
                raise bad("E115", f"`{name}` is in `environment` too", "keep one", ("secrets", name))
        return self


class Job(Model):
    """What runs. Name and scope are immutable; the description is edited here and nowhere else."""

    api_version: Literal["reconciler/v1"] = needed("The version of this form.")
    kind: Literal["Job"] = needed("The kind of document.")
    metadata: Metadata = needed("What the job is known by.", {"name": "backup"})
    spec: JobSpec = needed("What runs.", {"command": ["restic", "backup", "/srv"]})


def _check(body: Body) -> Iterator[Fault]:
    spec: dict[str, Any] = body["spec"]
    yield from annotation_faults(body, "Job")
    yield from command_faults(spec)
    planning = spec.get("planning") or {}
    if "schedule" in planning:
        yield from schedule_faults(planning["schedule"], ("spec", "planning", "schedule"))
    if planning.get("mode") == "automatic" and "automatic" not in spec:
        help = "add `automatic` criteria, or choose another mode"
        yield Fault(
            "E208", "`mode: automatic`, but the job has no criteria", help, ("spec", "planning", "mode")
        )


KIND = Kind("Job", Job, _check)

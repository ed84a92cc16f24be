"""Kubernetes CronJobs, as manifests or as `kubectl get cronjobs -o yaml` prints them.

What a container is cannot be carried over: image, volumes and the like are named in comments, and the command is
expected to be on this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.core.units import format_duration
from reconciler.spec.imports._changes import matching_dst
from reconciler.spec.imports._commands import unknown_command
from reconciler.spec.imports._documents import Document, File, Imported, Options, Writer
from reconciler.spec.reader import read_stream
from reconciler.triggers import ScheduleError
from reconciler.triggers.schedule import Dst

_CONCURRENCY = {"Allow": "allow", "Forbid": "skip", "Replace": "replace"}
_ZONE_PREFIX = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)")
_EVERY = re.compile(r"@every\s+((?:\d+(?:\.\d+)?[hms])+)")
_REFERENCE = re.compile(r"\$\$|\$\(([^()]*)\)")
_BACKOFF_LIMIT = 6
"""What batch/v1 takes where a Job does not say."""


def convert(files: Sequence[File], options: Options) -> Imported:
    """One Job for each CronJob; other kinds are named and left out."""
    writer = Writer(f"Imported from {', '.join(file.name for file in files)}")
    for file in files:
        for place, manifest in _manifests(file, writer):
            if manifest.get("kind") == "CronJob":
                _convert(_Manifest(manifest), place, options, writer)
            else:
                writer.remark_at(place, f"{manifest.get('kind', 'a document without kind')} is no CronJob")
    return writer.finish()


def _manifests(file: File, writer: Writer) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each manifest and its place; the items of a list one by one."""
    stream = read_stream(file.text.encode("utf-8", "surrogateescape"))
    for document in stream.documents:
        place = f"{file.name}:{document.line}"
        if not isinstance(document.value, dict):
            continue
        items = document.value.get("items")
        if not isinstance(items, list):
            yield place, document.value
            continue
        for number, item in enumerate(items, 1):
            if isinstance(item, dict):
                yield f"{place} item {number}", item
    for problem in stream.problems:
        line = problem.span.line if problem.span else 1
        writer.remark_at(f"{file.name}:{line}", f"this could not be read: {problem.message}")


class _Manifest:
    """A manifest that keeps account of what was read, so that nothing else is lost in silence."""

    def __init__(self, value: Any, path: str = "", read: set[str] | None = None) -> None:
        self._value: Mapping[str, Any] = value if isinstance(value, dict) else {}
        self._path = path
        self._read = set() if read is None else read

    def at(self, key: str) -> _Manifest:
        return _Manifest(self._value.get(key), f"{self._path}{key}.", self._read)

    def ignore(self, *keys: str) -> None:
        """Leave out in silence what says nothing about the job."""
        self._read.update(f"{self._path}{key}" for key in keys)

    def text(self, key: str) -> str:
        """A text, or "". What is of another type stays unread, and so among what is lost."""
        return str(self._typed(key, (str,)) or "")

    def number(self, key: str) -> float | None:
        value = self._typed(key, (int, float))
        return None if value is None or isinstance(value, bool) else float(value)

    def is_on(self, key: str) -> bool:
        return self._typed(key, (bool,)) is True

    def words(self, key: str) -> list[str]:
        return [str(word) for word in self._typed(key, (list,)) or ()]

    def texts(self, key: str) -> dict[str, str]:
        return {str(name): str(value) for name, value in (self._typed(key, (dict,)) or {}).items()}

    def _typed(self, key: str, types: tuple[type, ...]) -> Any:
        value = self._value.get(key)
        if value is None or isinstance(value, types):
            self._read.add(f"{self._path}{key}")
            return value
        return None

    def items(self, key: str) -> list[_Manifest]:
        values = self._value.get(key)
        listed = values if isinstance(values, list) else []
        return [_Manifest(value, f"{self._path}{key}[{n}].", self._read) for n, value in enumerate(listed)]

    def unread(self) -> list[str]:
        return [name for name in self._names() if name not in self._read]

    def _names(self) -> Iterator[str]:
        for key, value in self._value.items():
            name = f"{self._path}{key}"
            if isinstance(value, dict) and name not in self._read:
                inner = list(self.at(key)._names())
                # A branch of which nothing was read is named once.
                yield from inner if any(each in self._read for each in inner) else [name]
            elif isinstance(value, list) and any(read.startswith(f"{name}[") for read in self._read):
                for item in self.items(key):
                    yield from item._names()
            else:
                yield name


def _convert(manifest: _Manifest, place: str, options: Options, writer: Writer) -> None:
    metadata, spec = manifest.at("metadata"), manifest.at("spec")
    job_spec = spec.at("jobTemplate").at("spec")
    pod = job_spec.at("template").at("spec")
    manifest.ignore("kind", "apiVersion", "status")
    metadata.ignore("creationTimestamp", "resourceVersion", "uid", "generation", "managedFields")
    job = writer.add("Job", metadata.text("name"), place)
    job.labels = metadata.texts("labels")
    if namespace := metadata.text("namespace"):
        job.labels.setdefault("namespace", namespace)
    _command(pod, job, writer)
    job.spec |= _planning(spec, job, options, writer)
    job.spec["concurrency"] = _CONCURRENCY.get(spec.text("concurrencyPolicy"), "allow")
    if deadline := job_spec.number("activeDeadlineSeconds"):
        job.spec["timeout"] = format_duration(deadline)
    _retry(job_spec, pod, job)
    if lost := manifest.unread():
        writer.remark(f"no counterpart for {', '.join(lost)}", job)


def _command(pod: _Manifest, job: Document, writer: Writer) -> None:
    containers = pod.items("containers")
    if len(containers) > 1:
        writer.remark(f"only the first of {len(containers)} containers was carried over", job)
    container = containers[0] if containers else _Manifest({})
    container.ignore("name", "imagePullPolicy")
    image = container.text("image") or "(none)"
    arguments = container.words("args")
    environment = _environment(container, job, writer)
    if command := container.words("command"):
        writer.remark(f"it ran in the image {image}; here its command must be on this machine", job)
        job.spec["command"] = [_escaped(word, environment) for word in (*command, *arguments)]
    else:
        what = " ".join([f"the entry point of the image {image}", *arguments])
        job.spec |= unknown_command(what, job, writer)
    if folder := container.text("workingDir"):
        job.spec["workingDirectory"] = folder
    memory = re.fullmatch(r"(\d+)(|[KMGT]i)", container.at("resources").at("limits").text("memory"))
    if memory:
        job.spec["limits"] = {"memory": f"{memory[1]}{memory[2]}B"}


def _environment(container: _Manifest, job: Document, writer: Writer) -> set[str]:
    """Fill in variables and secrets; the names that `$(NAME)` may use."""
    variables: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for entry in container.items("env"):
        name = entry.text("name")
        reference = entry.at("valueFrom").at("secretKeyRef")
        secret, key = reference.text("name"), reference.text("key")
        if secret and key:
            secrets[name] = f"{secret}-{key}"
            writer.remark(f"{name}: put {key} of the Secret {secret} into the secrets directory as {secret}-{key}", job)
        elif entry.texts("valueFrom"):
            writer.remark(f"{name} was taken from the cluster, and is left out", job)
        else:
            variables[name] = entry.text("value")
    if variables:
        job.spec["environment"] = variables
    if secrets:
        job.spec["secrets"] = secrets
    return set(variables)


def _escaped(word: str, known: set[str]) -> str:
    """Kubernetes leaves `$(NAME)` as it is where it knows no such variable; for us that is a mistake."""

    def change(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$$" if word.startswith("(", match.end()) else "$"
        return match[0] if match[1] in known else f"${match[0]}"

    return _REFERENCE.sub(change, word)


def _planning(spec: _Manifest, job: Document, options: Options, writer: Writer) -> dict[str, Any]:
    text = " ".join(spec.text("schedule").split())
    zone = spec.text("timeZone")
    suspended = spec.is_on("suspend")
    if prefix := _ZONE_PREFIX.fullmatch(text):
        zone, text = zone or prefix[1], prefix[2]
    if every := _EVERY.fullmatch(text):
        job.comments.append("@every counted from the last scheduled time; here, from the last run's start.")
        planning = {"automatic": {"every": every[1]}}
        return planning | ({"planning": {"mode": "disabled"}} if suspended else {})
    if not zone:
        zone = options.time_zone or "UTC"
        job.comments.append(f"It named no time zone: the cluster's counts there, taken to be {zone}.")
    expression = _as_ours(text)
    block: dict[str, Any] = {"cron": expression, "timeZone": zone}
    try:
        dst = matching_dst(expression, zone)
    except (ScheduleError, KeyError) as error:
        writer.remark(f"its schedule `{text}` ({zone}) cannot be carried over ({error}): the job is disabled", job)
        return {"planning": {"mode": "disabled"}}
    if dst is None:
        text = "a time that a clock change leaves out does not run in Kubernetes; here it runs right after"
        writer.remark(text, job)
    if dst is not Dst.ONCE:
        block["dst"] = (dst or Dst.BOTH).value
    if deadline := spec.number("startingDeadlineSeconds"):
        block["startingDeadline"] = format_duration(deadline)
    return {"planning": {"mode": "disabled" if suspended else "scheduled", "schedule": block}}


def _as_ours(text: str) -> str:
    """robfig/cron's words in ours: `?` is `*`, `5/15` goes on to the end, `*/2` in a day field is no `*`."""
    fields = text.split()
    if len(fields) != 5:
        return text
    highest = (59, 23, 31, 12, 6)
    fields = [
        ",".join(re.sub(r"^(\w+)(/\d+)$", rf"\1-{high}\2", item.replace("?", "*")) for item in each.split(","))
        for each, high in zip(fields, highest, strict=True)
    ]
    if fields[2] != "*" and fields[4] != "*":
        for place, whole in ((2, "1-31"), (4, "0-6")):
            fields[place] = re.sub(r"^\*(?=/(?!1\b))", whole, fields[place])
    return " ".join(fields)


def _retry(job_spec: _Manifest, pod: _Manifest, job: Document) -> None:
    """A failed pod is started again after 10 s, 20 s, 40 s, ... at most 6 minutes, `backoffLimit` times."""
    limit = job_spec.number("backoffLimit")
    attempts = _BACKOFF_LIMIT + 1 if limit is None else min(int(limit) + 1, 100)
    pod.ignore("restartPolicy")
    if attempts > 1:
        job.spec["retry"] = {"attempts": attempts, "delay": "10s", "backoff": 2, "maxDelay": "6m"}



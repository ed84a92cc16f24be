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
        for number, manifest in enumerate(_manifests(file, writer), 1):
            place = f"{file.name}#{number}"
            if manifest.get("kind") == "CronJob":
                _convert(_Manifest(manifest), place, options, writer)
            else:
                writer.remark_at(place, f"{manifest.get('kind', 'a document without kind')} is no CronJob")
    return writer.finish()


def _manifests(file: File, writer: Writer) -> Iterator[dict[str, Any]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        # The C parser is quicker, and crashes on deep nesting.
        for document in YAML(typ="safe", pure=True).load_all(file.text):
            listed = document.get("items", []) if isinstance(document, dict) and "items" in document else [document]
            yield from (item for item in listed if isinstance(item, dict))
    except (YAMLError, RecursionError, ValueError) as error:
        writer.remark_at(file.name, f"the rest could not be read: {str(error).splitlines()[0]}")


class _Manifest:
    """A manifest that keeps account of what was read, so that nothing else is lost in silence."""

    def __init__(self, value: Any, path: str = "", read: set[str] | None = None) -> None:
        self._value: Mapping[str, Any] = value if isinstance(value, dict) else {}
        self._path = path
        self._read = set() if read is None else read

    def at(self, key: str) -> _Manifest:
        return _Manifest(self._value.get(key), f"{self._path}{key}.", self._read)

    def take(self, key: str, default: Any = None) -> Any:
        self._read.add(f"{self._path}{key}")
        value = self._value.get(key)
        return default if value is None else value

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
    for ours in ("kind", "apiVersion", "status"):
        manifest.take(ours)
    for noise in ("creationTimestamp", "resourceVersion", "uid", "generation", "managedFields"):
        metadata.take(noise)
    job = writer.add("Job", str(metadata.take("name", "cronjob")), place)
    job.labels = {str(key): str(value) for key, value in dict(metadata.take("labels", {})).items()}
    if namespace := metadata.take("namespace"):
        job.labels.setdefault("namespace", str(namespace))
    _command(pod, job, writer)
    job.spec |= _planning(spec, job, options, writer)
    job.spec["concurrency"] = _CONCURRENCY.get(spec.take("concurrencyPolicy", "Allow"), "allow")
    if (deadline := job_spec.take("activeDeadlineSeconds")) is not None:
        job.spec["timeout"] = format_duration(float(deadline))
    _retry(job_spec, pod, job)
    if lost := manifest.unread():
        writer.remark(f"no counterpart for {', '.join(lost)}", job)


def _command(pod: _Manifest, job: Document, writer: Writer) -> None:
    containers = pod.items("containers")
    if len(containers) > 1:
        writer.remark(f"only the first of {len(containers)} containers was carried over", job)
    container = containers[0] if containers else _Manifest({})
    container.take("name")
    container.take("imagePullPolicy")
    image = container.take("image", "no image")
    environment = _environment(container, job, writer)
    if command := container.take("command"):
        writer.remark(f"it ran in the image {image}; here its command must be on this machine", job)
        words = [*command, *container.take("args", [])]
        job.spec["command"] = [_escaped(str(word), environment) for word in words]
    else:
        arguments = f" with {container.take('args')}" if container.take("args") else ""
        job.spec |= unknown_command(f"the entry point of the image {image}{arguments}", job, writer)
    if folder := container.take("workingDir"):
        job.spec["workingDirectory"] = str(folder)
    limits = container.at("resources").at("limits")
    memory = re.fullmatch(r"(\d+)(|[KMGT]i)", str(limits.take("memory", "")))
    if memory:
        job.spec["limits"] = {"memory": f"{memory[1]}{memory[2]}B"}


def _environment(container: _Manifest, job: Document, writer: Writer) -> set[str]:
    """Fill in variables and secrets; the names that `$(NAME)` may use."""
    variables: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for entry in container.items("env"):
        name = str(entry.take("name", ""))
        reference = entry.at("valueFrom").at("secretKeyRef")
        secret, key = reference.take("name"), reference.take("key")
        if secret and key:
            secrets[name] = f"{secret}-{key}"
            writer.remark(f"{name}: put {key} of the Secret {secret} into the secrets directory as {secret}-{key}", job)
        elif not entry.take("valueFrom"):
            variables[name] = str(entry.take("value", ""))
        else:
            writer.remark(f"{name} was taken from the cluster, and is left out", job)
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
    text = " ".join(str(spec.take("schedule", "")).split())
    zone = str(spec.take("timeZone", ""))
    suspended = spec.take("suspend", False) is True
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
    if (deadline := spec.take("startingDeadlineSeconds")) is not None:
        block["startingDeadline"] = format_duration(float(deadline))
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
    limit = job_spec.take("backoffLimit", _BACKOFF_LIMIT)
    pod.take("restartPolicy")
    if isinstance(limit, int) and limit > 0:
        attempts = min(limit + 1, 100)
        job.spec["retry"] = {"attempts": attempts, "delay": "10s", "backoff": 2, "maxDelay": "6m"}



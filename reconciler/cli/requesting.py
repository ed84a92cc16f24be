"""Run now: which targets are meant, the RunRequest file, and what becomes of it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, say
from reconciler.cli.reading import read
from reconciler.core.access import SYSTEM
from reconciler.core.yamlout import dump

KEPT_SECONDS: Final = 7 * 86400
"""How long after its end a request's file stays."""
_OUTCOMES: Final = (
    ("failure", Exit.RUN_FAILED),
    ("warning", Exit.RUN_WARNING),
    ("interrupted", Exit.RUN_INTERRUPTED),
    ("cancelled", Exit.RUN_INTERRUPTED),
    ("skipped", Exit.RUN_REFUSED),
    ("missed", Exit.RUN_REFUSED),
)


class Wanted(NamedTuple):
    """What one request asks for: words for the file, and the jobs that they mean."""

    area: str
    """The domain whose folder the file goes to, "" for the system area."""
    words: tuple[str, ...]
    jobs: tuple[str, ...]
    targets: int


def targets_wanted(call: Call, names: Sequence[str], all_domains: bool) -> list[Wanted]:
    """Find what is meant by names and options, one request for each area. Raise Failure with how to say it better."""
    words: dict[str, dict[str, None]] = {}
    jobs: dict[str, dict[str, None]] = {}
    counts: dict[str, int] = {}
    areas = _areas(call)
    for name in names:
        job, _, domain = name.partition("@")
        every = all_domains or domain == "*"
        found = read(call, "jobs", name=job if domain == "*" else name)["items"]
        found = [item for item in found if not item["removed"]]
        if len(found) > 1 and not every:
            raise Failure(
                Exit.USAGE,
                f"`{job}` has {len(found)} targets, one for each domain",
                f"say which with -n DOMAIN or `{job}@DOMAIN`, or -A for all",
            )
        if not found:
            raise Failure(Exit.NOT_FOUND, f"`{name}` was removed: it cannot be run")
        for item in found:
            area = item["domain"] if areas else ""
            text = f"{job}@*" if every and item["domain"] and not areas else item["target"]
            words.setdefault(area, {})[text] = None
            jobs.setdefault(area, {})[job] = None
            counts[area] = counts.get(area, 0) + 1
    return [Wanted(area, tuple(words[area]), tuple(jobs[area]), counts[area]) for area in words]


def _areas(call: Call) -> bool:
    """Whether requests go to domain folders: whoever acts for a domain only may write there only."""
    return bool(read(call, "me")["role"] != SYSTEM)


def parameters_of(call: Call, wanted: Wanted, given: dict[str, str]) -> dict[str, Any]:
    """The parameters as their jobs declare them. Raise Failure with all that is wrong with them."""
    if not given:
        return {}
    from reconciler.spec.parameters import check_parameters, read_parameter

    values: dict[str, Any] = {}
    for job in wanted.jobs:
        target = next(word for word in wanted.words if word.partition("@")[0] == job).replace("@*", "")
        items = read(call, "jobs", name=target)["items"]
        definition = read(call, "describe", type="job", name=items[0]["target"])["definition"]
        spec = (definition or {}).get("spec", {})
        declared = spec.get("parameters") or {}
        values.update({name: read_parameter(declared.get(name, {}), text) for name, text in given.items()})
        _, errors = check_parameters(spec, {name: values[name] for name in given})
        if errors:
            raise Failure(
                Exit.USAGE, f"`{job}`: " + "; ".join(errors), f"`reconcile describe {target}` lists them"
            )
    return values


def write(repository: str, wanted: Wanted, at: float, spec: dict[str, Any]) -> tuple[str, str]:
    """Write the RunRequest file; return its path and the request's name."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    job = wanted.jobs[0] if len(wanted.jobs) == 1 else f"{len(wanted.jobs)}-jobs"
    name = f"{stamp.lower()}-{job[:36].rstrip('-.')}-{secrets.token_hex(2)}"
    document = {
        "apiVersion": "reconciler/v1",
        "kind": "RunRequest",
        "metadata": {"name": name},
        "spec": {
            "targets": list(wanted.words),
            "requestedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
            **spec,
        },
    }
    folder = os.path.join(repository, "jobs.d", *(("domains", wanted.area) if wanted.area else ()), "run")
    path = os.path.join(folder, f"{stamp}-{name[len(stamp) + 1 :]}.yaml")
    try:
        os.makedirs(folder, exist_ok=True)
        # Complete before it has its name: whoever watches never reads half of it.
        temporary = f"{path}.tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(dump(document))
        os.replace(temporary, path)
    except OSError as error:
        raise Failure(Exit.FAILED, f"could not write {path}: {error.strerror}") from None
    return path, name


def delete_expired(repository: str, at: float) -> int:
    """Delete the files of requests that expired long ago; return how many."""
    gone = 0
    for path in _request_files(repository):
        if _expired_at(repository, path) + KEPT_SECONDS < at:
            os.unlink(os.path.join(repository, path))
            gone += 1
    return gone


def _request_files(repository: str) -> Iterator[str]:
    top = os.path.join(repository, "jobs.d")
    folders = [os.path.join(top, "run")]
    domains = os.path.join(top, "domains")
    if os.path.isdir(domains):
        folders += [os.path.join(domains, name, "run") for name in sorted(os.listdir(domains))]
    for folder in folders:
        if os.path.isdir(folder):
            for name in sorted(os.listdir(folder)):
                if name.endswith(".yaml") and name[:1].isdigit():
                    yield os.path.relpath(os.path.join(folder, name), repository)


def _expired_at(repository: str, path: str) -> float:
    """When the last request of a file expires; never for a file that holds anything else."""
    from datetime import UTC, datetime

    from reconciler.core.units import parse_duration
    from reconciler.ports.source import area_of
    from reconciler.spec.load import load_file

    with open(os.path.join(repository, path), "rb") as file:
        loaded = load_file(path, file.read(1 << 20), area_of(path))
    ends = []
    for each in loaded.objects:
        if each.kind != "RunRequest":
            return float("inf")
        asked = datetime.fromisoformat(str(each.spec["requestedAt"]).replace("Z", "+00:00"))
        asked = asked if asked.tzinfo else asked.replace(tzinfo=UTC)
        ends.append(asked.timestamp() + parse_duration(str(each.spec.get("expiresAfter", "1h"))))
    return float("inf") if loaded.diagnostics or not ends else max(ends)


def wait_for(call: Call, wanted: Wanted, name: str, timeout_seconds: float | None) -> Exit:
    """Wait until all runs of a request have ended; return the exit code of the worst of them."""
    from reconciler.cli.times import now
    from reconciler.cli.waiting import pause

    end = now() + timeout_seconds if timeout_seconds is not None else float("inf")
    told: dict[str, str] = {}
    while True:
        runs = _look(call, name)
        for run in runs or ():
            if told.get(run["name"]) != run["state"]:
                told[run["name"]] = run["state"]
                why = run.get("waiting") or run.get("reason", "")
                say(f"{run['name']}: {run['state']}" + (f" ({why})" if why else ""))
        if runs is not None and all(run["state"] not in ("queued", "running") for run in runs):
            states = {run["state"] for run in runs}
            return next((code for state, code in _OUTCOMES if state in states), Exit.OK)
        if now() > end:
            raise Failure(Exit.TIMEOUT, f"not all of {wanted.targets} runs ended in time", "they go on")
        pause(0.2)


def _look(call: Call, name: str) -> list[dict[str, Any]] | None:
    """The runs of a request; None before it is handled."""
    try:
        answer = read(call, "describe", type="request", name=name)
    except Failure as failure:
        if failure.exit_code in (Exit.NOT_FOUND, Exit.NO_DAEMON):
            return None
        raise
    item = answer["item"]
    if item.get("conflict"):
        raise Failure(Exit.STALE, str(item["conflict"]))
    if item["outcome"] != "accepted":
        raise Failure(Exit.RUN_REFUSED, f"the request was {item['outcome']}: {item.get('message', '')}")
    runs: list[dict[str, Any]] = answer["runs"]
    return runs

"""What an imported schedule promises, and what the original's own rule says."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML

from reconciler.spec.imports import File, Imported, Options, convert
from reconciler.spec.load import load_file
from reconciler.triggers import compile_schedule

Accepts = Callable[[datetime], bool]


def imported(kind: str, text: str, name: str = "file", **options: Any) -> Imported:
    """Import one file; whatever comes out must validate."""
    result = convert(kind, [File(name, text)], Options(**options))
    assert load_file("import.yaml", result.documents_yaml.encode()).diagnostics == ()
    return result


def documents(text: str, kind: str = "Job") -> dict[str, dict[str, Any]]:
    """The specs of one kind by name."""
    found = [document for document in YAML(typ="safe").load_all(text) if document]
    return {document["metadata"]["name"]: document["spec"] for document in found if document["kind"] == kind}


def only_job(result: Imported) -> dict[str, Any]:
    (job,) = documents(result.documents_yaml).values()
    return job


def slots(schedule: dict[str, Any], after: datetime, count: int, zone: str = "UTC") -> list[datetime]:
    """The next slots of a schedule block, as a forecast shows them."""
    compiled = compile_schedule(schedule, zone)
    at: int | None = int(after.timestamp())
    found: list[datetime] = []
    while at is not None and len(found) < count:
        at = compiled.next_after(at)
        if at is not None:
            found.append(datetime.fromtimestamp(at, UTC))
    return found


def slots_between(schedule: dict[str, Any], start: datetime, end: datetime) -> list[datetime]:
    count = compile_schedule(schedule, "UTC").count(int(start.timestamp()), int(end.timestamp()), 100_000)
    return slots(schedule, start, count)


def walk(accepts: Accepts, start: datetime, end: datetime, zone: str, *, passes: int) -> list[datetime]:
    """Go through (start, end] in steps of five minutes and keep those whose local time is accepted.

    `passes`: 1 keeps only the first pass of a repeated time, 2 only the second, 3 both.
    """
    found: list[datetime] = []
    at = start
    while (at := at + timedelta(minutes=5)) <= end:
        local = at.astimezone(ZoneInfo(zone))
        # A time is repeated where its other fold lies elsewhere, and earlier for fold 1.
        repeated = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        if accepts(local) and (not repeated or passes & (1 << local.fold)):
            found.append(at)
    return found


def systemd_slots(event: str, after: datetime, count: int, zone: str) -> list[datetime]:
    """The next elapses of a calendar event by systemd itself."""
    base = after.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    command = ["systemd-analyze", "calendar", event, f"--iterations={count}", f"--base-time={base}"]
    # In a zone other than UTC, the lines "(in UTC)" carry the instants.
    output = subprocess.run(command, env=os.environ | {"TZ": zone}, capture_output=True, text=True, check=True)
    lines = re.findall(r"\(in UTC\): \w{3} (\S+ \S+) UTC", output.stdout)
    return [datetime.strptime(line, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) for line in lines]

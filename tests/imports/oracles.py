"""What an imported schedule promises, and what the original's own rule says."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import UTC, datetime
from typing import Any

from ruamel.yaml import YAML

from reconciler.triggers import compile_schedule


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in YAML(typ="safe").load_all(text) if document]


def jobs(text: str) -> dict[str, dict[str, Any]]:
    return {d["metadata"]["name"]: d["spec"] for d in documents(text) if d["kind"] == "Job"}


def slots(schedule: dict[str, Any], after: datetime, count: int, zone: str = "UTC") -> list[datetime]:
    """The next slots of a schedule block, as our own forecast sees them."""
    compiled = compile_schedule(schedule, zone)
    at: int | None = int(after.timestamp())
    found = []
    while len(found) < count and (at := compiled.next_after(at)) is not None:
        found.append(datetime.fromtimestamp(at, UTC))
    return found


def systemd_slots(event: str, after: datetime, count: int, zone: str) -> list[datetime]:
    """The next elapses of a calendar event by systemd itself."""
    base = after.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    command = ["systemd-analyze", "calendar", event, f"--iterations={count}", f"--base-time={base}"]
    # With TZ=UTC both lines of an iteration would be one; in a zone, "(in UTC)" carries the instant.
    output = subprocess.run(command, env=os.environ | {"TZ": zone}, capture_output=True, text=True, check=True)
    lines = re.findall(r"\(in UTC\): \w{3} (\S+ \S+) UTC", output.stdout)
    return [datetime.strptime(line, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) for line in lines]

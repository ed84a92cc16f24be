"""Short ways to write documents in tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.core.diagnostics import render
from reconciler.ports.source import area_of
from reconciler.spec.load import load_file
from reconciler.spec.objects import Identity, SpecObject


def document(kind: str, name: str, spec: Mapping[str, Any] | None = None, **metadata: Any) -> str:
    """One document as text (JSON is YAML)."""
    import json

    whole = {
        "apiVersion": "reconciler/v1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": spec or {},
    }
    return json.dumps(whole) + "\n"


def job(name: str, **spec: Any) -> str:
    labels = {"command": ["true"]} if "script" not in spec else {}
    return document("Job", name, {**labels, **spec})


def objects(*documents: str, **areas: str) -> dict[Identity, SpecObject]:
    """Load documents of the system area, and of domain areas given as `acme_example="..."`."""
    files = {f"jobs.d/{number}.yaml": text for number, text in enumerate(documents)}
    files |= {f"jobs.d/domains/{name.replace('_', '.')}/a.yaml": text for name, text in areas.items()}
    found: dict[Identity, SpecObject] = {}
    for path, text in files.items():
        loaded = load_file(path, text.encode(), area_of(path))
        assert not loaded.diagnostics, render(loaded.diagnostics)
        found |= {each.identity: each for each in loaded.objects}
    return found

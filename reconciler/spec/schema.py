"""The JSON Schemas of all kinds (draft 2020-12), made from the models: what editors and CI validate with."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from reconciler.spec.kinds import kinds
from reconciler.spec.objects import API_VERSION

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ALL: Final = "reconciler.json"
"""The schema of documents of any kind."""


def schemas() -> dict[str, dict[str, Any]]:
    """All schemas by file name: one per kind, and one for any kind."""
    singles = {name: _of_kind(name) for name in kinds()}
    files = {f"{name.lower()}.json": schema for name, schema in singles.items()}
    files[ALL] = _of_all(singles)
    return files


def schema_text(schema: Mapping[str, Any]) -> str:
    """The text of a schema's file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _of_kind(name: str) -> dict[str, Any]:
    model = kinds()[name].model
    generated = model.model_json_schema(by_alias=True, schema_generator=GenerateJsonSchema)
    cleaned: dict[str, Any] = _clean(generated)
    return {
        "$schema": DIALECT,
        "title": name,
        **{key: each for key, each in cleaned.items() if key != "title"},
    }


def _of_all(singles: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    branches = []
    for name, schema in singles.items():
        inner = _renamed({key: each for key, each in schema.items() if key not in ("$schema", "$defs")}, name)
        definitions[name] = inner
        for key, each in schema.get("$defs", {}).items():
            definitions[f"{name}.{key}"] = _renamed(each, name)
        branches.append(
            {
                "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
                "then": {"$ref": f"#/$defs/{name}"},
            }
        )
    return {
        "$schema": DIALECT,
        "title": "A document of jobs.d",
        "description": "Any kind of document; `kind` says which.",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": API_VERSION, "description": "The version of this form."},
            "kind": {"enum": list(singles), "description": "The kind of document."},
        },
        "allOf": branches,
        "$defs": definitions,
    }


def _renamed(value: Any, prefix: str) -> Any:
    """References into a kind's own definitions, as they are called in the schema of all kinds."""
    if isinstance(value, dict):
        return {
            key: each.replace("#/$defs/", f"#/$defs/{prefix}.") if key == "$ref" else _renamed(each, prefix)
            for key, each in value.items()
        }
    return [_renamed(each, prefix) for each in value] if isinstance(value, list) else value


def _clean(value: Any) -> Any:
    """Take out what pydantic says for Python only: `null` for a field left out, its default, titles of models."""
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if not isinstance(value, dict):
        return value
    value = {key: _clean(each) for key, each in value.items()}
    choices = value.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        rest = [each for each in choices if each != {"type": "null"}]
        value = {key: each for key, each in value.items() if key != "anyOf"}
        value = {**rest[0], **value} if len(rest) == 1 else {**value, "anyOf": rest}
    if "default" in value and value["default"] is None:
        del value["default"]
    if "patternProperties" in value:
        value["additionalProperties"] = False
    if value.get("examples") is None:
        value.pop("examples", None)
    return value


def write_schemas(folder: Path) -> None:
    """Write all schemas into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        (folder / name).write_text(schema_text(schema), encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1] if len(sys.argv) > 1 else "schemas"))

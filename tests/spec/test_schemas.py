"""The JSON Schemas are what the models say, and judge documents as they do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconciler.spec.kinds import kinds
from reconciler.spec.reader import read_stream
from reconciler.spec.schema import ALL, schema_text, schemas
from tests.spec.documents import Bad, bad, good

SCHEMAS = schemas()
VALIDATORS = {name: jsonschema.Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
FOLDER = Path(__file__).parents[2] / "schemas"


def test_the_schemas_in_the_repository_are_up_to_date() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    wanted = {name: schema_text(schema) for name, schema in SCHEMAS.items()}
    assert found == wanted, "run: python -m reconciler.spec.schema"


def test_there_is_a_schema_for_each_kind_and_one_for_all() -> None:
    assert set(SCHEMAS) == {f"{name.lower()}.json" for name in kinds()} | {ALL}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_a_valid_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("path", good(), ids=lambda path: path.stem)
def test_a_good_document_is_good_for_the_schemas_too(path: Path) -> None:
    for document in read_stream(path.read_bytes()).documents:
        for name in (ALL, f"{document.value['kind'].lower()}.json"):
            VALIDATORS[name].validate(document.value)


@pytest.mark.parametrize(
    "case", [case for case in bad() if "yaml" not in case.words], ids=lambda case: case.name
)
def test_a_bad_document_is_bad_for_the_schemas_too(case: Bad) -> None:
    [document] = read_stream(case.text).documents
    judged = [not VALIDATORS[name].is_valid(document.value) for name in (ALL, _single(document.value))]
    assert judged == ["semantic" not in case.words] * 2


def _single(value: Any) -> str:
    kind = value.get("kind", "") if isinstance(value, dict) else ""
    return f"{kind.lower()}.json" if kind in kinds() else ALL


def _fields(schema: Any) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(schema, list):
        return [field for each in schema for field in _fields(each)]
    if not isinstance(schema, dict):
        return []
    own = [] if "if" in schema and len(schema) == 2 else list(schema.get("properties", {}).items())
    rules = ("if", "then", "else", "examples", "default", "allOf", "oneOf")
    return own + [field for key, each in schema.items() if key not in rules for field in _fields(each)]


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != ALL])
def test_every_field_has_a_title_and_a_description(name: str) -> None:
    for field, schema in _fields(SCHEMAS[name]):
        assert schema.get("title") or schema.get("$ref"), field
        assert schema.get("description"), field


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != ALL])
def test_every_example_of_a_field_is_valid(name: str) -> None:
    definitions = SCHEMAS[name].get("$defs", {})
    for field, schema in _fields(SCHEMAS[name]):
        for example in schema.get("examples", []):
            one = {**schema, "$defs": definitions}
            errors = list(jsonschema.Draft202012Validator(one).iter_errors(example))
            assert not errors, f"{field}: {json.dumps(example)}: {errors[0].message}"

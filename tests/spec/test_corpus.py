"""Good documents load, bad ones give their codes with a place and a page that says what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.core.diagnostics import render
from reconciler.spec.kinds import kinds
from reconciler.spec.load import load_file
from tests.spec.documents import GOLDEN, Bad, bad, good


@pytest.mark.parametrize("path", good(), ids=lambda path: path.stem)
def test_a_good_document_gives_objects_and_no_diagnostics(path: Path) -> None:
    loaded = load_file(f"jobs.d/{path.name}", path.read_bytes())
    assert render(loaded.diagnostics) == ""
    assert loaded.objects


def test_the_good_documents_use_every_kind() -> None:
    found = {each.kind for path in good() for each in load_file(path.name, path.read_bytes()).objects}
    assert found == set(kinds())


@pytest.mark.parametrize("case", bad(), ids=lambda case: case.name)
def test_a_bad_document_gives_its_codes_and_no_object(case: Bad) -> None:
    loaded = load_file(f"jobs.d/{case.name}.yaml", case.text)
    assert {each.code for each in loaded.diagnostics} == case.codes
    assert loaded.objects == ()


@pytest.mark.parametrize("case", bad(), ids=lambda case: case.name)
def test_a_bad_document_is_shown_as_on_its_golden_page(case: Bad) -> None:
    page = render(load_file(f"jobs.d/{case.name}.yaml", case.text).diagnostics)
    golden = GOLDEN / f"{case.name}.txt"
    if "UPDATE_GOLDEN" in os.environ:
        golden.write_text(page, encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == page


def test_every_golden_page_belongs_to_a_document() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {case.name for case in bad()}


@pytest.mark.parametrize("case", bad(), ids=lambda case: case.name)
def test_every_diagnostic_has_a_place_in_its_file(case: Bad) -> None:
    lines = case.text.decode().splitlines()
    for each in load_file("jobs.d/x.yaml", case.text).diagnostics:
        assert 1 <= each.line <= len(lines) + 1
        assert each.column >= 1
        assert each.end_column > each.column

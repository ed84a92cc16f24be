"""Edits in the text of a document: the values asked for, and every other character as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.spec.edits import REMOVED, CannotEdit, Instead, edit
from reconciler.spec.reader import read_stream

HEAD = "kind: P\nmetadata: {name: a}\n"


def edited(text: str, *loc: str, value: Any) -> str:
    return edit(HEAD + text, "P", "a", {loc: value}).removeprefix(HEAD)


@pytest.mark.parametrize(
    ("before", "loc", "value", "after"),
    [
        ("spec: {}", "spec.x", 1, "spec: {x: 1}"),
        ("spec: { a: 1 }", "spec.x", 2, "spec: { a: 1, x: 2 }"),
        ("spec: {a: 1,}", "spec.x", 2, "spec: {a: 1, x: 2}"),
        ("spec:\n    a: 1 # one\n# end\n", "spec.x", "on", 'spec:\n    a: 1 # one\n    x: "on"\n# end\n'),
        ("spec:\r\n  a: 1\r\n", "spec.x", 2, "spec:\r\n  a: 1\r\n  x: 2\r\n"),
        ("spec:\n  a: |\n    text\n\nz: 1\n", "spec.x", 2, "spec:\n  a: |\n    text\n\n  x: 2\nz: 1\n"),
        ("spec: {a: 'x'}", "spec.a", "it's", "spec: {a: 'it''s'}"),
        ('spec: {a: "x"}', "spec.a", "y", 'spec: {a: "y"}'),
        ("spec:\n  a:\n  - 1\n  - 2\n  b: 3", "spec.a", [4], "spec:\n  a: [4]\n  b: 3"),
        ("spec:\n  a: 1\n  b:\n    c: 1\n", "spec.b", REMOVED, "spec:\n  a: 1\n"),
        ("spec:\n  a: 1\n  b:\n    c: 1\n", "spec.b.c", REMOVED, "spec:\n  a: 1\n"),
        ("spec: {a: 1, b: 2}", "spec.a", REMOVED, "spec: {b: 2}"),
        ("spec: {a: 1, b: 2}", "spec.b", REMOVED, "spec: {a: 1}"),
        ("spec:\n  a: 1 # why\n", "spec.a", Instead("b", 2), "spec:\n  b: 2 # why\n"),
        ("spec:\n  é: ü # ñ\n", "spec.é", "ö", 'spec:\n  é: "ö" # ñ\n'),
    ],
)
def test_one_field_changes_and_the_rest_stays(before: str, loc: str, value: Any, after: str) -> None:
    assert edited(before, *loc.split("."), value=value) == after


@pytest.mark.parametrize(
    "text", ["spec: {a: &x 1, b: *x}", "spec:\n  a: |\n    text\n", "spec: &s {a: 1}\nt: *s"]
)
def test_what_is_shared_or_a_block_of_text_is_left_to_people(text: str) -> None:
    with pytest.raises(CannotEdit):
        edited(text, "spec", "a", value=2)


def test_a_document_that_is_not_there_or_stands_twice_is_refused() -> None:
    for text in ("kind: Q\nmetadata: {name: a}\n", f"{HEAD}---\n{HEAD}", "kind: ["):
        with pytest.raises(CannotEdit):
            edit(text, "P", "a", {("spec", "x"): 1})


_words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
_values = st.one_of(st.booleans(), st.integers(-(10**9), 10**9), _words, st.lists(_words, max_size=3))


@given(
    _values, st.sampled_from(["spec: {a: 1, b: 2}", "spec:\n  a: 1\n  b: 2\n", "spec:\n  a: 'x' # y\n  b: 2"])
)
def test_whatever_is_written_is_read_back(value: Any, text: str) -> None:
    new = edit(HEAD + text, "P", "a", {("spec", "a"): value, ("spec", "c"): value})
    (document,) = read_stream(new.encode()).documents
    assert document.value["spec"] == {"a": value, "b": 2, "c": value}

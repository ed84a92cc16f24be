"""YAML as we write it reads back as what was written."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from reconciler.core.yamlout import Inline, dump

_TEXT = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "yes",
            "null",
            "1e3",
            "0x1f",
            "12:30",
            "2026-11-22",
            "- a",
            "a: b",
            "#c",
            "~",
            "=",
            "<<",
            " x ",
            ".5",
        ]
    ),
)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), _TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXT, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(_TEXT, _VALUES, max_size=5))
def test_what_is_written_reads_back_the_same(value: dict[str, Any]) -> None:
    assert YAML(typ="safe").load(dump(value)) == value


def test_a_mapping_may_be_kept_on_one_line() -> None:
    assert dump({"conditions": [Inline(type="Ready", status="True")]}) == (
        'conditions:\n  - {"type": "Ready", "status": "True"}\n'
    )

"""The golden tests of schedules: what `reconcile test tests/golden` plays, each as a test of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.core.diagnostics import render
from reconciler.rehearsal.judging import judge
from reconciler.rehearsal.reading import read_script
from reconciler.rehearsal.rendering import render_text
from reconciler.rehearsal.script import Case

GOLDEN = Path(__file__).parents[1] / "golden"


def cases() -> list[Case]:
    found = []
    for path in sorted(GOLDEN.iterdir()):
        script = read_script(f"tests/golden/{path.name}", path.read_bytes())
        assert not script.diagnostics, render(script.diagnostics)
        assert script.cases, path
        found += script.cases
    return found


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{Path(case.path).stem}: {case.name}")
def test_it_happens_as_it_is_written(case: Case) -> None:
    verdict = judge(case, lambda: ())
    assert verdict.is_good, render_text([verdict])

"""Two commits are compared offline as the daemon will compare them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.sources.tree import read_revision
from reconciler.spec import proposal
from reconciler.spec.loading import loader_of
from reconciler.spec.resolve import ResolveCache
from tests.changes.versions import compare
from tests.sources.place import BROKEN, NOW, Place, job, many

pytestmark = pytest.mark.needs("git")


def test_a_pipeline_prints_the_digest_that_the_daemon_will_wait_for(tmp_path: Path) -> None:
    place = Place(tmp_path / "site")
    place.git("init", "-q")
    place.write("a.yaml", many(*(job(f"a{n}") for n in range(30))))
    place.write("b.yaml", job("b"))
    place.commit("first")
    compare(place)
    place.write("a.yaml", many(*(job(f"a{n}") for n in range(5))))
    place.write("b.yaml", BROKEN)
    place.commit("second")
    snapshots = [read_revision(place.root, name) for name in ("HEAD~1", "HEAD")]
    offline = proposal.compare(*snapshots, loader_of(ResolveCache(), clock=lambda: NOW), NOW).changes()
    daemon = compare(place)
    assert offline.guard.digest == daemon.guard.digest != ""
    assert offline.held == (("Job b", "its file is rejected"),)
    assert [str(each) for each in offline.objects] == [str(each) for each in daemon.objects]

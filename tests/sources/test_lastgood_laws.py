"""Laws of accepting that hold for whatever is written, in whatever order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.changes import Changes
from reconciler.core.desired import Desired
from reconciler.core.model import Revision
from reconciler.ports.source import FileStamp, Snapshot, SourceFile, area_of
from reconciler.sources.folder import changed_paths, stale
from reconciler.sources.scan import blob_id
from reconciler.spec.lastgood import Accepted, accept
from reconciler.spec.loading import loader_of
from reconciler.spec.proposal import Proposal, propose
from reconciler.spec.resolve import ResolveCache
from reconciler.spec.stored import Stored
from tests.sources.place import BROKEN, INSTALLATION, NOW, domain, domain_job, job, kept, many, planning

DOCUMENTS = st.sampled_from(
    [
        *(job(name) for name in "abc"),
        *(job(name, "  timeout: 5m\n") for name in "ab"),
        job("c", "  automatic: {after: [a]}\n"),
        domain("one.example"),
        domain("two.example", "{tier: gold}"),
        domain_job("d"),
        domain_job("d", "  domains: {matchLabels: {tier: gold}}\n"),
        domain_job("a"),
        planning("d", "{mode: disabled}"),
        planning("b", "{mode: scheduled, schedule: {every: 1h}}"),
        planning("x", "{job: nothing, mode: disabled}"),
        INSTALLATION,
        BROKEN,
        "# nothing\n",
    ]
)
PATHS = st.sampled_from(
    ["jobs.d/a.yaml", "jobs.d/b.yaml", "jobs.d/sub/c.yaml", "jobs.d/domains/one.example/p.yaml"]
)
few = settings(max_examples=30)
TREES = st.dictionaries(PATHS, st.lists(DOCUMENTS, min_size=1, max_size=3).map(lambda each: many(*each)))


class Kept:
    """What a reconciler keeps between two looks at the source."""

    def __init__(self) -> None:
        self.stored, self.desired, self.cache = Stored(), Desired(), ResolveCache()

    def snapshot(self, tree: dict[str, str]) -> Snapshot:
        known = self.stored.known()
        stamps = {}
        for path, text in tree.items():
            name = blob_id(text.encode())
            stamps[path] = FileStamp(0, int(name[:15], 16), len(text), name)
        wanted = stale(known, stamps)
        files = {
            path: SourceFile(path, stamp, tree[path].encode() if path in wanted else None)
            for path, stamp in stamps.items()
        }
        return Snapshot(files, Revision("r"), changed_paths(known, files, {}))

    def loader(self):
        return loader_of(self.cache, clock=lambda: NOW)

    def accept(self, tree: dict[str, str]) -> Accepted:
        accepted = accept(self.stored, self.snapshot(tree), self.loader())
        self._keep(accepted)
        return accepted

    def propose(self, tree: dict[str, str], approve: bool = False) -> Proposal:
        found = propose(self.stored, self.desired, self.snapshot(tree), self.loader(), NOW)
        if approve and found.guard.digest:
            digest = {found.guard.digest}
            found = propose(
                self.stored, self.desired, self.snapshot(tree), self.loader(), NOW, approved=digest
            )
        self._keep(found.accepted)
        return found

    def _keep(self, accepted: Accepted) -> None:
        self.stored, self.desired = kept(self.stored, accepted.stored), accepted.desired


@few
@given(st.lists(TREES, min_size=1, max_size=3), TREES)
def test_zero_objects_read_means_zero_deletions(trees: list[dict[str, str]], last: dict[str, str]) -> None:
    keeper = Kept()
    for tree in trees:
        keeper.accept(tree)
    before, objects = set(keeper.desired.targets), set(keeper.stored.objects)
    for nothing in ({}, dict.fromkeys(last, BROKEN), dict.fromkeys(last, "# nothing\n")):
        accepted = keeper.accept(nothing)
        assert objects <= set(accepted.stored.objects)
        assert before <= set(accepted.desired.targets)


@few
@given(st.lists(TREES, min_size=1, max_size=4), st.booleans())
def test_applied_then_planned_is_empty_unless_something_waits(
    trees: list[dict[str, str]], approve: bool
) -> None:
    keeper = Kept()
    for tree in trees:
        keeper.propose(tree, approve)
        again: Changes = keeper.propose(tree, approve).changes()
        assert again.is_empty or again.is_blocked or again.refused


@few
@given(st.lists(TREES, min_size=2, max_size=4))
def test_a_restart_changes_nothing(trees: list[dict[str, str]]) -> None:
    keeper = Kept()
    for tree in trees:
        keeper.accept(tree)
        before, rejected = keeper.desired, set(keeper.accept(tree).rejected)
        keeper.cache = ResolveCache()
        again = keeper.accept(tree)
        assert again.changed == frozenset()
        assert {t: p.digest for t, p in again.desired.targets.items()} == {
            t: p.digest for t, p in before.targets.items()
        }
        assert set(again.rejected) == rejected


@few
@given(st.lists(TREES, min_size=2, max_size=4))
def test_an_object_only_goes_when_no_rejected_file_may_hold_it(trees: list[dict[str, str]]) -> None:
    keeper = Kept()
    for tree in trees:
        before = keeper.stored
        accepted = keeper.accept(tree)
        for identity in before.objects.keys() - accepted.stored.objects.keys():
            path = before.objects[identity].object.path
            assert path not in accepted.rejected
            for rejected in accepted.rejected:
                if (area_of(rejected) or "") != identity.domain:
                    continue
                assert f"kind: {identity.kind}\nmetadata: {{name: {identity.name}" not in tree[rejected]


@few
@given(TREES)
def test_the_same_files_are_accepted_alike_in_any_order(tree: dict[str, str]) -> None:
    forward, backward = Kept(), Kept()
    forward.accept(tree)
    backward.accept(dict(reversed(tree.items())))
    assert forward.stored.objects == backward.stored.objects
    assert forward.stored.rejected == backward.stored.rejected

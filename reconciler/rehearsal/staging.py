"""From the documents of a test to what is desired, and when; the names that it uses, found among the targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler.core.diagnostics import Diagnostic, suggest
from reconciler.core.facts import from_epoch
from reconciler.core.model import TargetId
from reconciler.core.plan import Plan
from reconciler.ports.source import DOMAINS, TREE, area_of
from reconciler.rehearsal.play import Version, start_of
from reconciler.rehearsal.script import Case, Doing, Event, Expectation, Page
from reconciler.spec.load import load_file
from reconciler.spec.objects import Identity, SpecObject
from reconciler.spec.places import locate
from reconciler.spec.resolve import ResolveCache, resolve
from reconciler.spec.validate import validate_tree

Files = Iterable[tuple[str, bytes]]
_NO_TARGET = (Doing.DOWN, Doing.ASLEEP, Doing.OFF, Doing.REMOVE)


class Setting:
    """What a test is played with. `diagnostics` say why it cannot be."""

    def __init__(self, case: Case, repository: Files) -> None:
        """`repository` are the files of jobs.d, read only where the test brings no documents of its own."""
        self.case = case
        self.diagnostics: list[Diagnostic] = []
        self.versions: list[Version] = []
        self._pages = {_path(number, page): page for number, page in enumerate(case.pages)}
        start = start_of(case)
        said: list[Event | Expectation] = [*case.events, *case.expectations]
        for each in said:
            if each.until <= start or (isinstance(each, Event) and each.at < start):
                self._say(each.line, "this lies before the documents are applied", "say when: `applied: T`")
        own = {path: page.content for path, page in self._pages.items() if page.since is None}
        objects = self._first(own or repository)
        if not self.diagnostics:
            self._later(objects)
        self.targets = list(dict.fromkeys(t for each in self.versions for t in each.desired.targets))
        if not self.diagnostics:
            self._check_names()
            self._leave_out_extras()

    def find(self, name: str) -> list[TargetId]:
        """The targets that `job`, `job@domain` or `job@*` means; "" means all, and what there is not means none."""
        if not name:
            return self.targets
        wanted = TargetId.parse(name)
        if wanted.domain == "*":
            return [each for each in self.targets if each.job == wanted.job and each.domain]
        return [each for each in self.targets if each == wanted]

    # Documents.

    def _first(self, files: Mapping[str, bytes] | Files) -> dict[Identity, SpecObject]:
        start = start_of(self.case)
        result = validate_tree(files.items() if isinstance(files, Mapping) else files, from_epoch(start))
        self._take(result.diagnostics)
        self.versions.append(Version(start, result.desired))
        return dict(result.objects)

    def _later(self, objects: dict[Identity, SpecObject]) -> None:
        """What is desired after each change."""
        cache = ResolveCache()
        pages = {path: page for path, page in self._pages.items() if page.since is not None}
        removals = [each for each in self.case.events if each.doing is Doing.REMOVE]
        for at in sorted({page.since or 0 for page in pages.values()} | {each.at for each in removals}):
            for path, page in pages.items():
                if page.since == at:
                    loaded = load_file(path, page.content, area_of(path))
                    self._take(loaded.diagnostics)
                    objects |= {each.identity: each for each in loaded.objects}
            for event in removals:
                if event.at == at:
                    kind, _, name = event.target.partition("/")
                    gone = [key for key in objects if key.kind.lower() == kind.lower() and key.name == name]
                    if not gone:
                        known = [f"{key.kind}/{key.name}" for key in objects]
                        self._say(event.line, f"there is no `{event.target}`", suggest(event.target, known))
                    for identity in gone:
                        del objects[identity]
            resolved = resolve(dict(objects), cache, now=from_epoch(at))
            contents = {path: page.content for path, page in self._pages.items()}
            self._take(
                locate(each, contents[each.path]) if each.path in contents else each
                for each in resolved.diagnostics
            )
            self.versions.append(Version(at, resolved.desired))

    def _take(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Take up errors, at the places where the test writes its documents."""
        for each in diagnostics:
            if each.severity == "error":
                message = each.message
                for path in self._pages:
                    message = message.replace(path, self.case.path)
                own = each.path in self._pages
                self.diagnostics.append(
                    replace(each, message=message, path=self.case.path if own else each.path)
                )

    # Names.

    def _check_names(self) -> None:
        used = [(each.target, each.line) for each in self.case.expectations if each.target]
        used += [(each.target, each.line) for each in self.case.events if each.doing not in _NO_TARGET]
        used += [(name, self.case.line) for name in self.case.fates]
        jobs = {each.job for each in self.targets}
        for name, line in dict.fromkeys(used):
            is_fate = line == self.case.line and name in self.case.fates
            if self.find(name) or (is_fate and name in jobs):
                continue
            if name in jobs:
                example = next(str(each) for each in self.targets if each.job == name)
                self._say(line, f"{name} runs once per domain", f"write `{example}`, or `{name}@*` for all")
            else:
                known = {str(each) for each in self.targets}
                self._say(line, f"there is no target `{name}`", suggest(name, known))

    def _leave_out_extras(self) -> None:
        """Play without targets that can change nothing of what is asked.

        A run that takes no time keeps nobody waiting; so whoever is not named, takes no time and is not waited for
        (`after`) by others that count makes no difference.
        """
        asked = [each.target for each in self.case.expectations]
        if "" in asked:
            return
        asked += [each.target for each in self.case.events if each.doing not in _NO_TARGET]
        kept = {target for name in asked for target in self.find(name)}
        jobs = {TargetId.parse(name).job for name, fate in self.case.fates.items() if fate.seconds}
        plans = [(target, plan) for each in self.versions for target, plan in each.desired.targets.items()]
        while True:
            more = {target for target in self.targets if target.job in jobs} - kept
            waited = {job for t, plan in plans if t in kept and plan.criteria for job in plan.criteria.after}
            if not more and waited <= jobs:
                break
            kept |= more
            jobs |= waited
        self.versions = [
            each._replace(desired=replace(each.desired, targets=_only(each.desired.targets, kept)))
            for each in self.versions
        ]

    def _say(self, line: int, message: str, help: str = "") -> None:
        self.diagnostics.append(Diagnostic("E402", message, self.case.path, line, help=help))


def _only(targets: Mapping[TargetId, Plan], kept: set[TargetId]) -> dict[TargetId, Plan]:
    return {target: plan for target, plan in targets.items() if target in kept}


def _path(number: int, page: Page) -> str:
    folder = f"{DOMAINS}{page.domain}/" if page.domain else f"{TREE}/"
    return f"{folder}document-{number + 1:04}.yaml"

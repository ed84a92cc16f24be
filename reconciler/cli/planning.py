"""Edit how a target is planned: find the Planning that is meant, change its text, check all files, write it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, say
from reconciler.cli.reading import SOURCE, repository_of
from reconciler.cli.who import acting

if TYPE_CHECKING:
    from reconciler.core.access import Viewer
    from reconciler.core.model import TargetId
    from reconciler.spec.objects import SpecObject
    from reconciler.spec.validate import Validated

Fields = Mapping[tuple[str | int, ...], Any]
_NAME: Final = 63


@dataclass(frozen=True, slots=True)
class Choice:
    """What a verb changes, of which targets, and what is already there."""

    job: str
    domain: str
    """"" for an installation job, or for all domains of a domain job."""
    exact: tuple[SpecObject, ...]
    """The Plannings that are about nothing else and that this person may edit, the one in force first."""
    in_area: bool
    """Whether a new one belongs into the domain's folder."""
    others: tuple[SpecObject, ...]
    """What else speaks of the target: other Plannings, and the job."""

    @property
    def planning(self) -> SpecObject | None:
        """The document to edit; None: one is made."""
        return self.exact[0] if self.exact else None

    def __str__(self) -> str:
        return f"{self.job}@{self.domain}" if self.domain else self.job


class Tree:
    """The files of a repository, and what they say now."""

    def __init__(self, call: Call) -> None:
        from reconciler.cli.tree import files_of
        from reconciler.clock import wall
        from reconciler.spec.validate import validate_tree

        self.repository = repository_of(call)
        self.files = dict(files_of(self.repository))
        self._validate: Callable[[dict[str, bytes]], Validated] = lambda files: validate_tree(
            files.items(), wall()
        )
        self.now = self._validate(self.files)

    def choose(self, call: Call, name: str, verb: str, all_domains: bool) -> Choice:
        """Find what a name means for this person. Raise Failure with how to say it better."""
        who = acting(call)
        targets = self._targets(call, who, name, all_domains)
        job, is_all = targets[0].job, len(targets) > 1 or all_domains
        domain = "" if is_all else targets[0].domain
        if is_all and not who.is_system:
            raise Failure(Exit.USAGE, f"`{job}` is planned domain by domain", "say which with -n DOMAIN")
        from reconciler.core.access import may

        if not may(who, verb, domain):
            raise Failure(Exit.FORBIDDEN, f"{who.name} may not {verb} {job}")
        return self._choice(job, domain, who)

    def _targets(self, call: Call, who: Viewer, name: str, all_domains: bool) -> list[TargetId]:
        from reconciler.views.names import did_you_mean

        job, _, domain = name.partition("@")
        domain = domain or call.domain
        seen = [target for target in self.now.desired.targets if who.sees(target.domain)]
        found = [each for each in seen if each.job == job and (not domain or domain in ("*", each.domain))]
        if not found:
            words = {str(each) for each in seen} | {each.job for each in seen}
            raise Failure(Exit.NOT_FOUND, f"there is no job `{name}`", did_you_mean(name, words))
        if len(found) > 1 and not all_domains and domain != "*":
            raise Failure(
                Exit.USAGE,
                f"`{job}` has {len(found)} targets, one for each domain",
                f"say which with -n DOMAIN or `{job}@DOMAIN`, or -A for all",
            )
        return found

    def _choice(self, job: str, domain: str, who: Viewer) -> Choice:
        plannings = [
            each
            for each in self.now.objects.values()
            if each.kind == "Planning"
            and each.spec.get("job", each.name) == job
            and (each.domain in ("", domain) if domain else not each.domain)
        ]
        area = [each for each in plannings if each.domain]
        system = [each for each in plannings if not each.domain and self._speaks_of(each, domain)]
        own = [each for each in system if _names(each) == ([domain] if domain else None)]
        definition = next(each for key, each in self.now.objects.items() if key == ("Job", "", job))
        # The domain's own Planning comes first in force, so it is the one to change.
        chosen = (*area, *own) if who.is_system else tuple(area)
        others = tuple(each for each in (*area, *system, definition) if each not in chosen)
        in_area = bool(domain) and (not who.is_system or bool(system))
        if not domain and system and not chosen:
            places = ", ".join(f"{each.name} ({each.place})" for each in system)
            raise Failure(
                Exit.USAGE, f"`{job}` is planned for some of its domains: {places}", "name a domain"
            )
        return Choice(job, domain, chosen, in_area, others)

    def _speaks_of(self, planning: SpecObject, domain: str) -> bool:
        from reconciler.spec.plans import selects

        known = next((each for key, each in self.now.objects.items() if key == ("Domain", "", domain)), None)
        return known is None or selects(planning.spec.get("domains"), known)

    def change(self, of: SpecObject, fields: Fields) -> str:
        """The path of a document's file, changed and checked; "" when it says so already."""
        from reconciler.spec.edits import CannotEdit, edit

        old = self.files[of.path].decode("utf-8")
        try:
            new = edit(old, of.kind, of.name, fields)
        except CannotEdit as error:
            raise Failure(Exit.FAILED, f"could not edit {of.path}: {error}") from None
        return self._write(of.path, new) if new != old else ""

    def create(self, choice: Choice, spec: Mapping[str, Any]) -> str:
        """Write a Planning that was not there; its path."""
        from reconciler.core.yamlout import scalar
        from reconciler.spec.edits import flow

        name = choice.job if choice.in_area or not choice.domain else _short(f"{choice.job}-{choice.domain}")
        head: dict[str, Any] = {} if name == choice.job else {"job": choice.job}
        if choice.domain and not choice.in_area:
            head["domains"] = {"names": [choice.domain]}
        lines = [
            "apiVersion: reconciler/v1",
            "kind: Planning",
            f"metadata: {{name: {scalar(name)}}}",
            "spec:",
            *(f"  {key}: {flow(value)}" for key, value in {**head, **spec}.items()),
        ]
        folder = f"{SOURCE}/domains/{choice.domain}" if choice.in_area else f"{SOURCE}/planning"
        path, number = f"{folder}/{name}.yaml", 1
        while path in self.files or os.path.exists(os.path.join(self.repository, path)):
            number += 1
            path = f"{folder}/{name}-{number}.yaml"
        return self._write(path, "\n".join(lines) + "\n")

    def _write(self, path: str, text: str) -> str:
        """Put a file in place if all files are as valid with it as without."""
        from reconciler.core.diagnostics import render, summary

        known = {(each.code, each.path, each.message) for each in self.now.diagnostics}
        after = self._validate({**self.files, path: text.encode()})
        wrong = [
            each
            for each in after.diagnostics
            if each.severity == "error" and (each.code, each.path, each.message) not in known
        ]
        if wrong:
            say(render(wrong, "full").rstrip())
            raise Failure(Exit.INVALID, f"nothing was written: {summary(wrong)}")
        full = os.path.realpath(os.path.join(self.repository, path))
        try:
            os.makedirs(os.path.dirname(full), exist_ok=True)
            temporary = f"{full}.tmp"
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            if os.path.exists(full):
                os.chmod(temporary, os.stat(full).st_mode & 0o7777)
            # Complete before it has its name: whoever watches never reads half of it.
            os.replace(temporary, full)
        except OSError as error:
            raise Failure(Exit.FAILED, f"could not write {path}: {error.strerror}") from None
        self.files[path], self.now = text.encode(), after
        return path


def finish(call: Call, repository: str, path: str, message: str, commit: bool) -> None:
    """Say what was written, and commit it or say that this is left to do."""
    say(f"wrote {os.path.relpath(os.path.join(repository, path))}")
    if commit:
        from reconciler.cli.committing import commit as commit_file

        commit_file(repository, os.path.join(repository, path), message)
    else:
        warn_uncommitted(call)


def warn_uncommitted(call: Call) -> None:
    """Where commits are read and not the folder, say that one is needed."""
    if reads_commits(call):
        say("the reconciler reads a git ref, not this folder: commit the file and push it, or use --commit")


def reads_commits(call: Call) -> bool:
    """Whether the source is a git ref, as we were told or as the state says."""
    from reconciler.cli.reading import read

    if os.environ.get("RECONCILE_REF"):
        return True
    try:
        return bool(read(call, "status")["source"].get("mode") == "ref")
    except Failure:
        return False


def _names(planning: SpecObject) -> list[str] | None:
    """The domains that a Planning lists, if that is all that it says of domains; None: it speaks of all."""
    domains = planning.spec.get("domains")
    if domains is None:
        return None
    return (
        list(domains.get("names", ())) if not domains.get("matchLabels") and not domains.get("except") else []
    )


def _short(name: str) -> str:
    if len(name) <= _NAME:
        return name
    import hashlib

    return f"{name[: _NAME - 9].rstrip('-.')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

"""Which commit broke a job: the first failing run beside the commits that changed the job since the last good one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconciler.cli.frame import Call
from reconciler.cli.reading import SOURCE, read, repository_of

BAD: Final = ("failure", "interrupted")
GOOD: Final = ("success", "warning")
MOST_COMMITS: Final = 300
"""How far back commits are looked at."""


@dataclass(frozen=True, slots=True)
class Commit:
    id: str
    author: str
    at: str
    subject: str
    changed: tuple[str, ...] = ()
    """What of the job's definition: `Job backup in jobs.d/backup.yaml`."""

    def document(self) -> dict[str, Any]:
        return {
            "commit": self.id,
            "author": self.author,
            "at": self.at,
            "subject": self.subject,
            "changed": list(self.changed),
        }


def blame(call: Call, name: str) -> dict[str, Any]:
    """Put together the first failing run, the last good one before it, and the commits in between."""
    target = read(call, "describe", type="job", name=name)["item"]
    own = target["target"] if target["domain"] else f"{target['job']}@_installation"
    runs = [run for run in read(call, "runs", name=own, limit="0")["items"] if run["state"] in (*BAD, *GOOD)]
    first, good = first_failure(runs)
    answer: dict[str, Any] = {
        "target": target["target"],
        "failing": bool(runs) and runs[0]["state"] in BAD,
        "firstFailure": first,
        "lastGood": good,
        "definitionChanged": None,
        "commits": [],
        "note": "",
    }
    if first is None:
        return {**answer, "note": "no run of it has failed, as far as the history goes"}
    if good is not None:
        answer["definitionChanged"] = first.get("digest") != good.get("digest")
    commits, note = _commits(call, target, first, good)
    return {**answer, "commits": [each.document() for each in commits], "note": note}


def first_failure(runs: Sequence[dict[str, Any]]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The first run of the latest row of failures, and the good one before it. `runs` newest first."""
    first: dict[str, Any] | None = None
    for run in runs:
        if run["state"] in BAD:
            first = run
        elif first is not None:
            return first, run
    return first, None


def _commits(
    call: Call, target: dict[str, Any], first: dict[str, Any], good: dict[str, Any] | None
) -> tuple[list[Commit], str]:
    from reconciler.sources.git import GitError

    broken, sound = first.get("revision", ""), (good or {}).get("revision", "")
    dirty = " It ran with edits that were not committed." if first.get("dirty") else ""
    try:
        history = _History(repository_of(call), target)
        if not broken or not history.has(broken):
            return [], "its revision is no commit of this repository: there is nobody to ask." + dirty
        between = list(history.changes(f"{sound}..{broken}")) if sound and history.has(sound) else []
        if between:
            return between, dirty.strip()
        last = next(history.changes(broken), None)
    except GitError as error:
        return [], f"git cannot say: {error}"
    if good is None:
        note = "no good run is known before it; this is the last commit before it that changed the job."
    elif first.get("digest") == good.get("digest"):
        note = (
            "the definition was the same in the last good run: look at what the job depends on. "
            "This is the last commit before both."
        )
    else:
        note = "no commit in between changed it: see the Domain and the Installation, or edits not committed."
    return [last] if last else [], note + dirty


class _History:
    """The commits of the repository around `jobs.d`."""

    def __init__(self, folder: str, target: dict[str, Any]) -> None:
        self._folder = folder
        self._wanted = {("Job", target["job"]), ("Installation", "installation")}
        if target["domain"]:
            self._wanted.add(("Domain", target["domain"]))

    def _git(self, *arguments: str) -> str:
        from reconciler.sources import git

        return git.run(self._folder, *arguments).decode("utf-8", "replace")

    def has(self, commit: str) -> bool:
        from reconciler.sources import git

        return git.attempt(self._folder, "cat-file", "-e", f"{commit}^{{commit}}").code == 0

    def changes(self, span: str) -> Iterator[Commit]:
        """The commits of a range that changed what the target is made of, newest first."""
        form = "--format=%x1e%H%x00%an%x00%aI%x00%s%x00"
        options = ("--no-merges", "--no-renames", "--name-only", "--relative", f"--max-count={MOST_COMMITS}")
        for record in self._git("log", form, *options, span, "--", SOURCE).split("\x1e")[1:]:
            commit, author, at, subject, names = record.split("\0", 4)
            changed = self._changed(commit, [name for name in names.split("\n") if name.strip()])
            if changed:
                yield Commit(commit, author, at, subject, tuple(changed))

    def _changed(self, commit: str, paths: Sequence[str]) -> list[str]:
        before: dict[tuple[str, str], tuple[str, str]] = {}
        after: dict[tuple[str, str], tuple[str, str]] = {}
        for path in paths:
            if path.endswith((".yaml", ".yml")):
                before.update(self._objects(f"{commit}^", path))
                after.update(self._objects(commit, path))
        found = []
        for key in sorted(before.keys() | after.keys()):
            old, new = before.get(key), after.get(key)
            if (old and old[0]) != (new and new[0]):
                found.append(f"{key[0]} {key[1]} in {(new or old or ('', ''))[1]}")
        return found

    def _objects(self, commit: str, path: str) -> dict[tuple[str, str], tuple[str, str]]:
        """(kind, name) of what counts in a file of a commit: its digest and where it stands."""
        from reconciler.ports.source import area_of
        from reconciler.sources import git
        from reconciler.spec.load import load_file

        shown = git.attempt(self._folder, "cat-file", "blob", f"{commit}:./{path}")
        if shown.code:
            return {}
        loaded = load_file(path, shown.output, area_of(path))
        return {
            (each.kind, each.name): (each.digest, f"{path}:{each.line}")
            for each in loaded.objects
            if (each.kind, each.name) in self._wanted
        }

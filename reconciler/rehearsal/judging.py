"""Whether what happened is what a test expects; and where not, what happened instead, and what near it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from reconciler.core.diagnostics import Diagnostic
from reconciler.core.facts import from_epoch
from reconciler.core.model import TargetId
from reconciler.core.zones import zone
from reconciler.rehearsal.play import Chronicle, Entry, entries_of, play
from reconciler.rehearsal.script import Case, Expectation, Script
from reconciler.rehearsal.staging import Files, Setting

NEAR: Final = 2
"""So many entries before and after are shown."""
MOST_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Miss:
    """An expectation that was not met."""

    line: int
    expected: str
    happened: tuple[str, ...]
    nearby: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one test. With `diagnostics` it could not be played."""

    case: Case
    misses: tuple[Miss, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def is_good(self) -> bool:
        return not self.misses and not self.diagnostics


def invalid(script: Script) -> Verdict:
    """What becomes of a file that cannot be understood."""
    return Verdict(Case(script.path, script.path, 1), diagnostics=script.diagnostics)


def judge(case: Case, repository: Callable[[], Files]) -> Verdict:
    """Play a test and compare; `repository` reads jobs.d, where the test brings no documents of its own."""
    has_own = any(page.since is None for page in case.pages)
    setting = Setting(case, () if has_own else repository())
    if setting.diagnostics:
        return Verdict(case, diagnostics=tuple(setting.diagnostics))
    chronicle = play(case, setting.versions, setting.find)
    misses = [
        _miss(case, each, chronicle, setting.find(each.target))
        for each in case.expectations
        if not _is_met(each, chronicle, setting.find(each.target))
    ]
    return Verdict(case, tuple(sorted(misses, key=lambda miss: miss.line)))


def _is_met(expectation: Expectation, chronicle: Chronicle, targets: list[TargetId]) -> bool:
    entries = [each for each in entries_of(chronicle, expectation) if _is_within(each, expectation)]
    if expectation.what == "nothing":
        wanted = set(targets)
        return not any(_is_something(each, chronicle) and each.target in wanted for each in entries)
    if not expectation.target:
        return _is_enough(sum(_fits(each, expectation) for each in entries), expectation)
    counts = (
        sum(each.target == target and _fits(each, expectation) for each in entries) for target in targets
    )
    return all(_is_enough(count, expectation) for count in counts)


def _is_enough(count: int, expectation: Expectation) -> bool:
    return count > 0 if expectation.count is None else count == expectation.count


def _is_within(entry: Entry, expectation: Expectation) -> bool:
    return from_epoch(expectation.at) <= entry.at < from_epoch(expectation.until)


def _fits(entry: Entry, expectation: Expectation) -> bool:
    return entry.what == expectation.what and expectation.detail in ("", entry.detail)


def _is_something(entry: Entry, chronicle: Chronicle) -> bool:
    """Whether a run starts, or a slot or a request becomes none: what ends has begun before."""
    if entry.what == "run" or not entry.run:
        return True
    return not any(
        each.what == "run" and each.run == entry.run and each.target == entry.target
        for each in chronicle.entries
    )


def _miss(case: Case, expectation: Expectation, chronicle: Chronicle, targets: Iterable[TargetId]) -> Miss:
    wanted = set(targets)
    entries = [each for each in entries_of(chronicle, expectation) if each.target in wanted]
    inside = [each for each in entries if _is_within(each, expectation)]
    told = [each for each in chronicle.entries if each.target in wanted]
    begin, end = from_epoch(expectation.at), from_epoch(expectation.until)
    before = [each for each in told if each.at < begin][-NEAR:]
    after = [each for each in told if each.at >= end][:NEAR]
    happened = [_words(each, case.time_zone) for each in inside[:MOST_SHOWN]]
    if len(inside) > MOST_SHOWN:
        happened.append(f"and {len(inside) - MOST_SHOWN} more")
    return Miss(
        expectation.line,
        expectation.text,
        tuple(happened or ["nothing"]),
        tuple(_words(each, case.time_zone) for each in (*before, *after)),
    )


def _words(entry: Entry, time_zone: str) -> str:
    at = zone(time_zone).local(int(entry.at.timestamp())).isoformat(timespec="seconds")
    return " ".join(
        part for part in (at.replace("+00:00", "Z"), str(entry.target), entry.what, entry.detail) if part
    )

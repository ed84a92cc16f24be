"""Tests of schedules are read from any text: what cannot be understood is said, with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.rehearsal.reading import read_script
from reconciler.rehearsal.script import Doing, Event, Expectation, Script
from reconciler.rehearsal.wording import NotUnderstood, Reader

MORNING = 1_777_876_200  # 2026-05-04T06:30Z


def read(text: str, name: str = "t.yaml") -> Script:
    return read_script(name, text.encode())


def sentences(text: str, zone: str = "UTC") -> list[Event | Expectation]:
    return list(Reader(zone).sentences(text, 1))


PIECES = st.sampled_from(
    ["test: a\n", "---\n", "steps:\n", "  - at 2026-10-25T00:30Z expect a run\n", "kind: Job\n", "at: 25\n",
     "runs: {a: [1]}\n", "runs: 7\n", "history: x\n", "  - 7\n", "timeZone: {}\n", "applied: 1\n", "[", "\t", "\x00",
     "# h\n", "| at | expect |\n", "|---|---|\n", "| 2026-10-25 | a run |\n", "| x |\n", "```yaml\n", "```\n",
     "domain: [a]\n", "at: 9999-12-31\n", "  - on 9999-12-31 expect nothing\n", "  - on 0001-01-01 expect nothing\n"]
)  # fmt: skip


@given(st.lists(st.one_of(PIECES, st.text(max_size=20)), max_size=12), st.sampled_from(["t.yaml", "t.md"]))
def test_no_text_makes_it_fail(pieces: list[str], name: str) -> None:
    script = read_script(name, "".join(pieces).encode("utf-8", "surrogatepass"))
    assert not (script.cases and script.diagnostics)


@given(st.binary(max_size=200), st.sampled_from(["t.yaml", "t.md"]))
def test_no_bytes_make_it_fail(data: bytes, name: str) -> None:
    read_script(name, data)


WORDS = st.sampled_from(
    ["at", "on", "from", "to", "expect", "run", "nothing", "3", "backup", "pause", "down", "2026-05-04", "06:30Z",
     "2026-05-04T06:30Z", "skipped", "Paused", ";", "T", "-1", "2026-02-30", "2026-05-04T24:00"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=9))
def test_any_words_are_sentences_or_are_refused(words: list[str]) -> None:
    try:
        found = sentences(" ".join(words))
    except NotUnderstood:
        return
    assert all(each.at < each.until for each in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 2026-05-04T06:30Z expect backup run", (0, 60, "run", "backup", None, "")),
        ("at 2026-05-04T06:30:00Z expect backup run", (0, 1, "run", "backup", None, "")),
        ("at 2026-05-04T08:30+02:00 expect nothing", (0, 60, "nothing", "", None, "")),
        ("at 2026-05-04T06:30Z expect a@* 2 runs schedule", (0, 60, "run", "a@*", 2, "schedule")),
        (
            "from 2026-05-04T06:30Z to 07:30Z expect a skipped Paused",
            (0, 3600, "skipped", "a", None, "Paused"),
        ),
        ("on 2026-05-04 expect 3 missed", (-23400, 86400 - 23400, "missed", "", 3, "")),
    ],
)
def test_what_is_expected_when(text: str, expected: tuple[object, ...]) -> None:
    (found,) = sentences(text)
    assert isinstance(found, Expectation)
    seen = (found.at - MORNING, found.until - MORNING, found.what, found.target, found.count, found.detail)
    assert seen == expected


def test_the_time_may_stand_before_or_behind_what_happens() -> None:
    before, behind = sentences(
        "from 2026-05-04T06:30Z to 2026-05-05T06:30Z pause backup year-end freeze;"
        "pause backup year-end freeze from 2026-05-04T06:30Z to 2026-05-05T06:30Z"
    )
    assert before == behind == Event(MORNING, MORNING + 86400, Doing.PAUSE, "backup", "year-end freeze", 1)


def test_a_day_has_as_many_hours_as_its_zone_gives_it() -> None:
    (short, long) = sentences("on 2026-03-29 expect nothing; on 2026-10-25 expect nothing", "Europe/Paris")
    assert (short.until - short.at, long.until - long.at) == (23 * 3600, 25 * 3600)


def test_a_day_whose_midnight_the_clock_leaves_out_begins_where_it_begins() -> None:
    (day,) = sentences("on 2026-03-08 expect nothing", "America/Havana")
    assert day.until - day.at == 23 * 3600


def test_documents_belong_to_all_tests_or_to_the_one_before_them() -> None:
    document = "kind: Job\nmetadata: {name: %s}\n"
    test = "test: %s\nsteps: [at 2026-05-04T06:30Z expect nothing]\n"
    script = read("---\n".join([document % "all", test % "one", document % "own", test % "two"]))
    one, two = script.cases
    assert [page.line for page in one.pages] == [1, 7]
    assert [page.line for page in two.pages] == [1]
    assert one.pages[1].content.count(b"\n", 0, one.pages[1].content.index(b"kind")) == 6


def test_what_a_test_adds_to_a_document_is_no_part_of_it() -> None:
    script = read(
        "test: a\nsteps: [at 2026-05-04T06:30Z expect nothing]\n---\n"
        "at: 2026-05-04T06:30Z\ndomain: acme.example\nkind: Planning\n"
    )
    (page,) = script.cases[0].pages
    assert (page.since, page.domain) == (MORNING, "acme.example")
    assert page.content.split() == [b"kind:", b"Planning"]


def test_windows_line_ends_change_nothing() -> None:
    text = "test: a\nruns:\n  backup: 5m\nsteps:\n  - at 2026-05-04T06:30Z expect backup run\n"
    assert read(text.replace("\n", "\r\n")) == read(text)
    table = "# a\n\n| at | expect |\n|---|---|\n| 2026-05-04T06:30Z | backup run |\n"
    assert read(table.replace("\n", "\r\n"), "t.md") == read(table, "t.md")

"""The five forms in which diagnostics are shown, with content that would like to break them."""

from __future__ import annotations

import json

import pytest

from reconciler.core.diagnostics import FORMS, Diagnostic, did_you_mean, render, summary

PLAIN = Diagnostic(
    "E103",
    "`wednesday` is not a day",
    "jobs.d/backup.yaml",
    4,
    20,
    29,
    ("  days: [mon, tue, wednesday]",),
    "write `wed`",
)
EVIL = Diagnostic(
    "E102",
    "a\nb\x1b[31m::error::%0A",
    "jobs.d/a,b:c\n.yaml",
    1,
    1,
    2,
    ("\x1b]0;title\x07" + "x" * 1000,),
    "help\r\n::stop-commands::x",
)


def test_the_full_form_looks_as_in_the_handbook() -> None:
    page = render(
        [
            Diagnostic(
                "E103", "`wednesday` is not a day", "jobs.d/backup.yaml", 4, 20, 29, PLAIN.snippet, PLAIN.help
            )
        ]
    )
    assert page == (
        "error[E103]: `wednesday` is not a day\n"
        " --> jobs.d/backup.yaml:4:20\n"
        "  |\n"
        "4 |   days: [mon, tue, wednesday]\n"
        "  |                    ^^^^^^^^^\n"
        "  = help: write `wed`\n"
    )


def test_the_concise_form_is_one_line_each() -> None:
    page = render([PLAIN, EVIL], "concise")
    assert len(page.splitlines()) == 2
    assert "jobs.d/backup.yaml:4:20: error[E103]: `wednesday` is not a day (write `wed`)" in page.splitlines()


def test_the_order_is_by_file_and_place_whatever_was_found_first() -> None:
    found = [Diagnostic("E1", "m", path, line) for path, line in (("b", 1), ("a", 10), ("a", 9))]
    assert [line.split(": ")[0] for line in render(found, "concise").splitlines()] == ["a:9", "a:10", "b:1"]


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("json", "sarif")])
def test_no_form_for_terminals_lets_an_escape_code_or_a_line_end_through(form: str) -> None:
    page = render([EVIL], form)  # type: ignore[arg-type]
    assert "\x1b" not in page or form == "github"
    assert "\x07" not in page
    assert "\r" not in page
    assert not any(line.startswith("::stop") for line in page.splitlines())
    assert max(map(len, page.splitlines())) < 700


def test_a_github_command_is_one_line_with_escaped_content() -> None:
    assert render([PLAIN], "github") == (
        "::error file=jobs.d/backup.yaml,line=4,col=20,endColumn=28,"
        "title=E103 The value is none of those that the field takes::`wednesday` is not a day%0Awrite `wed`\n"
    )
    [line] = render([EVIL], "github").splitlines()
    assert line.startswith("::error file=jobs.d/a%2Cb%3Ac%0A.yaml,line=1,")


def test_json_and_sarif_are_documents_with_every_finding() -> None:
    assert [item["code"] for item in json.loads(render([PLAIN, EVIL], "json"))["items"]] == ["E102", "E103"]
    run = json.loads(render([PLAIN, EVIL], "sarif"))["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    region = run["results"][1]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 4, "startColumn": 20, "endColumn": 29}


def test_nothing_found_is_an_empty_page_or_an_empty_document() -> None:
    assert [render([], form) for form in ("full", "concise", "github")] == ["", "", ""]
    assert json.loads(render([], "json")) == {"items": []}
    assert json.loads(render([], "sarif"))["runs"][0]["results"] == []


def test_colour_only_adds_codes() -> None:
    import re

    coloured = render([PLAIN], colour=True)
    assert coloured != render([PLAIN])
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render([PLAIN])


def test_a_warning_is_called_one() -> None:
    warning = Diagnostic("E103", "m", "a", severity="warning")
    assert render([warning], "concise").startswith("a: warning[E103]")
    assert summary([warning, PLAIN, PLAIN]) == "2 errors and 1 warning in 2 files"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("comand", "command"),
        ("time_out", "timeout"),
        ("TIMEOUT", "timeout"),
        ("xyz", ""),
        ("", ""),
        ("t" * 10_000, ""),
    ],
)
def test_the_nearest_choice_is_found_and_no_far_one(word: str, expected: str) -> None:
    assert did_you_mean(word, ["command", "timeout", "script"]) == expected

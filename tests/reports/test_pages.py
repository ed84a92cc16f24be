"""What reports look like, and that nothing a job says can do more than be read."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import report_html, report_text
from reconciler.core.report_page import page_of
from reconciler.core.report_parts import Page
from tests.reports.test_mail import ITEM

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</div></body></html>",
    "\x1b]0;title\x07\x1b[2Jcleared",
    "\u202etxt.exe",
    "&lt;b&gt;",
    "a\rb\x00c\x9bd",
    "\ud800",
)


def page(**item: Any) -> Page:
    return page_of({"items": [{**ITEM, **item}], "zone": "Europe/Paris"}, "ops@example.org", "mail1")


class Tags(HTMLParser):
    """Collect what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


KNOWN_TAGS = {
    "html", "head", "meta", "title", "body", "div", "h1", "h2", "p", "span", "table", "tr", "td", "b", "br",
}  # fmt: skip
KNOWN_ATTRIBUTES = {"lang", "charset", "name", "content", "style", "role"}


def check(made: Page) -> None:
    tags = Tags(report_html.render(made))
    assert tags.tags <= KNOWN_TAGS
    assert tags.attributes <= KNOWN_ATTRIBUTES
    text = report_text.render(made)
    text.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_a_failure_in_plain_text() -> None:
    assert (
        report_text.render(page())
        == """\
✘ backup@acme.example failed: exit code 3

Started:    Sun 22 Nov 2026 12:58:20 CET
Ended:      Sun 22 Nov 2026 13:00:00 CET
Took:       1m40s (usually 1m)
Exit code:  3
Started by: the schedule (@daily), slot Sun 22 Nov 2026 12:58:20 CET
Log:        2 lines, errors: 1, warnings: 0
Defined in: jobs.d/a.yaml:3
Revision:   aaaaaaaaaaaa
Next run:   Mon 23 Nov 2026 13:00:00 CET
Run:        backup@acme.example/20261122T020000Z

Errors and warnings
-------------------
  ✘ it broke

The end of the log
------------------
    hello
  ✘ it broke
All of it: reconcile logs backup@acme.example/20261122T020000Z

--\x20
Sent by reconcile on mail1.
You get this because ops@example.org stands in jobs.d/a.yaml:9. To get no
more: take it out there, or narrow `when`.
"""
    )


def test_text_and_html_say_the_same() -> None:
    made = page(tail="::warning::disk < 10 %\n::error::gone\n")
    html = Tags(report_html.render(made)).text
    for section in made.sections:
        for line in section.lines:
            assert line.text in html
        for label, value in section.facts:
            assert label in html
            assert value in html


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_texts_are_only_shown(evil: str) -> None:
    check(page(message=evil, description=evil, tail=f"{evil}\n::error::{evil}\n", note=evil, requester=evil,
               trigger="request", author=evil, cause=evil))  # fmt: skip


@given(st.text(max_size=300), st.sampled_from(["request", "automatic", "schedule"]))
def test_any_text_is_only_shown(text: str, trigger: str) -> None:
    check(page(message=text, tail=text, cause=text, note=text, trigger=trigger, author=text))


def test_colours_of_a_terminal_are_left_out_of_lines() -> None:
    made = page(tail="\x1b[1;31mred\x1b[0m\n")
    assert made.sections[1].lines[0].text == "red"


def test_a_line_of_ten_megabytes_is_cut_and_costs_no_time() -> None:
    begun = time.thread_time()
    made = page(tail="::error::" + "x" * 10_000_000)
    text = report_text.render(made)
    assert time.thread_time() - begun < 1.0
    assert len(text) < 5000
    assert "characters more" in text


def test_the_level_leaves_out_what_is_less_and_many_marked_lines_are_counted() -> None:
    tail = "plain\n" + "::warning::w\n" * 100
    made = page(tail=tail, level="warning")
    assert all(line.text == "w" for section in made.sections for line in section.lines)
    assert made.sections[1].note == "… and 70 more"


def test_a_request_says_who_asked_and_why() -> None:
    made = page(trigger="request", requester="alice", note="OPS-42")
    assert ("Started by", "a request by alice: OPS-42") in made.sections[0].facts


def test_the_author_of_the_definition_stands_by_its_revision() -> None:
    made = page(author="Ada <ada@example.org>, 2026-11-01", dirty=1)
    assert (
        "Revision",
        "aaaaaaaaaaaa with local edits by Ada <ada@example.org>, 2026-11-01",
    ) in made.sections[0].facts

"""Every code and every field has its documentation, found by the name that a user would type."""

from __future__ import annotations

import pytest

from reconciler.core.codes import CODES
from reconciler.core.model import Reason
from reconciler.spec.explain import UnknownTopic, explain, topics
from tests.spec.documents import bad


@pytest.mark.parametrize("topic", topics())
def test_every_topic_is_explained(topic: str) -> None:
    assert len(explain(topic).splitlines()) >= 3


@pytest.mark.parametrize(
    "code", [code for code in CODES if code < "E2" and code not in ("E107", "E108", "E121", "E126")]
)
def test_every_code_of_one_document_is_shown_by_the_corpus(code: str) -> None:
    assert any(code in case.codes for case in bad())


def test_every_reason_of_a_run_is_explained() -> None:
    for reason in Reason:
        assert reason is Reason.NONE or reason in explain(reason)


def test_a_field_is_explained_with_type_choices_default_and_example() -> None:
    page = explain("job.spec.concurrency")
    assert page.startswith("Job.spec.concurrency  <word>\n")
    assert "One of: skip, queue, replace, allow" in page
    assert "Default: skip" in page
    assert "<duration>" in explain("job.spec.timeout")
    assert "(required)" in explain("RunRequest.spec.targets")


def test_a_mapping_is_explained_with_its_fields() -> None:
    page = explain("job.spec.retry")
    assert "maxDelay" in page
    assert "attempts*" in page


@pytest.mark.parametrize(
    "topic", ["e103", "E103", "job", "Jobs", "JOB.SPEC.TIMEOUT", "planning.spec.schedule.dst"]
)
def test_upper_and_lower_case_and_plurals_do_not_matter(topic: str) -> None:
    assert explain(topic)


@pytest.mark.parametrize(
    ("topic", "help"),
    [
        ("jbo", "did you mean `job`?"),
        ("E1003", "did you mean `E103`?"),
        ("TimeOut", "did you mean `TimedOut`?"),
        ("job.spec.timout", "did you mean `timeout`?"),
        ("job.spec.timeout.x", "has no fields below it"),
        ("", "there is nothing called"),
        ("...", "there is nothing called"),
    ],
)
def test_an_unknown_topic_says_what_to_ask_for(topic: str, help: str) -> None:
    with pytest.raises(UnknownTopic, match=help.replace("?", r"\?")):
        explain(topic)

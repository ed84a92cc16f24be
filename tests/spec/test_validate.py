"""A whole tree: all errors at once, between files too, and nobody escapes a domain's folder."""

from __future__ import annotations

import pytest

from reconciler.core.diagnostics import render
from reconciler.spec.load import load_file
from reconciler.spec.validate import Validated, validate_tree
from tests.spec.building import document, job

ACME = document("Domain", "acme.example")


def tree(**files: str) -> Validated:
    """Validate files given as `name="text"`; `__` is a slash and `_` a dot."""
    paths = {f"jobs.d/{name.replace('__', '/').replace('_', '.')}.yaml": text for name, text in files.items()}
    return validate_tree([(path, text.encode()) for path, text in paths.items()])


def test_all_errors_of_all_files_are_reported_at_once() -> None:
    found = tree(
        a=job("a", timeout="x"), b="a: [", c=job("c", automatic={"after": ["d"]}), d=job("e"), f=job("f")
    )
    assert [(each.code, each.path) for each in found.diagnostics] == [
        ("E116", "jobs.d/a.yaml"),
        ("E101", "jobs.d/b.yaml"),
        ("E201", "jobs.d/c.yaml"),
    ]
    assert found.counts == {"files": 5, "Job": 2}


def test_an_error_between_files_has_its_exact_place() -> None:
    text = (
        "# first\n"
        + job("other")
        + "---\n"
        + "apiVersion: reconciler/v1\nkind: Job\nmetadata: {name: a}\nspec:\n"
    )
    text += "  command: [x]\n  automatic:\n    after:\n      - othre\n"
    [found] = tree(a=text).diagnostics
    assert render([found]) == (
        "error[E201]: there is no job `othre`\n"
        "  --> jobs.d/a.yaml:11:9\n"
        "   |\n"
        "10 |     after:\n"
        "11 |       - othre\n"
        "   |         ^^^^^\n"
        "   = help: did you mean `other`?\n"
    )


def test_a_duplicate_rejects_both_and_each_says_where_the_other_is() -> None:
    found = tree(
        a=job("same"), sub__b="\n" + job("same", timeout="1m"), c=job("c", automatic={"after": ["same"]})
    )
    assert [(each.code, each.place) for each in found.diagnostics] == [
        ("E107", "jobs.d/a.yaml:1:69"),
        ("E201", "jobs.d/c.yaml:1:129"),
        ("E107", "jobs.d/sub/b.yaml:2:69"),
    ]
    assert "jobs.d/sub/b.yaml:2" in found.diagnostics[0].message
    assert found.counts == {"files": 3}


def test_a_reference_to_a_rejected_document_says_so() -> None:
    found = tree(a=job("a", timeout="x"), b=document("Planning", "a", {"mode": "disabled"}))
    assert [each.code for each in found.diagnostics] == ["E116", "E201"]
    assert "its own document is rejected" in found.diagnostics[1].message


def test_identity_is_kind_domain_and_name_so_two_areas_may_use_one_name() -> None:
    quota = job("quota", scope="domain")
    own = document("Planning", "quota", {"pause": {}})
    found = tree(
        a=ACME, b=quota, c=document("Planning", "quota", {"mode": "disabled"}), domains__acme_example__p=own
    )
    assert render(found.diagnostics) == ""


@pytest.mark.parametrize("kind", ["Job", "Domain", "Installation", "Administrator"])
def test_a_domain_area_takes_no_kind_that_could_run_or_change_anything_else(kind: str) -> None:
    loaded = load_file(
        "jobs.d/domains/acme.example/x.yaml", document(kind, "installation").encode(), "acme.example"
    )
    assert [each.code for each in loaded.diagnostics] == ["E121"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (document("Planning", "a", {"mode": "disabled"}, domain="other.example"), "E102"),
        (document("Planning", "a", {"mode": "disabled"}, namespace="other.example"), "E102"),
        (document("Planning", "a", {"mode": "disabled", "domains": {"names": ["other.example"]}}), "E121"),
        (document("Planning", "a", {"mode": "disabled", "job": "a@other.example"}), "E113"),
        (document("Planning", "a", {"report": {"recipients": ["a@b.org"], "webhooks": ["pager"]}}), "E121"),
        (document("Planning", "a", {"report": {"attachLog": 100000}}), "E121"),
        (
            document(
                "RunRequest", "a", {"targets": ["a@other.example"], "requestedAt": "2026-11-22T10:30:00Z"}
            ),
            "E121",
        ),
        (document("RunRequest", "a", {"targets": ["a@*"], "requestedAt": "2026-11-22T10:30:00Z"}), "E121"),
        (document("Calendar", "a", {"ics": "../other.example/closures.ics"}), "E124"),
        (document("Calendar", "a", {"ics": "/etc/passwd"}), "E124"),
    ],
)
def test_nothing_in_a_document_leads_out_of_its_domain(text: str, code: str) -> None:
    loaded = load_file("jobs.d/domains/acme.example/x.yaml", text.encode(), "acme.example")
    assert [each.code for each in loaded.diagnostics] == [code]


@pytest.mark.parametrize("folder", ["ACME.example", "аcme.example", "acme example", "-acme", "a" * 254])
def test_the_folder_of_a_domain_is_named_like_a_domain(folder: str) -> None:
    text = document("Calendar", "a", {"dates": ["2026-12-25"]}).encode()
    loaded = load_file(f"jobs.d/domains/{folder}/x.yaml", text, folder)
    assert [each.code for each in loaded.diagnostics] == ["E126"]


def test_no_document_stands_in_the_folder_domains_itself() -> None:
    found = tree(domains__x=job("a"))
    assert [each.code for each in found.diagnostics] == ["E126"]


def test_a_calendar_file_is_taken_in_and_its_content_is_part_of_the_digest() -> None:
    text = document("Calendar", "closures", {"ics": "closures.ics"}).encode()
    event = b"BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:202612%02d\r\nEND:VEVENT\r\n"
    calendars = [
        b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n" + event % day + b"END:VCALENDAR\r\n" for day in (24, 25)
    ]
    digests = set()
    for content in calendars:
        found = validate_tree([("jobs.d/a/c.yaml", text), ("jobs.d/a/closures.ics", content)])
        assert render(found.diagnostics) == ""
        digests |= {each.digest for each in found.objects.values()}
    assert len(digests) == 2
    missing = validate_tree([("jobs.d/a/c.yaml", text), ("jobs.d/closures.ics", calendars[0])])
    assert [each.code for each in missing.diagnostics] == ["E124"]


def test_files_that_hold_no_documents_are_left_alone() -> None:
    assert validate_tree([("jobs.d/readme.md", b"# hi"), ("jobs.d/x.json", b"{")]).counts == {"files": 0}


CONTRACT = """
apiVersion: reconciler/v1
kind: Calendar
metadata: {name: closures}
spec: {dates: ["2026-12-25"], windows: [{start: 2026-12-31T18:00, end: 2027-01-02T06:00}], ics: closures.ics}
---
apiVersion: reconciler/v1
kind: Planning
metadata: {name: backup}
spec:
  mode: disabled
  pause: {until: 2027-01-04T08:00, reason: year-end freeze}
---
apiVersion: reconciler/v1
kind: Administrator
metadata: {name: alice}
spec: {role: system, identities: [password:alice-hash, unix:alice]}
---
apiVersion: reconciler/v1
kind: RunRequest
metadata: {name: 20261122t103000z-backup-7f3a}
spec: {targets: [backup], requestedAt: 2026-11-22T10:30:00Z, reason: OPS-42, expiresAfter: 1h}
"""


def test_times_within_brackets_need_no_quotes() -> None:
    ics = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n"
    files = [
        ("jobs.d/a.yaml", CONTRACT.encode()),
        ("jobs.d/closures.ics", ics),
        ("jobs.d/b.yaml", job("backup").encode()),
    ]
    found = validate_tree(files)
    assert render(found.diagnostics) == ""
    assert found.counts == {
        "files": 2,
        "Administrator": 1,
        "Calendar": 1,
        "Job": 1,
        "Planning": 1,
        "RunRequest": 1,
    }

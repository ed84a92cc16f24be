"""Who may see and do what: every role, every verb, every kind of object."""

from __future__ import annotations

import pytest

from reconciler.core.access import ACTS, INSTALLATION, NOBODY, SEES, Thing, Viewer, identified, may, owner

SYSTEM = Viewer("root", "system")
ALICE = Viewer("alice", "domain", ("acme.example",))
ODD = Viewer("odd", "auditor", ("acme.example",))

OWN = ["acme.example", Thing("Planning", "x", "acme.example"), Thing("Domain", "acme.example")]
FOREIGN = ["", "globex.example", Thing("Planning", "x", "globex.example"), Thing("Domain", "globex.example")]
SHARED = [Thing("Job", "x"), Thing("Installation", "installation"), Thing("Administrator", "root")]


@pytest.mark.parametrize("verb", sorted(SEES | ACTS | INSTALLATION))
@pytest.mark.parametrize("on", [None, *OWN, *FOREIGN, *SHARED])
def test_the_system_may_everything_and_unknown_roles_nothing(verb: str, on: str | Thing | None) -> None:
    assert may(SYSTEM, verb, on)
    assert not may(NOBODY, verb, on)
    assert not may(ODD, verb, on)


@pytest.mark.parametrize("verb", sorted(SEES | ACTS | INSTALLATION))
@pytest.mark.parametrize("on", [*FOREIGN, *SHARED])
def test_a_domain_administrator_may_nothing_with_what_is_not_theirs(verb: str, on: str | Thing) -> None:
    assert not may(ALICE, verb, on)


@pytest.mark.parametrize("verb", sorted(SEES))
@pytest.mark.parametrize("on", OWN)
def test_a_domain_administrator_sees_what_is_theirs(verb: str, on: str | Thing) -> None:
    assert may(ALICE, verb, on)


@pytest.mark.parametrize("verb", sorted(ACTS))
def test_a_domain_administrator_acts_on_own_targets_only(verb: str) -> None:
    assert may(ALICE, verb, "acme.example")
    assert not may(ALICE, verb)


@pytest.mark.parametrize("verb", sorted(INSTALLATION))
def test_what_concerns_the_installation_is_for_the_system(verb: str) -> None:
    assert not may(ALICE, verb)
    assert not may(ALICE, verb, "acme.example")


def test_a_verb_that_nobody_listed_is_refused_to_everybody() -> None:
    assert not may(SYSTEM, "format-disk")


def test_a_domain_administrator_sees_their_own_entry() -> None:
    assert may(ALICE, "get", Thing("Administrator", "alice"))


def test_an_empty_domain_is_never_a_domain_of_somebody() -> None:
    assert not Viewer("x", "domain", ("",)).sees("")


def test_an_identity_belongs_to_exactly_one_administrator() -> None:
    people = [
        (
            "alice",
            {"role": "domain", "domains": ["acme.example"], "identities": ["unix:alice", "unix:shared"]},
        ),
        ("bob", {"role": "system", "identities": ["unix:shared"]}),
    ]
    assert identified("unix:alice", people) == ALICE
    assert identified("unix:shared", people) is None
    assert identified("unix:nobody", people) is None


def test_who_owns_the_state_has_the_name_of_their_administrator_and_may_everything() -> None:
    people = [("alice", {"role": "domain", "identities": ["unix:al"]})]
    assert owner("al", people) == Viewer("alice", "system")
    assert owner("bo", people) == Viewer("bo", "system")

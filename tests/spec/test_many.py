"""Very many files are loaded by several processes, with the same result as by one."""

from __future__ import annotations

import pytest

from reconciler.spec.many import MANY, File, load_all
from reconciler.spec.objects import LoadedFile

JOB = "apiVersion: reconciler/v1\nkind: Job\nmetadata: {{name: job-{0}}}\nspec: {{command: ['true'], {1}}}\n"
ICS = "apiVersion: reconciler/v1\nkind: Calendar\nmetadata: {{name: calendar-{0}}}\nspec: {{ics: days.ics}}\n"


def content(number: int) -> bytes:
    match number % 50:
        case 1:
            return f"spec: ] {number}".encode()
        case 2:
            return ICS.format(number).encode()
        case 3:
            return JOB.format(number, "nothing: here").encode()
        case 4:
            return JOB.format(number, "description: Überprüfung 🗓").encode()
        case 5:
            return b"\xff\xfe binary"
        case 6:
            return b"---\n".join(JOB.format(f"{number}-{part}", "").encode() for part in range(3))
        case 7:
            return b""
    return JOB.format(number, "timeout: 5m").encode()


FILES = [
    File(f"jobs.d/{number}.yaml", content(number), "acme" if number % 50 == 8 else None)
    for number in range(MANY + 100)
]


def beside(path: str):
    return lambda name: b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n" if name == "days.ics" else None


@pytest.fixture(scope="module")
def alone() -> list[LoadedFile]:
    return list(load_all(FILES, beside, processors=1))


def test_the_result_is_the_same_however_many_processors_there_are(alone: list[LoadedFile]) -> None:
    assert list(load_all(FILES, beside, processors=3)) == alone
    assert sum(len(each.objects) for each in alone) > MANY
    assert {each.diagnostics[0].code for each in alone if each.diagnostics} >= {"E101", "E102", "E108", "E121"}


@pytest.mark.parametrize("helper", [["false"], ["no-such-command"], ["echo", "[]"], ["echo", "[null]"]])
def test_a_helper_that_fails_loses_nothing(alone: list[LoadedFile], helper: list[str]) -> None:
    assert list(load_all(FILES, beside, processors=2, helper=helper)) == alone

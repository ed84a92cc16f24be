"""What holds for every kind of import that the folder has."""

from __future__ import annotations

import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.spec.imports import File, Options, convert, kinds
from reconciler.spec.imports._documents import Writer, name_of
from reconciler.spec.load import load_file

PIECES = ["0 1 * * *", "@daily", "%", "\\%", "root", "=", "MAILTO", "\n", "#", "'", '"', "[Timer]", "[Service]",
          "OnCalendar=", "ExecStart=", "Mon *-*-1..7", "${A}", "$(A)", "{", "[", ": ", "- ", "\t"]  # fmt: skip
TEXTS = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=20).map(" ".join))


def test_the_folder_is_the_list_of_kinds() -> None:
    assert kinds() == ("bluemind", "crontab", "kubernetes", "systemd")
    for kind in kinds():
        assert importlib.import_module(f"reconciler.spec.imports.{kind}").__doc__
    with pytest.raises(KeyError):
        convert("_documents", [])


@pytest.mark.parametrize("kind", kinds())
@given(first=TEXTS, second=TEXTS)
def test_whatever_is_read_the_result_is_valid(kind: str, first: str, second: str) -> None:
    result = convert(kind, [File("a.timer", first), File("a.service", second)], Options(time_zone="UTC"))
    assert load_file("x.yaml", result.documents_yaml.encode("utf-8", "surrogatepass")).diagnostics == ()


@given(st.text())
def test_any_wish_becomes_a_name_that_is_valid(wish: str) -> None:
    writer = Writer("x")
    for _ in range(3):
        writer.add("Job", wish, "x").spec = {"command": ["true"]}
    result = writer.finish()
    assert result.remarks == ()
    assert result.documents_yaml.count("kind: Job") == 3


@given(st.text(), st.text(min_size=1).filter(lambda text: "\x00" not in text))
def test_any_text_comes_back_as_it_was(comment: str, text: str) -> None:
    writer = Writer(comment)
    job = writer.add("Job", "x", "x", [comment])
    job.spec = {"description": text[:2000], "command": ["true", text], "environment": {"A": text}}
    script = writer.add("Job", "y", "x")
    script.spec = {"script": text}
    (first, second) = load_file("x.yaml", writer.finish().documents_yaml.encode("utf-8", "surrogatepass")).objects
    assert first.spec["command"] == ["true", text]
    assert first.spec["environment"] == {"A": text}
    assert second.spec["script"] == text


def test_a_name_keeps_what_it_can() -> None:
    assert name_of("Sauvegarde été (n° 2).sh") == "sauvegarde-ete-n-2-.sh"
    assert name_of("///") == "job"

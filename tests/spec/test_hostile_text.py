"""No text makes loading raise, take long or take much memory; what is wrong is said with its place."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.diagnostics import FORMS, render
from reconciler.spec.load import load_file
from reconciler.spec.reader import read_stream
from tests.spec.documents import bad, good

pytestmark = pytest.mark.full

MIB = 1 << 20
HEAD = b'apiVersion: reconciler/v1\nkind: Job\nmetadata: {name: x}\nspec:\n  command: ["true"]\n'


def _bomb(levels: int, width: int) -> bytes:
    lines = ["a0: &a0 [" + ", ".join(["x"] * width) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * width) + "]" for n in range(1, levels)]
    return "\n".join(lines).encode()


HOSTILE = {
    "50,000 open brackets": (b"[" * 50_000, "E109"),
    "50,000 open braces": (b"{a: " * 50_000, "E109"),
    "50,000 nested lists": (b"- " * 50_000, "E109"),
    "50,000 complex keys": (b"? " * 50_000, "E110"),
    "an alias bomb": (_bomb(12, 10), "E109"),
    "an alias bomb of mappings": (_bomb(12, 10).replace(b"[", b"{k: [").replace(b"]", b"]}"), "E109"),
    "deep through aliases": (
        b"a: &a " + b"[" * 40 + b"]" * 40 + b"\nb: " + b"[" * 40 + b"*a" + b"]" * 40,
        "E109",
    ),
    "an alias of itself": (b"a: &a {b: *a}", "E110"),
    "too large": (b"a: " + b"x" * MIB, "E109"),
    "as large as possible": (b"a: " + b"x" * (MIB - 3), "E112"),
    "a million commas": (b"a: [" + b"," * (MIB - 10), "E101"),
    "40,000 items": (HEAD + b"  locks: [" + b"A," * 40_000 + b"]", "E113"),
    "40,000 unknown fields": (HEAD + b"".join(b"  f%d: 1\n" % n for n in range(40_000)), "E102"),
    "100,000 documents": (b"---\na: 1\n" * 100_000, "E109 E112"),
    "200,000 empty documents": (b"---\n" * 200_000, "E109"),
    "10,000 empty documents": (b"---\n" * 10_000, ""),
    "100,000 anchors": (b"".join(b"- &a%d x\n" % n for n in range(60_000)), "E112"),
    "100,000 directives": (b"".join(b"%%TAG !a%d! b\n" % n for n in range(60_000)), "E110"),
    "100,000 duplicate keys": (b"a: 1\n" * 100_000, "E106"),
    "many anchors on one value": (b"a: " + b"&a " * 300_000 + b"x", "E101 E111"),
    "one long line of quotes": (b"a: " + b'""' * 400_000, "E101"),
    "a long quoted text": (HEAD + b'  description: "' + b"\\x41" * 200_000 + b'"', "E114"),
    "what only the pure parser reads": (b"x: [a:b]\ny: [" + b"a, " * 8_000 + b"]", "E112"),
    "binary junk": (bytes(range(256)) * 2000, "E108"),
    "NUL bytes": (b"a: b\x00c", "E108"),
    "only NUL bytes": (b"\x00" * 100_000, "E108"),
    "UTF-16": ("apiVersion: reconciler/v1\n".encode("utf-16"), "E108"),
    "UTF-16 without a mark": ("apiVersion: reconciler/v1\n".encode("utf-16-le"), "E108"),
    "UTF-32": ("apiVersion: reconciler/v1\n".encode("utf-32"), "E108"),
    "Latin-1": ("a: 1\nb: Zeitpläne\n".encode("latin-1"), "E108"),
    "an escape code": (b"a: \x1b[31mred", "E108"),
    "half a character": ("a: €".encode()[:-1], "E108"),
    "a lone surrogate": (b"a: \xed\xa0\x80", "E108"),
    "an escaped surrogate": (b'a: "\\uD800"', "E101"),
    "half a file": (HEAD[:-5], "E101"),
    "an expression that takes for ever": (
        HEAD + b'  report: {digest: "' + b"daily " * 10_000 + b'"}',
        "E116",
    ),
    "an address that takes for ever": (
        HEAD + b'  report: {recipients: ["' + b"a.@" * 50_000 + b'"]}',
        "E117",
    ),
    "a number of a million digits": (HEAD + b"  retry: {attempts: " + b"9" * 500_000 + b"}", "E114"),
    "a duration of a million digits": (HEAD + b"  timeout: " + b"9" * 500_000 + b"d", "E116"),
    "a size beyond counting": (HEAD + b"  limits: {memory: 999999999999TiB}", "E114"),
    "a time zone of dots": (
        b"apiVersion: reconciler/v1\nkind: Domain\nmetadata: {name: a}\nspec: {timeZone: ../../etc/passwd}",
        "E119",
    ),
    "a time zone with NUL": (
        b'apiVersion: reconciler/v1\nkind: Domain\nmetadata: {name: a}\nspec: {timeZone: "a\\0b"}',
        "E119",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_bounded_time(name: str) -> None:
    text, code = HOSTILE[name]
    before = time.process_time()
    loaded = load_file("jobs.d/x.yaml", text)
    pages = [render(loaded.diagnostics, form) for form in FORMS]
    assert time.process_time() - before < 10
    assert {each.code for each in loaded.diagnostics} == set(code.split())
    assert loaded.objects == ()
    assert all(len(page) < MIB for page in pages)
    assert len(loaded.diagnostics) <= 200


@pytest.mark.full
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_bounded_memory(name: str) -> None:
    load_file("jobs.d/warm.yaml", HEAD)
    tracemalloc.start()
    try:
        load_file("jobs.d/x.yaml", HOSTILE[name][0])
        assert tracemalloc.get_traced_memory()[1] < 400 * MIB
    finally:
        tracemalloc.stop()


def test_the_byte_that_is_not_utf_8_is_named_with_its_place() -> None:
    [found] = load_file("jobs.d/x.yaml", "a: 1\nb: Zeitpläne\n".encode("latin-1")).diagnostics
    assert (found.line, found.column) == (2, 10)
    assert "0xe4" in found.message
    assert "offset 14" in found.message


def test_a_byte_order_mark_of_utf_8_is_accepted() -> None:
    assert load_file("jobs.d/x.yaml", b"\xef\xbb\xbf" + HEAD).objects


def test_windows_line_ends_are_accepted_and_counted_once() -> None:
    assert load_file("jobs.d/x.yaml", HEAD.replace(b"\n", b"\r\n")).objects
    [found] = load_file("jobs.d/x.yaml", (HEAD + b"  comand: x\n").replace(b"\n", b"\r\n")).diagnostics
    assert found.line == 6


def test_an_empty_file_and_one_of_comments_hold_nothing_and_are_no_error() -> None:
    for text in (b"", b"\n\n", b"# nothing yet\n", b"---\n", b"---\n# a\n---\n"):
        loaded = load_file("jobs.d/x.yaml", text)
        assert (loaded.objects, loaded.diagnostics) == ((), ())


_MARKS = (
    ":",
    ": ",
    "- ",
    "\n",
    "  ",
    "{",
    "}",
    "[",
    "]",
    ",",
    '"',
    "'",
    "|",
    ">",
    "&a",
    "*a",
    "!",
    "#",
    "%",
    "@",
    "?",
)
_ODD = (
    "!!str",
    "---",
    "...",
    "<<",
    "\t",
    "\r",
    "é",
    "\x00",
    "\x85",
    "\u2028",
    "\ufeff",
    "1e5",
    ".inf",
    "0x1",
    "1",
)
_NAMES = ("apiVersion", "reconciler/v1", "kind", "Job", "metadata", "spec", "name", "cron", "true", "null")
_words = st.sampled_from((*_MARKS, *_ODD, *_NAMES))


@given(st.lists(_words, max_size=40))
def test_loading_never_raises_on_words_of_yaml(words: list[str]) -> None:
    loaded = load_file("jobs.d/x.yaml", "".join(words).encode("utf-8", "surrogatepass"))
    for form in FORMS:
        render(loaded.diagnostics, form)


@given(st.binary(max_size=200))
def test_loading_never_raises_on_bytes(data: bytes) -> None:
    loaded = load_file("jobs.d/x.yaml", data)
    assert not (loaded.objects and loaded.diagnostics)


_corpus = st.sampled_from([case.text for case in bad()] + [path.read_bytes() for path in good()])


@given(_corpus, st.data())
def test_loading_never_raises_on_a_damaged_document(text: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    put = data.draw(st.sampled_from([b"", b"\n", b" ", b":", b"[", b'"', b"~", b"x", b"\xff", b"- ", b"\t"]))
    area = data.draw(st.sampled_from([None, "acme.example"]))
    loaded = load_file("jobs.d/x.yaml", text[:start] + put + text[end:], area)
    render(loaded.diagnostics)


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1h", "mon", "a@b.c"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["command", "spec", "cron", "every", "mode", "schedule", "a"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.data())
def test_loading_never_raises_on_any_value_in_any_field(data: st.DataObject) -> None:
    import json

    from reconciler.spec.explain import topics

    path = data.draw(st.sampled_from([topic for topic in topics() if topic.count(".") >= 2])).split(".")
    kind = {"runrequest": "RunRequest"}.get(path[0], path[0].capitalize())
    document: dict[str, object] = {
        "apiVersion": "reconciler/v1",
        "kind": kind,
        "metadata": {"name": "a"},
        "spec": {},
    }
    place: dict[str, object] = document
    for part in path[1:-1]:
        below = place.setdefault(part, {})
        assert isinstance(below, dict)
        place = below
    place[path[-1]] = data.draw(_values)
    loaded = load_file("jobs.d/x.yaml", json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
    render(loaded.diagnostics)


@pytest.mark.parametrize("path", good(), ids=lambda path: path.stem)
def test_the_pure_parser_reads_the_same_as_the_c_parser(path: object) -> None:
    text = path.read_bytes()  # type: ignore[attr-defined]
    fast, pure = read_stream(text), read_stream(text, pure=True)
    assert [each.value for each in fast.documents] == [each.value for each in pure.documents]
    assert [each.line for each in fast.documents] == [each.line for each in pure.documents]


@pytest.mark.parametrize("case", [*bad(), *good()], ids=lambda case: getattr(case, "name", ""))
def test_reading_with_places_gives_the_same_values_as_without(case: object) -> None:
    text = case.text if hasattr(case, "text") else case.read_bytes()  # type: ignore[attr-defined]
    plain, placed = read_stream(text), read_stream(text, places=True)
    assert [each.value for each in plain.documents] == [each.value for each in placed.documents]
    assert [each.code for each in plain.problems] == [each.code for each in placed.problems]

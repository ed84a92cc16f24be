"""What log lines say, and how they are shown."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.logs import Counts, LogScanner, gap_text, mask, read_line, shown


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        ("plain", "info", "plain"),
        ("::error::disk full", "error", "disk full"),
        ("::error file=a.py,line=3::disk full", "error", "disk full"),
        ("::warning::80 %", "warning", "80 %"),
        ("::notice::done", "info", "done"),
        ("::progress 40", "progress", "40 %"),
        ("::progress 40 copying", "progress", "copying"),
        ("::progress 400", "info", "::progress 400"),
        ("::set-output name=x::1", "info", "::set-output name=x::1"),
        ("<0>gone", "error", "gone"),
        ("<3>bad", "error", "bad"),
        ("<4>hm", "warning", "hm"),
        ("<6>fine", "info", "fine"),
        ("<7>detail", "progress", "detail"),
        ("<8>not a priority", "info", "<8>not a priority"),
        ("<html>", "info", "<html>"),
        ("error: without a mark", "info", "error: without a mark"),
        ("", "info", ""),
    ],
)
def test_a_line_has_the_severity_that_its_mark_says(line: str, level: str, text: str) -> None:
    said = read_line(line)
    assert (said.level, said.text) == (level, text)


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ('{"level":"error","msg":"x"}', "error"),
        ('{"severity": "WARNING", "message": "x"}', "warning"),
        ('{"level":50,"msg":"pino"}', "error"),
        ('{"level":30,"msg":"pino"}', "info"),
        ('{"level":"debug"}', "progress"),
        ('{"msg":"\\"level\\":\\"error\\"","level":"info"}', "info"),
        ('{"nested":{"level":"error"},"level":"info"}', "info"),
        ('{"level":"error" and then not JSON', "info"),
        ('{"level":"error"}}', "info"),
        ('{"level":["error"]}', "info"),
        ('{"level":null,"x":"level"}', "info"),
    ],
)
def test_a_json_line_has_the_severity_of_its_own_level(line: str, level: str) -> None:
    assert read_line(line).level == level


def test_counts_are_by_severity_and_the_last_progress_stands() -> None:
    scanner = LogScanner()
    scanner.feed(b"one\n::error::two\n::progress 10\n<4>three\r\n::progress 55\nlast without end")
    assert scanner.counts == Counts(lines=5, infos=1, warnings=1, errors=1, progress=55)
    assert scanner.finish() == Counts(lines=6, infos=2, warnings=1, errors=1, progress=55)


_PARTS = st.lists(
    st.sampled_from(
        [
            *(
                b"plain",
                b"\n",
                b"\r\n",
                b"\xff\x00",
                b":",
                b"::error::x",
                b"::warning::",
                b"::warning x=1::y",
            ),
            *(
                b"<3>",
                b"<7>",
                b"<",
                b'{"level":"error"}',
                b'{"level":"debug"}',
                b"::progress 7",
                b"::debug::",
            ),
        ]
    ),
    max_size=40,
)


@given(_PARTS, st.lists(st.integers(0, 200), max_size=6))
def test_the_counts_do_not_depend_on_how_the_bytes_arrive(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    whole, pieces = LogScanner(), LogScanner()
    whole.feed(data)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in itertools.pairwise(edges):
        pieces.feed(data[begin:end])
    assert pieces.counts == whole.counts
    assert pieces.finish() == whole.finish()


@given(_PARTS, st.integers(0, 200))
def test_a_scanner_made_from_offset_and_counts_goes_on_where_it_stopped(parts: list[bytes], cut: int) -> None:
    data = b"".join(parts)
    whole, first = LogScanner(), LogScanner()
    whole.feed(data)
    first.feed(data[:cut])
    second = LogScanner(first.offset, first.counts)
    second.feed(data[first.offset :])
    assert second.finish() == whole.finish()


@given(st.binary(max_size=400))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    scanner = LogScanner()
    scanner.feed(data)
    assert scanner.finish().lines == data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


def test_a_line_of_ten_megabytes_keeps_its_severity_and_no_memory() -> None:
    scanner = LogScanner()
    scanner.feed(b"::error::")
    for _ in range(160):
        scanner.feed(b"x" * 65536)
    assert len(scanner._head) <= 1 << 16
    scanner.feed(b"\n")
    assert scanner.counts == Counts(lines=1, errors=1)
    assert scanner.offset == scanner.fed == 9 + 160 * 65536 + 1


def test_what_was_given_back_to_the_disk_is_skipped() -> None:
    scanner = LogScanner()
    scanner.feed(b"one\ntwo\nhalf a li")
    scanner.skip(1000)
    scanner.feed(b"ne\n::error::x\n")
    assert scanner.counts == Counts(lines=4, infos=3, errors=1)


def _cpu_of_counting(line: bytes, lines: int) -> float:
    """Seconds of CPU, of the best of three."""
    block = line * 1000
    took = []
    for _ in range(3):
        scanner = LogScanner()
        begin = time.process_time()
        for _ in range(lines // 1000):
            scanner.feed(block)
        took.append(time.process_time() - begin)
        assert scanner.lines == lines
    return min(took)


@pytest.mark.alone
@pytest.mark.parametrize(
    "line", [b"an ordinary line of output, no mark in it\n", b"::warning::all are marked\n"]
)
def test_four_times_the_lines_take_about_four_times_the_cpu(line: bytes) -> None:
    # Not a number of seconds, which says more of the machine than of the scanner.
    assert _cpu_of_counting(line, 400_000) < 8 * _cpu_of_counting(line, 100_000)


def test_secrets_are_masked_the_longest_first_and_line_by_line() -> None:
    text = "user=app token=hunter2hunter2 short=hunter2 key=MIIEow"
    masked = mask(text, ["hunter2", "hunter2hunter2", "--BEGIN\nMIIEow\n--END", "1"])
    assert masked == "user=app token=*** short=*** key=***"


@pytest.mark.parametrize(
    ("line", "safe"),
    [
        ("\x1b]0;title\x07\x1b[31mred", "␛]0;title␇␛[31mred"),
        (" 10%\r 50%\r100%\r", "100%"),
        ("a\x00b", "a␀b"),
        ("tab\tstays", "tab\tstays"),
        ("grüße \u202egnp.exe", "grüße \\u202egnp.exe"),
        (b"bad \xff byte".decode("utf-8", "surrogateescape"), "bad \\xff byte"),
        ("c1 \x9b31m", "c1 \\x9b31m"),
    ],
)
def test_a_line_is_harmless_on_a_terminal(line: str, safe: str) -> None:
    assert shown(line) == safe


def test_a_gap_says_how_much_is_missing() -> None:
    assert gap_text({"offset": 1, "length": int(4.2 * (1 << 30))}) == "[gap: 4.2 GiB not kept]"
    assert gap_text({"offset": 1, "length": 12}) == "[gap: 12 B not kept]"

"""What people type as durations and sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.units import format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("5m", 300),
        ("1h30m", 5400),
        ("90d", 7776000),
        ("2w", 1209600),
        ("0.5s", 0.5),
        (" 1d2h ", 93600),
    ],
)
def test_durations_are_read_in_the_forms_of_the_contract(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("30", "`30s`"),
        ("", "such as"),
        ("1h 30m", "such as"),
        ("30m1h", "largest first"),
        ("1h1h", "once"),
        ("5min", "w, d, h, m or s"),
        ("-5m", "not a duration"),
        ("٣m", "not a duration"),
    ],
)
def test_a_duration_that_is_none_says_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=r"duration|unit") as caught:
        parse_duration(text)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (130, "2m10s"),
        (93600, "1d2h"),
        (7776000, "90d"),
        (0.25, "0.25s"),
        (-90, "-1m30s"),
        (3599.9996, "1h"),
    ],
)
def test_durations_are_written_as_people_type_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 10**9))
def test_a_written_duration_is_read_back_unchanged(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MiB", 64 << 20),
        ("512Mi", 512 << 20),
        ("10G", 10 << 30),
        ("1K", 1024),
        ("100B", 100),
        ("7", 7),
        ("1.5GiB", 3 << 29),
        ("1TiB", 1 << 40),
    ],
)
def test_sizes_are_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "hint"), [("64MB", "`64MiB`"), ("x", "such as"), ("-1K", "such as"), ("1Q", "none of")]
)
def test_a_size_that_is_none_says_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match="size") as caught:
        parse_size(text)
    assert hint in str(caught.value)

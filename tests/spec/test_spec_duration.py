"""Durations: Go's text form both ways, and the words of tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Invalid
from boxship.spec.duration import HOUR, MINUTE, SECOND, format_duration, parse_duration, rough_duration

DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("300ms", 300_000_000),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", SECOND),
        ("1m30s", 90 * SECOND),
        ("-1h", -HOUR),
        ("+2us", 2000),
        ("2µs", 2000),
        ("2μs", 2000),
        ("1h2m3s4ms5us6ns", 3723 * SECOND + 4_005_006),
        ("0.9999999999ns", 0),
    ],
)
def test_parses(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "1", "s", ".", ".s", "1x", "1.2.3s", "1 s", "-", "9999999999h", "--1s", "١s"])
def test_refuses(text: str) -> None:
    with pytest.raises(Invalid):
        parse_duration(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (4 * MINUTE + 5 * SECOND, "4m5s"),
        (5 * HOUR + 6 * MINUTE + 7_001_000_000, "5h6m7.001s"),
        (-HOUR, "-1h0m0s"),
    ],
)
def test_formats(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_what_is_formatted_parses_to_itself(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_invalid(text: str) -> None:
    try:
        assert isinstance(parse_duration(text), int)
    except Invalid:
        return


@pytest.mark.parametrize(
    ("nanoseconds", "words"),
    [
        (-SECOND, "Less than a second"),
        (SECOND - 1, "Less than a second"),
        (SECOND, "1 second"),
        (59 * SECOND, "59 seconds"),
        (MINUTE, "About a minute"),
        (2 * MINUTE - 1, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (HOUR - 1, "59 minutes"),
        (HOUR, "About an hour"),
        (HOUR + 31 * MINUTE, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (14 * DAY - HOUR, "13 days"),
        (14 * DAY, "2 weeks"),
        (60 * DAY - HOUR, "8 weeks"),
        (60 * DAY, "2 months"),
        (2 * 365 * DAY - HOUR, "24 months"),
        (2 * 365 * DAY, "2 years"),
    ],
)
def test_rough_words(nanoseconds: int, words: str) -> None:
    assert rough_duration(nanoseconds) == words

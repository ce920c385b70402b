"""Quantities: the original's canonical forms, and arithmetic held to exact fractions."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cluster.objects import quantity
from boxship.errors import Invalid

CANONICAL = {
    "0": "0",
    "0.5": "500m",
    "1.5": "1500m",
    "1": "1",
    "1000m": "1",
    "1500m": "1500m",
    "100m": "100m",
    "1000": "1k",
    "1024": "1024",
    "1Ki": "1Ki",
    "1024Ki": "1Mi",
    "1.5Gi": "1536Mi",
    "0.5Ki": "512",
    "1000Ki": "1000Ki",
    "1e3": "1e3",
    "1000e3": "1e6",
    "1E": "1E",
    "1000E": "1000E",
    "1E3": "1E3",
    "0.1n": "1n",
    "0.0000000001": "1n",
    "-0.0000000001": "-1n",
    "1e-3": "1e-3",
    "12.5e-3": "12500e-6",
    "-1.5Ki": "-1536",
    "2048Ki": "2Mi",
    "-2048Ki": "-2Mi",
    "1025Ki": "1025Ki",
    "16Ei": "9223372036854775807",
    "1Pi": "1Pi",
    "+5": "+5",
    "1.250": "1.250",
    "1.25": "1250m",
    ".5": "500m",
    "5.": "5.",
    "0Mi": "0",
    "500000m": "500",
    "0.001Ki": "1024m",
}


@pytest.mark.parametrize("text", CANONICAL)
def test_texts_become_canonical_as_in_the_original(text: str) -> None:
    assert quantity.canonical(text) == CANONICAL[text]


@pytest.mark.parametrize(
    "text", ["", "1x", "1 Gi", "abc", "1GiB", "--1", "1..2", "1e", "1e1e", "ki", "1ki", "1e99999999", "1Kii"]
)
def test_wrong_texts_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        quantity.parse(text)


def test_numbers_of_json_are_read_too() -> None:
    assert [quantity.canonical(value) for value in (1, 0.5, 1000, 2.5, -3)] == ["1", "500m", "1k", "2500m", "-3"]
    with pytest.raises(Invalid):
        quantity.parse(True)


def test_rounding_goes_away_from_zero() -> None:
    assert (quantity.parse("1m").value, quantity.parse("-1m").value, quantity.parse("1.0001").milli) == (1, -1, 1001)


def test_a_sum_takes_the_family_of_its_first_amount() -> None:
    assert quantity.total([quantity.parse("512Mi"), quantity.parse("512Mi")]).text == "1Gi"
    assert (quantity.parse("1Gi") - quantity.parse("1Gi") + quantity.parse("1500m")).text == "1500m"
    assert quantity.total([]).text == "0"


SUFFIXES = {
    "": 1,
    "m": Fraction(1, 1000),
    "u": Fraction(1, 10**6),
    "n": Fraction(1, 10**9),
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
}
SUFFIXES |= {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "e3": 1000, "E-2": Fraction(1, 100)}
WRITTEN = st.tuples(
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**12).map(str),
    st.one_of(st.just(""), st.text("0123456789", min_size=1, max_size=6).map(".".__add__)),
    st.sampled_from(sorted(SUFFIXES)),
)


def exact(parts: tuple[str, str, str, str]) -> Fraction:
    sign, whole, fraction, suffix = parts
    number = Fraction(whole + fraction) * SUFFIXES[suffix]
    nanos = number * 10**9
    return (-1 if sign == "-" else 1) * Fraction(-(-nanos.numerator // nanos.denominator), 10**9)


@settings(deadline=None)
@given(WRITTEN)
def test_parsing_is_exact_and_the_canonical_text_means_the_same(parts: tuple[str, str, str, str]) -> None:
    found = quantity.parse("".join(parts))
    if abs(exact(parts)) < 1 << 63:
        assert Fraction(found.nanos, 10**9) == exact(parts)
    again = quantity.parse(found.text)
    assert again == found
    assert again.text == quantity.Quantity(found.nanos, again.family).text or again.text == found.text
    assert quantity.canonical(found.text) == found.text


@settings(deadline=None)
@given(WRITTEN, WRITTEN)
def test_comparison_and_sums_agree_with_fractions(
    one: tuple[str, str, str, str], other: tuple[str, str, str, str]
) -> None:
    left, right = quantity.parse("".join(one)), quantity.parse("".join(other))
    assert (left < right) == (Fraction(left.nanos) < Fraction(right.nanos))
    assert (left + right).nanos == left.nanos + right.nanos
    assert (left + right - right) == left

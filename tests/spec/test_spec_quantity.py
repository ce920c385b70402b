"""Amounts of bytes and processors: what people write, and what tables show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Invalid
from boxship.spec.quantity import format_binary_bytes, format_decimal_bytes, parse_bytes, parse_processors


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("10b", 10),
        ("1k", 1024),
        ("1KB", 1024),
        ("1KiB", 1024),
        ("512m", 512 << 20),
        ("1.5g", 3 << 29),
        ("10 kb", 10240),
        (".5k", 512),
        ("2T", 2 << 40),
        ("1p", 1 << 50),
    ],
)
def test_parses_bytes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1kk", "1x", "1.2.3", "1bb", "1ki b", "99999999999p", "1e3", "١k"])
def test_refuses_bytes(text: str) -> None:
    with pytest.raises(Invalid):
        parse_bytes(text)


@given(st.text(max_size=20))
def test_any_text_is_a_size_or_invalid(text: str) -> None:
    try:
        assert parse_bytes(text) >= 0
    except Invalid:
        return


@pytest.mark.parametrize(
    ("text", "nano"), [("1", 10**9), ("0.5", 5 * 10**8), ("1.5", 15 * 10**8), (".25", 250_000_000)]
)
def test_parses_processors(text: str, nano: int) -> None:
    assert parse_processors(text) == nano


@pytest.mark.parametrize("text", ["", "x", "-1", "1.2.3", "0.0000000001", "1/3"])
def test_refuses_processors(text: str) -> None:
    with pytest.raises(Invalid):
        parse_processors(text)


@pytest.mark.parametrize(
    ("size", "precision", "text"),
    [
        (0, 3, "0B"),
        (999, 3, "999B"),
        (1000, 3, "1kB"),
        (1_984_000, 4, "1.984MB"),
        (1_984_321, 3, "1.98MB"),
        (10**12, 3, "1TB"),
    ],
)
def test_formats_decimal(size: int, precision: int, text: str) -> None:
    assert format_decimal_bytes(size, precision) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (484 << 10, "484KiB"), (25_276_000_000, "23.54GiB"), (1536, "1.5KiB")]
)
def test_formats_binary(size: int, text: str) -> None:
    assert format_binary_bytes(size) == text

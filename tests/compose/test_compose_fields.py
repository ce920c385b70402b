"""Values of single fields: sizes, durations, numbers and commands written as text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.compose import fields


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("0", 0),
        ("512", 512),
        ("100b", 100),
        ("2kb", 2048),
        ("2K", 2048),
        ("3KiB", 3072),
        ("64m", 64 << 20),
        ("1.5g", 3 << 29),
        (".5k", 512),
        ("10 mb", 10 << 20),
        ("1t", 1 << 40),
        ("1p", 1 << 50),
    ],
)
def test_sizes(text: str, bytes_: int) -> None:
    assert fields.size(text) == bytes_


@pytest.mark.parametrize(
    ("text", "normal", "seconds"),
    [
        ("0", "0s", 0),
        ("90s", "1m30s", 90),
        ("1.5h", "1h30m0s", 5400),
        ("1h1ms", "1h0m0.001s", 3600.001),
        ("2500ms", "2.5s", 2.5),
        ("300ms", "300ms", 0.3),
        ("1500us", "1.5ms", 0.0015),
        ("10ns", "10ns", 1e-8),
        ("1d", "24h0m0s", 86400),
        ("1w", "168h0m0s", 604800),
        ("-1m", "-1m0s", -60),
    ],
)
def test_durations(text: str, normal: str, seconds: float) -> None:
    assert fields.span(fields.nanoseconds(text)) == normal
    assert fields.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "1x", "1s!", "one", "1 s", "--1s"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        fields.nanoseconds(text)


@settings(max_examples=200)
@given(st.integers(min_value=0, max_value=10**17))
def test_a_durations_normal_text_says_the_same(nanoseconds: int) -> None:
    assert fields.nanoseconds(fields.span(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("  a  b\tc\n", ("a", "b", "c")),
        ("""a "b c" 'd e'""", ("a", "b c", "d e")),
        (r"a\ b \"c \\d", ("a b", '"c', r"\d")),
        (r""" "a \" b" '\n' """, ('a " b', r"\n")),
        ('a"b"c ""', ("abc", "")),
        ("x='y z'", ("x=y z",)),
        ("$HOME `d` #e *", ("$HOME", "`d`", "#e", "*")),
        ('sh -c "a; b | c > d"', ("sh", "-c", "a; b | c > d")),
    ],
)
def test_commands_are_split_into_words(text: str, words: tuple[str, ...]) -> None:
    assert fields.words(text) == words


@pytest.mark.parametrize("text", ["a; b", "a && b", "a | b", "a > b", "a < b", "(a)"])
def test_what_only_a_shell_does_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="outside quotes, which only a shell understands"):
        fields.words(text)


@pytest.mark.parametrize("text", ["'a", 'a "b', "a'"])
def test_quotes_need_their_end(text: str) -> None:
    with pytest.raises(ValueError, match="without its end"):
        fields.words(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.5, "1.5"),
        (1.0, "1"),
        (100000.0, "100000"),
        (1000000.0, "1e+06"),
        (1234567.5, "1.2345675e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e21, "1e+21"),
        (-0.5, "-0.5"),
        (0.0, "0"),
        (10**20, "100000000000000000000"),
    ],
)
def test_numbers_as_text(value: float, text: str) -> None:
    assert fields.number(value) == text


def test_flags_numbers_and_modes() -> None:
    assert [fields.flag(text) for text in ("true", "Yes", "ON", "1")] == [True] * 4
    assert [fields.flag(text) for text in ("false", "no", "off", "0")] == [False] * 4
    assert [fields.whole(text) for text in ("7", "-1", "0x10", "0o17")] == [7, -1, 16, 15]
    assert [fields.mode(text) for text in ("440", "0440", "0o440")] == [0o440] * 3
    for read, text in ((fields.flag, "maybe"), (fields.whole, "1.5"), (fields.real, "x"), (fields.mode, "9")):
        with pytest.raises(ValueError, match="must be"):
            read(text)


def test_the_nearest_name() -> None:
    assert fields.nearest("imge", ["image", "init"]) == "image"
    assert fields.nearest("db", ["bd", "web"]) == "bd"
    assert fields.nearest("zzz", ["image"]) == ""
    assert fields.meant("prots", ["ports"]) == ' (did you mean "ports"?)'

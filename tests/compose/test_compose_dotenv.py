"""`.env` and env_file: quotes, escapes, comments, variables, inherited names, the raw format; errors with a line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from boxship.compose.document import FileError
from boxship.compose.dotenv import parse

AROUND = {"H": "home"}

FILES: dict[bytes, dict[str, str]] = {
    b"": {},
    b"A=1": {"A": "1"},
    b"A = 1": {"A": "1"},
    b"  A=1  \n": {"A": "1"},
    b"A=1 # c": {"A": "1"},
    b"A=1#c": {"A": "1#c"},
    b"A=#c": {"A": "#c"},
    b"A=x\t# c": {"A": "x\t# c"},
    b"# c\n\nA=1\n # d\nB=2": {"A": "1", "B": "2"},
    b"A='x y' # c": {"A": "x y"},
    b'A="x y"#c\nB=1': {"A": "x y", "B": "1"},
    b"export A=1\nexport\tB : 2\nexportC=3": {"A": "1", "B": "2", "exportC": "3"},
    b"A:1\nB: 2": {"A": "1", "B": "2"},
    b"A=\nB=": {"A": "", "B": ""},
    b"A=\"\"\nB=''": {"A": "", "B": ""},
    b"A.B=1\nA-B=2\nA[0]=3\n1A=4": {"A.B": "1", "A-B": "2", "A[0]": "3", "1A": "4"},
    "É=1".encode(): {"É": "1"},
    b"A=1\r\nB=2\r\n": {"A": "1", "B": "2"},
    b"\xef\xbb\xbfA=1": {"A": "1"},
    b"A=1=2": {"A": "1=2"},
    b'A=a\'b\nB=a"b"': {"A": "a'b", "B": 'a"b"'},
    b"A='a\nb'\nB=1": {"A": "a\nb", "B": "1"},
    b'A="x\n# no\ny"': {"A": "x\n# no\ny"},
    b'A="a\\nb\\t\\"c\\" \\\\ \\x"': {"A": 'a\nb\t"c" \\ \\x'},
    b"A='a\\nb'": {"A": "a\\nb"},
    b"A='a\\'b'": {"A": "a'b"},
    b"A=a\\nb": {"A": "a\\nb"},
    b"A=$H\nB=\"${H}\"\nC='$H'": {"A": "home", "B": "home", "C": "$H"},
    b'A="\\$H"\nB=$$H\nC="\\\\$H"': {"A": "$H", "B": "$H", "C": "\\home"},
    b"A=1\nB=$A\nC=${N:-d}": {"A": "1", "B": "1", "C": "d"},
    b"H=1\nB=$H": {"H": "1", "B": "home"},
    b"H\nN": {"H": "home"},
    b"H": {"H": "home"},
    b"A=1\nA=2": {"A": "2"},
    b"A=$": {"A": "$"},
}


@pytest.mark.parametrize(("text", "found"), FILES.items(), ids=range(len(FILES)))
def test_a_file(text: bytes, found: dict[str, str]) -> None:
    assert parse(text, "e", AROUND.get) == found


WRONG = {
    b"A=1\nB C=2": "e:2:1: the name of a variable cannot contain a space: 'B C=2'",
    b"A!=1": "e:1:2: unexpected character '!' in the name of a variable: 'A!=1'",
    b"=1": "e:1:1: unexpected character '=' in the name of a variable",
    b"A=1\n\nB='x\ny": "e:3:3: the quote ' is never closed: 'x",
    b"A='x' y": "e:1:7: there is more text after the closing quote",
    b"A=${": "e:1:3: '${' is no variable",
    b"A=${N?gone}": "e:1:3: required variable N is missing a value: gone",
    b"A=1\nB=\xff": "e:2:1: the text is not UTF-8",
    b"A=1\nB=\x00": "e:2:1: a value cannot hold the character U+0000",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items(), ids=range(len(WRONG)))
def test_a_wrong_file(text: bytes, message: str) -> None:
    with pytest.raises(FileError) as caught:
        parse(text, "e", AROUND.get)
    assert str(caught.value).startswith(message)


def test_the_raw_format_takes_lines_as_they_are() -> None:
    text = b"# c\n A='x' # y\nB=$H\nH\nN\n\nC=a=\"b\nD="
    found = parse(text, "e", AROUND.get, "raw")
    assert found == {"A": "'x' # y", "B": "$H", "H": "home", "C": 'a="b', "D": ""}
    with pytest.raises(FileError, match="e:1:1: 'A B' is no name"):
        parse(b"A B=1", "e", AROUND.get, "raw")
    with pytest.raises(FileError, match="unsupported: the format 'json'"):
        parse(b"", "e", AROUND.get, "json")


def test_missing_variables_are_told() -> None:
    told: list[str] = []
    assert parse(b"A=$N${M}", "e", AROUND.get, missing=told.append) == {"A": ""}
    assert told == ["N", "M"]


PIECES = some.sampled_from([*"AB=:'\"\\$#\n \t{}x", "export ", "A=", " #", "${N:-", "\\n"])


@settings(max_examples=120, deadline=None)
@given(some.one_of(some.binary(max_size=40), some.lists(PIECES, max_size=20).map(lambda each: "".join(each).encode())))
def test_reading_raises_nothing_but_file_errors(text: bytes) -> None:
    for format in ("", "raw"):
        try:
            found = parse(text, "e", AROUND.get, format)
        except FileError as error:
            assert error.place.file == "e"
        else:
            assert all(found)


@settings(max_examples=50, deadline=None)
@given(some.dictionaries(some.from_regex(r"[A-Z_]{1,5}", fullmatch=True), some.text(max_size=20)))
def test_quoted_values_come_back(values: dict[str, str]) -> None:
    values = {name: value.replace("\0", "").replace("\r", "") for name, value in values.items()}
    escaped = {name: "".join(f"\\{each}" if each in '"\\$' else each for each in text) for name, text in values.items()}
    text = "\n".join(f'{name}="{value}"' for name, value in escaped.items())
    assert parse(text.encode(), "e", {}.get) == values

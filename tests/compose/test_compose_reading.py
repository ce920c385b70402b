"""YAML text to trees: values as the stock program reads them, places, limits, and one clear error for what is wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from boxship.compose import reading
from boxship.compose.document import FileError, Mapping, Place, Scalar
from boxship.compose.reading import parse
from boxship.compose.scalars import resolve, tagged
from boxship.compose.trees import plain

SCALARS: dict[str, Any] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "nULL": "nULL",
    "true": True,
    "FALSE": False,
    "tRue": "tRue",
    "yes": "yes",
    "no": "no",
    "on": "on",
    "off": "off",
    "y": "y",
    "0": 0,
    "-0": 0,
    "+5": 5,
    "1_000": 1000,
    "_1": "_1",
    "017": 15,
    "0o17": 15,
    "-0o7": -7,
    "0x1F": 31,
    "0b11": 3,
    "08080": 8080.0,
    "1.50": 1.5,
    ".5": 0.5,
    "1.": 1.0,
    ".": ".",
    "-": "-",
    "+": "+",
    "..": "..",
    "1e3": 1000.0,
    "1e": "1e",
    "18446744073709551615": 18446744073709551615,
    "18446744073709551616": 1.8446744073709552e19,
    "-9223372036854775808": -9223372036854775808,
    ".inf": math.inf,
    "-.INF": -math.inf,
    "12:30": "12:30",
    "22:22": "22:22",
    "2001-01-01": "2001-01-01",
    "2001-01-01T00:00:00Z": "2001-01-01T00:00:00Z",
    "1.2.3": "1.2.3",
    "0x": "0x",
    "1 2": "1 2",
    "5m": "5m",
}


@pytest.mark.parametrize(("text", "value"), SCALARS.items())
def test_a_plain_scalar(text: str, value: Any) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_a_float() -> None:
    found = resolve(".nan")
    assert isinstance(found, float) and math.isnan(found)


def test_tags_of_the_core_schema() -> None:
    (document,) = parse(b"a: !!str 5\nb: !!int '0x10'\nc: !!float 3\nd: !!bool 'true'\ne: !!null ''\nf: ! 7\n", "f")
    assert plain(document) == {"a": "5", "b": 16, "c": 3.0, "d": True, "e": None, "f": "7"}
    with pytest.raises(ValueError, match="not of the kind int"):
        tagged("int", "x")


def test_quoted_scalars_stay_strings() -> None:
    (document,) = parse(b"a: '1'\nb: \"true\"\nc: |\n  1\nd: >-\n  2\n  3\ne: ''\n", "f")
    assert plain(document) == {"a": "1", "b": "true", "c": "1\n", "d": "2 3", "e": ""}
    assert all(isinstance(entry.value, Scalar) and entry.value.quoted for entry in document.entries)


def test_every_key_and_value_knows_its_place() -> None:
    (document,) = parse("é: [ä,\n  x]\nb:\n  - c: 1\n".encode(), "x.yml")
    first, second = document.entries
    assert (first.place, first.value.place) == (Place("x.yml", 1, 1), Place("x.yml", 1, 4))
    assert first.value.items[1].place == Place("x.yml", 2, 3)  # type: ignore[union-attr]
    inner = second.value.items[0]  # type: ignore[union-attr]
    assert isinstance(inner, Mapping)
    assert str(inner.entries[0].value.place) == "x.yml:4:8"


def test_several_documents_and_empty_ones() -> None:
    assert [plain(each) for each in parse(b"a: 1\n---\n---\nnull\n--- # c\nb: 2\n...\n", "f")] == [{"a": 1}, {"b": 2}]
    assert parse(b"", "f") == () == parse(b"# only\n", "f")


@pytest.mark.parametrize("encoded", [b"\xef\xbb\xbfa: 1", "a: 1".encode("utf-16"), b"a: 1\r\n"])
def test_byte_order_marks_and_line_ends(encoded: bytes) -> None:
    assert plain(parse(encoded, "f")[0]) == {"a": 1}


def test_anchors_aliases_and_merge_keys() -> None:
    text = b"""
x-base: &base {image: x, labels: {a: 1}}
x-more: &more {image: y, user: u}
one: {<<: *base, user: own}
two: {<<: [*base, *more], tty: true}
three: {"<<": 1}
"""
    found = plain(parse(text, "f")[0])
    assert found["one"] == {"image": "x", "labels": {"a": 1}, "user": "own"}
    assert found["two"] == {"image": "x", "labels": {"a": 1}, "user": "u", "tty": True}
    assert found["three"] == {"<<": 1}


def test_tags_of_compose_are_kept() -> None:
    (document,) = parse(b"a: !reset [1]\nb: !override {x: 1}\nc: !reset\nd: !override 5\n", "f")
    assert [entry.value.tag for entry in document.entries] == ["!reset", "!override", "!reset", "!override"]
    assert plain(document)["d"] == 5


WRONG = {
    b"a:\n\tb: 1\n": "f:2:1: a tab cannot indent in YAML: use spaces",
    b"a: 1\nb: 2\na: 3": "f:3:1: the key 'a' is already in line 1",
    b"a: x\xff": "f:1:5: the text is not UTF-8: invalid start byte",
    b"a: &x [*x]": "f:1:8: the anchor &x contains itself",
    b"a: *y": "f:1:4: the anchor &y is not defined before this line",
    b"a: &x 1\n---\nb: *x": "f:3:4: the anchor &x is not defined before this line",
    b"a: !foo 1": "f:1:4: unsupported: the tag !foo here",
    b"a: !!set {b}": "f:1:4: unsupported: the tag !!set here",
    b"a: !!binary aGk=": "f:1:4: unsupported: the tag !!binary here",
    b"a: !!int x": "f:1:4: 'x' is not of the kind int",
    b"a: [!reset 1]": "f:1:5: !reset stands for a field",
    b"a: 'x\nb: 1": "f:1:4: this quote is never closed",
    b"a: [1, 2\nb: 3": "f:2:2: did not find expected ',' or ']' (while parsing a flow sequence from line 1 on)",
    b"- a": "f:1:1: the top level must be a mapping of fields, not a list",
    b"just text": "f:1:1: the top level must be a mapping of fields, not the text 'just text'",
    b"a: \x01": "f:1:4: the character U+0001 is not allowed",
    "é: ä\x02".encode(): "f:1:5: the character U+0002 is not allowed",
    b"a: [1, ,]": "f:1:8: a value is expected here",
    b"1: 2": "f:1:1: a key must be a text, not 1: write it in quotes",
    b"true: 2": "f:1:1: a key must be a text, not true",
    b"~: 2": "f:1:1: a key must be a text, not ~",
    b"? [a]\n: 1": "f:1:3: a key must be a text, not a list or a mapping",
    b"a: b: c": "f:1:5: a ':' is not allowed here: check quotes and indentation",
    b"a: - b": "f:1:4: a list cannot begin here: put '-' on a line of its own",
    b"a: @b": "f:1:4: this character cannot begin a text: write the text in quotes",
    b"a:\n  b: 1\n c: 2": "f:3:2: a key is expected here: check the indentation (while parsing a block mapping from",
    b"a:\n  - b\n  c\nd: 1": "f:3:3: a ':' is missing after this key",
    b"a: 1\nb\nc: 1": "f:2:1: a ':' is missing after this key",
    b"%YAML 3.0\n---\na: 1": "f:1:1: this version of YAML is not known",
    b"a: {<<: 1}": "f:1:9: << takes a mapping or a list of mappings, not the value 1",
    b"a: {<<: {a: 1}, <<: {b: 1}}": "the key '<<' is already",
    b"[" * 5000: "nested deeper than 64 levels",
    b"a: " + b"x" * (reading.FILE_BYTES + 1): "f: the file is larger than 4194304 bytes",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items(), ids=range(len(WRONG)))
def test_what_is_wrong_is_named_with_its_place(text: bytes, message: str) -> None:
    with pytest.raises(FileError) as caught:
        parse(text, "f")
    assert message in str(caught.value)


def test_aliases_cannot_blow_up() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(FileError, match="more than 200000 values"):
        parse("\n".join(lines).encode(), "bomb")


PIECES = some.sampled_from(
    [*"abc:[]{},-?&*!|>'\"%@`#\n \t\x00é", "a: ", "- ", "  ", "&a ", "*a", "<<: ", "!reset ", "---\n", "1", "'x'", "? "]
)


@settings(max_examples=120, deadline=None)
@given(some.one_of(some.binary(max_size=60), some.lists(PIECES, max_size=25).map(lambda each: "".join(each).encode())))
def test_reading_raises_nothing_but_file_errors(text: bytes) -> None:
    try:
        documents = parse(text, "f")
    except FileError as error:
        assert error.place.file == "f"
    else:
        assert all(isinstance(document, Mapping) for document in documents)

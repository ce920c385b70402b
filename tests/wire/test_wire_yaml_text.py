"""YAML of manifests: values as Kubernetes' own reader has them, limits, and the way back."""

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as make

from boxship.errors import Invalid
from boxship.wire.yaml_text import read, read_all, write
from daemons import kubectl_program


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: yes", {"a": True}),
        ("a: [y, on, No, off, 'yes', \"n\"]", {"a": [True, True, False, False, "yes", "n"]}),
        ("a: 010", {"a": 8}),
        ("a: 0o10", {"a": 8}),
        ("a: 0x1F", {"a": 31}),
        ("a: 0b11", {"a": 3}),
        ("a: 1_000", {"a": 1000}),
        ("a: -5", {"a": -5}),
        ("a: 08", {"a": 8}),
        ("a: 1e3", {"a": 1000}),
        ("a: 1e400", {"a": "1e400"}),
        ("a: 1_0.5", {"a": 10.5}),
        ("a: .5", {"a": 0.5}),
        ("a: 1.", {"a": 1}),
        ("a: 18446744073709551615", {"a": 18446744073709551615}),
        ("a: 2001-12-14", {"a": "2001-12-14"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 500m", {"a": "500m"}),
        ("a: ~\nb:\nc: null", {"a": None, "b": None, "c": None}),
        ("1: a\ntrue: b\n1.5: c\nyes: d", {"1": "a", "true": "d", "1.5": "c"}),
        ("a: !!str 1", {"a": "1"}),
        ("a: !!binary aGk=", {"a": "hi"}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}}),
        ("a: {<<: [{x: 1}, {x: 2, z: 3}]}", {"a": {"x": 1, "z": 3}}),
        ('{"a": ["b", 1, true, null]}', {"a": ["b", 1, True, None]}),
        ('a: é\nb: "\\u00e9"', {"a": "é", "b": "é"}),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert read(text.encode())[0] == value


def test_a_key_that_is_set_twice_is_told_and_the_last_one_counts() -> None:
    assert read(b"a: 1\nb: 2\na: 3") == ({"a": 3, "b": 2}, ['line 3: key "a" already set in map'])


def test_several_documents() -> None:
    assert read_all(b"---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n") == [{"a": 1}, {"b": 2}]


def test_what_an_alias_stands_for_is_not_shared() -> None:
    value, _ = read(b"a: &x {b: [1]}\nc: *x")
    value["a"]["b"].append(2)
    assert value["c"] == {"b": [1]}


BOMB = b"a: &a [1,2,3,4,5,6,7,8,9]\n" + b"".join(
    b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % ((letter, letter) + (letter - 1,) * 9)
    for letter in range(ord("b"), ord("k"))
)


@pytest.mark.parametrize(
    "data",
    [
        BOMB,
        b"[" * 5000,
        b"- " * 5000,
        b"a: *b",
        b"a: b: c",
        b"\xff\xfe\x00",
        b"a: !!python/object/apply:os.system [x]",
        b"a: !x y",
        b"a: .inf",
        b"? [a]\n: b",
        b"{<<: 1}",
        b"a: \x01",
        b"%YAML 9.9\n---\na",
        b"\t- a",
        b"a: &a [*a]",
    ],
)
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        read(data)
    assert str(caught.value).startswith("yaml: ")


TEXTS = make.one_of(make.text(max_size=20), make.sampled_from("y yes 010 1e3 1_0 ~ null <<  .inf 0x1 - : #".split(" ")))
VALUES = make.recursive(
    make.one_of(make.none(), make.booleans(), make.integers(-(2**63), 2**63), TEXTS),
    lambda inner: make.one_of(make.lists(inner, max_size=4), make.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert read(write(value))[0] == value


@given(make.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(Invalid):
        read_all(data)


def test_the_stock_client_reads_the_same(tmp_path: Path) -> None:
    words = "y Y yes No off 010 0o10 1_000 08 1e3 1. 1:30 .5 2001-12-14 0b11 +5 0x1F 1e400 0x_1 -0b11 -010 1_0.5 ='1' ~"
    lines = [f"  k{number}: {word}" for number, word in enumerate(words.split())]
    text = "\n".join(["apiVersion: example.com/v1", "kind: A", "metadata: {name: a}", "spec:", *lines, "  y: 1", ""])
    path = tmp_path / "a.yaml"
    path.write_text(text)
    command = [kubectl_program(), "label", "--local", "-f", str(path), "a-", "-o", "json"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=20)
    assert json.loads(done.stdout)["spec"] == read(text.encode())[0]["spec"]

"""Protocol buffers by table: values there and back, the published examples, and bytes that mean harm."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Invalid
from boxship.wire.protobuf import Limits, Table, decode, encode

MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Node": {
        "name": (1, "string"),
        "data": (2, "bytes"),
        "small": (3, "int32"),
        "large": (4, "int64"),
        "bare": (5, "uint64"),
        "on": (6, "bool"),
        "share": (7, "double"),
        "child": (8, "Node"),
        "children": (9, "Node[]"),
        "names": (10, "string[]"),
        "numbers": (11, "int64[]"),
        "labels": (12, "map<string,string>"),
        "nodes": (13, "map<string,Node>"),
        "when": (200, "When"),
        ".more": (14, "More"),
    },
    "More": {"extra": (1, "string"), "inner": (2, "Node")},
    "When": {"seconds": (1, "int64")},
}
SHAPES = {"When": (lambda fields: f"at {fields.get('seconds', 0)}", lambda text: {"seconds": int(text[3:])})}
TABLE = Table(MESSAGES, SHAPES)

scalars = {
    "name": st.text(st.characters(exclude_categories=["Cs"])),
    "data": st.binary(),
    "small": st.integers(-(2**31), 2**31 - 1),
    "large": st.integers(-(2**63), 2**63 - 1),
    "bare": st.integers(0, 2**64 - 1),
    "on": st.booleans(),
    "share": st.floats(allow_nan=False),
    "names": st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1),
    "numbers": st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
    "labels": st.dictionaries(st.text("ab"), st.text("xy"), min_size=1),
    "when": st.integers(0, 2**40).map(lambda seconds: f"at {seconds}"),
    "extra": st.text("xyz"),
}
nodes = st.recursive(
    st.fixed_dictionaries({}, optional=scalars),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            **scalars,
            "child": inner,
            "inner": inner,
            "children": st.lists(inner, min_size=1),
            "nodes": st.dictionaries(st.text("ab"), inner, min_size=1),
        },
    ),
    max_leaves=8,
)


@given(nodes)
def test_values_come_back(value: dict[str, Any]) -> None:
    assert decode(TABLE, "Node", encode(TABLE, "Node", value)) == value


def test_the_published_examples() -> None:
    assert encode(Table({"M": {"a": (1, "int32")}}), "M", {"a": 150}) == b"\x08\x96\x01"
    assert encode(Table({"M": {"b": (2, "string")}}), "M", {"b": "testing"}) == b"\x12\x07testing"
    packed = Table({"M": {"f": (6, "int32[]")}})
    assert decode(packed, "M", b"\x32\x06\x03\x8e\x02\x9e\xa7\x05") == {"f": [3, 270, 86942]}
    assert encode(Table({"M": {"a": (1, "int32")}}), "M", {"a": -1}) == b"\x08" + b"\xff" * 9 + b"\x01"


def test_unknown_fields_are_passed_over() -> None:
    table = Table({"M": {"b": (2, "string")}})
    unknown = b"\x08\x96\x01" + b"\x19" + b"x" * 8 + b"\x25" + b"x" * 4 + b"\x2a\x03abc"
    assert decode(table, "M", unknown + b"\x12\x01y" + unknown) == {"b": "y"}


def test_a_message_may_come_in_pieces() -> None:
    pieces = encode(TABLE, "Node", {"child": {"name": "a"}}) + encode(TABLE, "Node", {"child": {"on": True}})
    assert decode(TABLE, "Node", pieces)["child"] == {"name": "a", "on": True}
    first = {"child": {"names": ["a"], "labels": {"x": "1"}, "child": {"small": 1}}}
    second = {"child": {"names": ["b"], "labels": {"y": "2"}, "child": {"large": 2}}}
    assert decode(TABLE, "Node", encode(TABLE, "Node", first) + encode(TABLE, "Node", second)) == {
        "child": {"names": ["a", "b"], "labels": {"x": "1", "y": "2"}, "child": {"small": 1, "large": 2}}
    }


def test_entries_may_lack_what_is_empty() -> None:
    assert decode(TABLE, "Node", b"\x62\x00") == {"labels": {"": ""}}


def test_what_a_message_does_not_have_is_refused() -> None:
    with pytest.raises(Invalid, match="cannot encode Node: it has no field nonsense"):
        encode(TABLE, "Node", {"nonsense": 1})
    with pytest.raises(Invalid, match="cannot encode Node: name"):
        encode(TABLE, "Node", {"name": 1})
    with pytest.raises(Invalid, match="no such message"):
        decode(TABLE, "Nothing", b"")


def deep(levels: int) -> bytes:
    data = b""
    for _ in range(levels):
        size = len(data)
        length = bytearray()
        while size >= 0x80:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        data = b"\x42" + bytes([*length, size]) + data
    return data


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a\x05ab", "ends in the middle of a field"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "ends in the middle of a field"),
        (b"\x0a", "ends in the middle of a number"),
        (b"\x18", "ends in the middle of a number"),
        (b"\x18\x80", "ends in the middle of a number"),
        (b"\x18" + b"\x80" * 20, "too long"),
        (b"\x0a\x02\xff\xfe", "not UTF-8"),
        (b"\x08\x01", "wrong wire type"),
        (b"\x1a\x01\x01", "wrong wire type"),
        (b"\x39\x01", "not whole"),
        (b"\x02\x01", "the number 0"),
        (b"\xfb\x01", "unknown wire type"),
        (b"\xfa\x7f\x7f", "ends in the middle of a field"),
        (deep(100), "nested too deeply"),
        (deep(2000), "nested too deeply"),
        (b"\x4a\x00" * 300_000, "too many values"),
        (b"\x5a\xe0\xa7\x12" + b"\x00" * 300_000, "too many values"),
    ],
)
def test_bad_bytes_are_refused_soon(data: bytes, why: str) -> None:
    began = time.monotonic()
    with pytest.raises(Invalid, match=why):
        decode(TABLE, "Node", data)
    assert time.monotonic() - began < 2


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_value_or_a_refusal(data: bytes) -> None:
    try:
        value = decode(TABLE, "Node", data, Limits(depth=8, values=100))
    except Invalid:
        return
    assert isinstance(value, dict)


@given(nodes, st.data())
def test_cut_and_bent_bytes_end_too(value: dict[str, Any], choice: st.DataObject) -> None:
    data = bytearray(encode(TABLE, "Node", value))
    if data:
        data[choice.draw(st.integers(0, len(data) - 1))] ^= 1 << choice.draw(st.integers(0, 7))
        del data[choice.draw(st.integers(0, len(data))) :]
    try:
        decode(TABLE, "Node", bytes(data))
    except Invalid:
        return

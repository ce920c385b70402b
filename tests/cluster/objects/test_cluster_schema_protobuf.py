"""Objects as protocol buffers: every kind comes back as it was; what the recorded clients send is understood."""

import base64
import json
import random
from typing import Any

import pytest

from boxship.cluster.objects.catalog import RESOURCES
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.protobuf import MAGIC, UNKNOWN, read, table, write
from boxship.cluster.objects.schema import builtin
from boxship.cluster.objects.schema.types import Form, Type
from boxship.wire.protobuf import encode

SCHEMAS = builtin.load(None)
KINDS = sorted({(each.group, each.version, each.kind) for each in RESOURCES})


def some(type_: Type, source: random.Random, depth: int) -> Any:
    """A value of the type; every field has a chance."""
    word = "".join(source.choices("abcé✓ ", k=source.randrange(1, 6)))
    match type_.form:
        case Form.OBJECT:
            chance = 0.7 if depth > 6 else 0.3
            return {
                name: some(inner, source, depth - 1)
                for name, inner in type_.fields.items()
                if (depth > 0 and source.random() < chance) or name == "name"
            }
        case Form.LIST | Form.MAP:
            assert type_.items is not None
            items = [some(type_.items, source, depth - 1) for _ in range(source.randrange(1, 3))]
            return items if type_.form is Form.LIST else {f"k{index}": item for index, item in enumerate(items)}
        case Form.INTEGER:
            return source.choice([0, 1, -1, 2**31 - 1, -(2**31)])
        case Form.NUMBER:
            return source.choice([0.0, 1.5, -2.25])
        case Form.BOOLEAN:
            return source.random() < 0.5
        case Form.INT_OR_STRING:
            return source.choice([80, "80%", 0, "http"])
        case Form.QUANTITY:
            return source.choice(["1", "100m", "1Gi"])
        case Form.TIME:
            return source.choice(["2026-01-02T03:04:05Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"])
        case Form.MICRO_TIME:
            return "2026-01-02T03:04:05.000006Z"
        case Form.BYTES:
            return base64.b64encode(source.randbytes(5)).decode()
        case Form.ANY if type_.items is not None:
            return True if type_.name.endswith("Bool") else some(type_.items, source, 0)
        case Form.ANY:
            return {"f:spec": {}, "list": [1, "x", None, 1.5]}
        case _:
            return word


@pytest.mark.parametrize(("group", "version", "kind"), KINDS)
def test_every_kind_comes_back(group: str, version: str, kind: str) -> None:
    source = random.Random(f"{group}{version}{kind}")
    type_ = SCHEMAS.type_of(group, version, kind)
    for _ in range(4):
        object = some(type_, source, 9)
        object = object | {"apiVersion": f"{group}/{version}" if group else version, "kind": kind}
        assert json.dumps(read(write(object, SCHEMAS), SCHEMAS), sort_keys=True) == json.dumps(object, sort_keys=True)


def test_every_definition_has_a_message_with_the_same_fields() -> None:
    for name in SCHEMAS.names():
        type_ = SCHEMAS.definition(name)
        if type_.form is not Form.OBJECT:
            continue
        fields: set[str] = set()
        plans = [table().plan(name)]
        while plans:
            for slot in plans.pop().slots:
                if slot.inline and slot.plan is not None:
                    plans.append(slot.plan)
                else:
                    fields.add(slot.name)
        assert set(type_.fields) - {"apiVersion", "kind"} == fields - {"apiVersion", "kind"}, name


def envelope(**fields: Any) -> bytes:
    return MAGIC + encode(table(), UNKNOWN, fields)


def test_a_body_may_leave_out_what_it_is() -> None:
    body = envelope(raw=encode(table(), "io.k8s.api.core.v1.ConfigMap", {"data": {"a": "b"}}))
    expected = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}
    assert read(body, SCHEMAS, expected=("", "v1", "ConfigMap")) == expected
    with pytest.raises(Failure, match="'Kind' is missing"):
        read(body, SCHEMAS)


def test_options_are_known_in_every_group() -> None:
    fields = {"gracePeriodSeconds": 0, "propagationPolicy": "Foreground", "preconditions": {"uid": "x"}}
    for api_version in ("v1", "apps/v1", "example.com/v1alpha1"):
        object = {"apiVersion": api_version, "kind": "DeleteOptions", **fields}
        assert read(write(object, SCHEMAS), SCHEMAS) == object


def test_a_zero_time_is_none() -> None:
    body = envelope(
        typeMeta={"apiVersion": "v1", "kind": "Pod"}, raw=b"\x0a\x06" + b"\x0a\x02ab" + b"\x42\x00"
    )  # metadata with a name and an empty creationTimestamp
    assert read(body, SCHEMAS)["metadata"] == {"name": "ab"}


def test_an_object_in_an_extension_may_be_json_or_an_envelope() -> None:
    inner = {"apiVersion": "v1", "kind": "X"}
    revision = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "data": inner, "revision": 3}
    assert read(write(revision, SCHEMAS), SCHEMAS) == revision
    nested = envelope(raw=json.dumps(inner).encode())
    raw = b"\x12" + bytes([len(nested) + 2]) + b"\x0a" + bytes([len(nested)]) + nested
    body = envelope(typeMeta={"apiVersion": "apps/v1", "kind": "ControllerRevision"}, raw=raw)
    assert read(body, SCHEMAS)["data"] == inner


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{}", "does not appear to be a protobuf message"),
        (MAGIC + b"\xff", "cannot decode .*Unknown"),
        (envelope(typeMeta={"apiVersion": "v1", "kind": "Pod"}, raw=b"\x0a\x7f"), "cannot decode .*Pod: it ends"),
        (envelope(typeMeta={"apiVersion": "v1", "kind": "Pood"}, raw=b""), 'no kind "Pood" is registered for version'),
        (envelope(typeMeta={"apiVersion": "a/b/c", "kind": "Pod"}), 'no kind "Pod" is registered'),
        (envelope(typeMeta={"apiVersion": "v1", "kind": "Pod"}, contentEncoding="gzip"), "unsupported: content enc"),
        (
            envelope(typeMeta={"apiVersion": "apps/v1", "kind": "ControllerRevision"}, raw=b"\x12\x04\x0a\x02{]"),
            "should be JSON is not",
        ),
        (
            envelope(
                typeMeta={"apiVersion": "v1", "kind": "Pod"},
                raw=b"\x0a\x0d\x42\x0b\x08" + b"\xff" * 8 + b"\x7f" + b"\x00",
            ),
            "cannot decode",
        ),
    ],
)
def test_bad_bodies_are_refused(body: bytes, why: str) -> None:
    with pytest.raises(Failure, match=why) as refused:
        read(body, SCHEMAS)
    assert refused.value.code == 400

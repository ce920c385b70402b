"""Random schemas and random objects: whatever comes ends in an object or in a refusal, and what was accepted once is
accepted again, unchanged."""

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cluster.objects.custom.defaulting import put_defaults
from boxship.cluster.objects.custom.definitions import METADATA, check_schemas
from boxship.cluster.objects.custom.publishing import published
from boxship.cluster.objects.custom.reading import prune
from boxship.cluster.objects.custom.types import root_type
from boxship.cluster.objects.custom.values import judge
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.openapi import v2, v3
from boxship.cluster.objects.openapi.gnostic import encode_document
from boxship.cluster.objects.schema import builtin
from boxship.cluster.objects.validation import read

SCHEMAS = builtin.load(None)
NAMES = st.sampled_from(["a", "b", "c"])
WORDS = st.sampled_from(["", "x", "xyz", "2026-01-01T00:00:00Z", "10.0.0.1", "\u2713"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
plain = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "number", "boolean"])},
    optional={
        "nullable": st.booleans(),
        "enum": st.lists(values, min_size=1, max_size=2),
        "minimum": st.integers(-3, 3),
        "maxLength": st.integers(0, 3),
        "pattern": st.sampled_from(["^x", "[[:alpha:]]", "y$"]),
        "format": st.sampled_from(["date-time", "ipv4", "byte", "int32"]),
        "not": st.fixed_dictionaries({"enum": st.lists(values, max_size=1)}),
        "anyOf": st.lists(st.fixed_dictionaries({"minimum": st.integers(-3, 3)}), min_size=1, max_size=2),
    },
)
special = st.sampled_from([{"x-kubernetes-int-or-string": True}, {"x-kubernetes-preserve-unknown-fields": True}])


def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    marks = {"nullable": st.booleans(), "x-kubernetes-preserve-unknown-fields": st.just(True)}
    fields = st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, min_size=1, max_size=3)},
        optional={**marks, "required": st.lists(NAMES, max_size=2, unique=True)},
    )
    maps = st.fixed_dictionaries({"type": st.just("object"), "additionalProperties": inner})
    lists = st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner},
        optional={"maxItems": st.integers(0, 3), "x-kubernetes-list-type": st.sampled_from(["atomic", "set"])},
    )
    return fields | maps | lists


schemas = st.recursive(plain | special, larger, max_leaves=8)


def whole(schema: Any) -> Any:
    return {"type": "object", "properties": {"a": schema}}


@given(schemas, values)
@settings(max_examples=300)
def test_values_are_judged_whatever_they_are(schema: Any, value: Any) -> None:
    type_ = root_type(whole(schema), METADATA)
    object = {"a": copy.deepcopy(value)}
    prune(object, type_)
    put_defaults(object, type_)
    again = copy.deepcopy(object)
    assert prune(again, type_) == []
    put_defaults(again, type_)
    assert again == object
    causes = judge(object, type_).causes
    assert causes == judge(object, type_).causes
    assert all(cause.reason and cause.message for cause in causes)


@given(schemas, st.none() | values)
@settings(max_examples=150)
def test_schemas_are_judged_and_published(schema: Any, default: Any) -> None:
    if default is not None:
        schema = {**schema, "default": default}
    definition = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": whole(schema)}}]}}
    check_schemas(definition)
    told = published(whole(schema), "example.com", "v1", "Widget")
    json.dumps(v3.rewrite(told))
    encode_document({"definitions": {"x": v2.rewrite(told)}})


@given(values, values)
@settings(max_examples=150)
def test_anything_may_be_called_a_schema(schema: Any, other: Any) -> None:
    """The types of what a definition says are checked when it is read; its sense here."""
    type_ = SCHEMAS.type_of("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    versions = [{"name": "v1", "schema": {"openAPIV3Schema": {"properties": {"a": schema}, "items": other}}}]
    object = {"kind": "CustomResourceDefinition", "apiVersion": "v1", "spec": {"versions": versions}}
    try:
        definition, _, _ = read(object, type_, "Ignore")
    except Failure:
        return
    check_schemas(definition)


KINDS = st.sampled_from([("", "v1", "Pod"), ("apps", "v1", "Deployment"), ("", "v1", "Secret"), ("batch", "v1", "Job")])


@given(KINDS, st.dictionaries(st.sampled_from(["metadata", "spec", "data", "status"]), values))
@settings(max_examples=200)
def test_built_in_kinds_are_read_whatever_comes(kind: tuple[str, str, str], fields: Any) -> None:
    type_ = SCHEMAS.type_of(*kind)
    object = {"kind": kind[2], "apiVersion": "v1", **fields}
    try:
        kept, _, _ = read(object, type_, "Warn")
    except Failure as failure:
        assert failure.code == 400
        return
    again = copy.deepcopy(kept)
    assert read(again, type_) == (kept, [], ())

"""Schemas of custom kinds: which are structural, and what types they become."""

import time
from typing import Any

import pytest

from boxship.cluster.objects.custom.definitions import METADATA, check_schemas
from boxship.cluster.objects.custom.patterns import compiled, wrong_pattern
from boxship.cluster.objects.custom.publishing import published
from boxship.cluster.objects.custom.types import root_type
from boxship.cluster.objects.schema.types import Form, Type

AT = "spec.versions[0].schema.openAPIV3Schema"
PRESERVE = "x-kubernetes-preserve-unknown-fields"
EITHER = "x-kubernetes-int-or-string"
LIST_TYPE, KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
TEXT = {"type": "string"}


def wrong(schema: Any) -> list[tuple[str, str]]:
    """The causes of a whole schema, with their places below it."""
    definition = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}
    return [(cause.field.removeprefix(AT).lstrip("."), cause.message) for cause in check_schemas(definition)]


def below(schema: Any, **more: Any) -> list[tuple[str, str]]:
    """The same for a field `a`."""
    found = wrong({"type": "object", "properties": {"a": schema}, **more})
    return [(field.removeprefix("properties[a]").lstrip("."), message) for field, message in found]


@pytest.mark.parametrize(
    "schema",
    [
        TEXT,
        {EITHER: True},
        {EITHER: True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        {EITHER: True, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "^x"}]},
        {PRESERVE: True},
        {"type": "object", PRESERVE: True, "properties": {"b": TEXT}},
        {"type": "object", "additionalProperties": {"type": "array", "items": TEXT}},
        {"type": "object", "additionalProperties": True},
        {"type": "array", "items": TEXT, LIST_TYPE: "set"},
        {
            "type": "array",
            LIST_TYPE: "map",
            KEYS: ["n", "p"],
            "items": {"type": "object", "required": ["n"], "properties": {"n": TEXT, "p": {**TEXT, "default": "TCP"}}},
        },
        {
            "type": "object",
            "properties": {"b": TEXT},
            "oneOf": [{"required": ["b"]}, {"properties": {"b": {"enum": ["x"]}}}],
        },
        {"type": "object", "x-kubernetes-embedded-resource": True, PRESERVE: True},
        {"type": "integer", "default": 3, "minimum": 1, "not": {"enum": [5]}},
        {"type": "object", "properties": {"b": {**TEXT, "default": "x"}}, "default": {}},
        {"type": "string", "nullable": True, "default": None},
    ],
)
def test_structural_schemas_are_accepted(schema: Any) -> None:
    assert below(schema) == []


@pytest.mark.parametrize(
    ("schema", "place", "why"),
    [
        ({}, "type", "Required value: must not be empty for specified object fields"),
        ({"type": "array", "items": {}}, "items.type", "Required value: must not be empty for specified array items"),
        ({"type": "array"}, "items", "Required value: must be specified"),
        ({"type": "text"}, "type", 'Unsupported value: "text": supported values: "array", "boolean", "integer", '),
        ({"type": "null"}, "type", "Forbidden: type cannot be set to null, use nullable as an alternative"),
        ({"type": "array", "items": [TEXT]}, "items", "Forbidden: items must be a schema object and not an array"),
        (
            {**TEXT, EITHER: True},
            "type",
            'Invalid value: "string": must be empty if x-kubernetes-int-or-string is true',
        ),
        (
            {"type": "array", "items": TEXT, "uniqueItems": True},
            "uniqueItems",
            "Forbidden: uniqueItems cannot be set to",
        ),
        ({"$ref": "#/x", **TEXT}, "$ref", "Forbidden: $ref is not supported"),
        ({"type": "object", "additionalProperties": False}, "additionalProperties", "cannot be set to false"),
        (
            {"type": "object", "properties": {"b": TEXT}, "additionalProperties": TEXT},
            "additionalProperties",
            "mutual excl",
        ),
        ({**TEXT, "pattern": "("}, "pattern", "must be a valid regular expression, but isn't: error parsing regexp"),
        ({**TEXT, PRESERVE: False}, PRESERVE, "Invalid value: false: must be true or undefined"),
        (
            {**TEXT, LIST_TYPE: "set"},
            "type",
            'Invalid value: "string": must be array if x-kubernetes-list-type is spec',
        ),
        (
            {"type": "array", "items": TEXT, LIST_TYPE: "bag"},
            LIST_TYPE,
            'Unsupported value: "bag": supported values: "at',
        ),
        (
            {"type": "array", "items": TEXT, KEYS: ["a"]},
            LIST_TYPE,
            "Required value: must be map if x-kubernetes-list-map",
        ),
        (
            {"type": "array", "items": TEXT, LIST_TYPE: "map", KEYS: ["a"]},
            "items.type",
            "must be object if parent array's",
        ),
        (
            {"type": "array", "items": {"type": "object"}, LIST_TYPE: "map"},
            KEYS,
            "Required value: must not be empty if x-kubernetes-list-type is map",
        ),
        (
            {"type": "array", "items": {"type": "object", "properties": {"n": TEXT}}, LIST_TYPE: "map", KEYS: ["n"]},
            "items.properties[n].default",
            "so it must have a default or be a required property",
        ),
        (
            {"type": "array", "items": {"type": "object"}, LIST_TYPE: "map", KEYS: ["n"]},
            f"{KEYS}[0]",
            'Invalid value: "n": entries must all be names of item properties',
        ),
        (
            {"type": "array", "items": {"type": "object"}, LIST_TYPE: "set"},
            "items.x-kubernetes-map-type",
            "must be atomic as item of a list with x-kubernetes-list-type=set",
        ),
        ({**TEXT, "anyOf": [{"type": "string"}]}, "anyOf[0].type", "Forbidden: must be empty to be structural"),
        ({**TEXT, "not": {"default": 1}}, "not.default", "Forbidden: must be undefined to be structural"),
        (
            {"type": "object", "properties": {"b": TEXT}, "anyOf": [{"properties": {"c": {"enum": ["x"]}}}]},
            "properties[c]",
            "anyOf[0].properties[c]",
        ),
        ({**TEXT, "default": 3}, "default", 'Invalid value: "integer":  in body must be of type string: "integer"'),
        ({"type": "integer", "minimum": 3, "default": 1}, "default", "should be greater than or equal to 3"),
        ({"type": "object", "default": {"x": 1}}, "default", "must not have unknown fields"),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True},
            "properties",
            "must not be empty if x-kubernetes-em",
        ),
        (
            {"type": "string", "x-kubernetes-embedded-resource": True, PRESERVE: True},
            "type",
            "must be object if x-kubernetes-embedded-resource is true",
        ),
    ],
)
def test_other_schemas_are_refused(schema: Any, place: str, why: str) -> None:
    found = dict(below(schema))
    assert place in found, found
    assert why in found[place]


@pytest.mark.parametrize(
    ("schema", "place", "why"),
    [
        ({}, "type", "Required value: must not be empty at the root"),
        (TEXT, "type", 'Invalid value: "string": must be object at the root'),
        ({"type": "object", "additionalProperties": TEXT}, "additionalProperties", "must not be used at the root"),
        ({"type": "object", "nullable": True}, "nullable", "must be false at the root"),
        (
            {"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": TEXT}}}},
            "properties[metadata]",
            "must not specify anything other than name and generateName",
        ),
    ],
)
def test_the_root_has_rules_of_its_own(schema: Any, place: str, why: str) -> None:
    found = dict(wrong(schema))
    assert why in found.get(place, ""), found


def type_of(schema: Any) -> Type:
    return root_type({"type": "object", "properties": {"a": schema}}, METADATA).fields["a"]


def test_types_say_how_values_merge() -> None:
    items = {"type": "object", "properties": {"n": TEXT}}
    listed = type_of({"type": "array", "items": items, LIST_TYPE: "map", KEYS: ["n"]})
    assert (listed.form, listed.list_type, listed.list_keys) == (Form.LIST, "map", ("n",))
    assert type_of({"type": "array", "items": TEXT}).list_type == "atomic"
    assert type_of({"type": "object", "x-kubernetes-map-type": "atomic"}).atomic
    assert type_of({"type": "object", "additionalProperties": TEXT}).form is Form.MAP
    assert type_of({EITHER: True}).form is Form.INT_OR_STRING
    assert type_of({PRESERVE: True}).form is Form.ANY
    embedded = type_of({"type": "object", "x-kubernetes-embedded-resource": True, PRESERVE: True})
    assert embedded.embedded
    assert set(embedded.fields) == {"apiVersion", "kind", "metadata"}


def test_what_is_published_names_the_kind() -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object"}}}
    told = published(schema, "example.com", "v1", "Widget")
    assert set(told["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert told["x-kubernetes-group-version-kind"] == [{"group": "example.com", "version": "v1", "kind": "Widget"}]
    assert set(schema["properties"]) == {"spec"}


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        ("^a$", "a", "a\n"),
        ("b", "abc", "ac"),
        (r"^[[:alpha:]]+$", "abc", "ab1"),
        (r"^\p{L}+$", "aé", "a1"),
        (r"^\d+$", "12", "\u0661"),
        (r"^[$]\z", "$", "x"),
        (r"^[]a]+$", "]a", "b"),
        (r"^(?P<x>a|b)$", "b", "c"),
        (r"^\$$", "$", "x"),
    ],
)
def test_patterns_are_read_as_go_reads_them(pattern: str, fits: str, does_not: str) -> None:
    assert compiled(pattern).search(fits)
    assert not compiled(pattern).search(does_not)


def test_no_pattern_takes_long() -> None:
    began = time.process_time()
    assert not compiled("^(a|aa|a*)*$").search("a" * 50_000 + "b")
    assert time.process_time() - began < 1


@pytest.mark.parametrize("pattern", ["(", "[z-a]", r"\p{Wrong}", "a**", "x" * 20_000, "(" * 5000])
def test_wrong_patterns_are_named(pattern: str) -> None:
    assert wrong_pattern(pattern).startswith("error parsing regexp")


@pytest.mark.parametrize(
    ("rule", "place", "why"),
    [
        ({"rule": "self > 1"}, "rule", "compilation failed"),
        ({"rule": "self.size() > 1"}, "", ""),
        ({"rule": "self.size()"}, "rule", "must evaluate to a bool"),
        ({"rule": "self == oldSelf"}, "", ""),
        ({"rule": ""}, "rule", "rule is not specified"),
        ({"rule": "true", "messageExpression": "1"}, "messageExpression", "must evaluate to string"),
        ({"rule": "true", "message": "a\nb"}, "message", "must not contain line breaks"),
        ({"rule": "true", "reason": "Odd"}, "reason", "Unsupported value"),
        ({"rule": "true", "optionalOldSelf": True}, "optionalOldSelf", "may not be set if oldSelf is not used"),
    ],
)
def test_expressions_are_compiled(rule: Any, place: str, why: str) -> None:
    found = dict(below({**TEXT, "x-kubernetes-validations": [rule]}))
    if not why:
        assert found == {}
        return
    assert why in found.get(f"x-kubernetes-validations[0].{place}", ""), found


def test_old_values_are_found_only_where_places_have_names() -> None:
    items = {**TEXT, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}
    (found,) = below({"type": "array", "items": items})
    assert "oldSelf cannot be used on the uncorrelatable portion of the schema" in found[1]
    assert below({"type": "object", "additionalProperties": items}) == []

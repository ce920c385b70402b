"""Objects of custom kinds: what is dropped, what is filled in, what is refused and how that is said."""

import copy
from typing import Any

import pytest

from boxship.cluster.objects import Object
from boxship.cluster.objects.custom.defaulting import has_defaults, put_defaults
from boxship.cluster.objects.custom.expressions import Expressions, has_rules
from boxship.cluster.objects.custom.reading import read
from boxship.cluster.objects.custom.rules import deprecation, rules_for
from boxship.cluster.objects.custom.types import root_type
from boxship.cluster.objects.custom.values import judge
from boxship.cluster.objects.failure import Cause, Failure
from boxship.cluster.objects.schema import builtin
from boxship.cluster.objects.schema.types import Type
from boxship.cluster.objects.validation import IGNORE, WARN

METADATA = builtin.load(None).definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
PRESERVE = "x-kubernetes-preserve-unknown-fields"
EITHER = "x-kubernetes-int-or-string"


def type_of(schema: Any) -> Type:
    return root_type({"type": "object", "properties": {"a": schema}}, METADATA)


def kept(schema: Any, value: Any) -> Any:
    """What is stored of a field `a`."""
    type_ = type_of(schema)
    object = read({"kind": "Widget", "apiVersion": "example.com/v1", "a": copy.deepcopy(value)}, type_, IGNORE)[0]
    put_defaults(object, type_)
    return object.get("a")


def wrong(schema: Any, value: Any) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in judge({"a": value}, type_of(schema)).causes]


TEXT, COUNT = {"type": "string"}, {"type": "integer"}
PLAIN = {"type": "object", "properties": {"b": TEXT}}


@pytest.mark.parametrize(
    ("schema", "value", "stored"),
    [
        (PLAIN, {"b": "x", "c": 1}, {"b": "x"}),
        ({**PLAIN, PRESERVE: True}, {"b": "x", "c": {"d": None}}, {"b": "x", "c": {"d": None}}),
        ({PRESERVE: True, "properties": {"b": PLAIN}}, {"b": {"x": 1}, "c": 1}, {"b": {}, "c": 1}),
        ({PRESERVE: True}, [{"x": 1}], [{"x": 1}]),
        ({"type": "object"}, {"x": 1}, {}),
        ({"type": "object", "additionalProperties": PLAIN}, {"k": {"b": "x", "c": 1}}, {"k": {"b": "x"}}),
        ({"type": "object", "additionalProperties": True}, {"k": {"c": 1}}, {"k": {"c": 1}}),
        ({"type": "array", "items": PLAIN}, [{"b": "x", "c": 1}], [{"b": "x"}]),
        (PLAIN, {"b": None}, {}),
        ({"type": "object", "properties": {"b": {**TEXT, "nullable": True}}}, {"b": None}, {"b": None}),
        ({"type": "object", "properties": {"b": {**TEXT, "default": "x"}}}, {}, {"b": "x"}),
        ({"type": "object", "properties": {"b": {**TEXT, "default": "x"}}}, {"b": None}, {"b": "x"}),
        ({"type": "object", "properties": {"b": {**TEXT, "default": "x"}}}, {"b": ""}, {"b": ""}),
        (
            {"type": "object", "properties": {"b": {**TEXT, "default": "x", "nullable": True}}},
            {"b": None},
            {"b": None},
        ),
        ({**TEXT, "default": "x"}, None, "x"),
        ({**PLAIN, "default": {}, "properties": {"b": {**TEXT, "default": "x"}}}, None, {"b": "x"}),
        (
            {"type": "array", "items": {"type": "object", "properties": {"b": {**COUNT, "default": 1}}}},
            [{}, {"b": 2}],
            [{"b": 1}, {"b": 2}],
        ),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}},
            {"apiVersion": "v1", "kind": "X", "metadata": {"name": "n", "odd": 1}, "spec": {"x": 1}, "y": 1},
            {"apiVersion": "v1", "kind": "X", "metadata": {"name": "n"}, "spec": {}},
        ),
    ],
)
def test_what_is_stored(schema: Any, value: Any, stored: Any) -> None:
    assert kept(schema, value) == stored


def test_defaults_are_copies() -> None:
    schema = {"type": "array", "items": TEXT, "default": ["x"]}
    type_ = type_of(schema)
    first: Object = {}
    put_defaults(first, type_)
    first["a"].append("y")
    second: Object = {}
    put_defaults(second, type_)
    assert second == {"a": ["x"]}
    assert has_defaults(type_)
    assert not has_defaults(type_of(TEXT))


def test_unknown_fields_are_told() -> None:
    object = {
        "kind": "Widget",
        "apiVersion": "example.com/v1",
        "metadata": {"nam": "x"},
        "a": {"b": "x", "bb": {"c": 1}},
    }
    told = [
        'unknown field "metadata.nam", did you mean "metadata.name"?',
        'unknown field "a.bb"',
    ]
    type_ = type_of(PLAIN)
    assert read(copy.deepcopy(object), type_, WARN)[1] == told
    with pytest.raises(Failure) as refused:
        read(object, type_)
    assert str(refused.value) == (
        f'Widget in version "v1" cannot be handled as a Widget: strict decoding error: {", ".join(told)}'
    )


def test_metadata_is_that_of_any_object() -> None:
    with pytest.raises(
        Failure, match=r"cannot unmarshal number into Go struct field ObjectMeta\.labels of type string"
    ):
        read({"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"labels": {"x": 1}}}, type_of(PLAIN))


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        (TEXT, 3, 'Invalid value: "integer": a in body must be of type string: "integer"'),
        (COUNT, "x", 'Invalid value: "string": a in body must be of type integer: "string"'),
        (COUNT, 1.5, 'Invalid value: "number": a in body must be of type integer: "number"'),
        (COUNT, True, 'Invalid value: "boolean": a in body must be of type integer: "boolean"'),
        (TEXT, None, 'Invalid value: "null": a in body must be of type string: "null"'),
        ({EITHER: True}, [], 'Invalid value: "array": a in body must be of type integer,string: "array"'),
        ({**COUNT, "minimum": 2}, 1, "Invalid value: 1: a in body should be greater than or equal to 2"),
        ({**COUNT, "minimum": 2, "exclusiveMinimum": True}, 2, "Invalid value: 2: a in body should be greater than 2"),
        ({**COUNT, "maximum": 2}, 3, "Invalid value: 3: a in body should be less than or equal to 2"),
        ({**COUNT, "maximum": 2, "exclusiveMaximum": True}, 2, "Invalid value: 2: a in body should be less than 2"),
        ({**COUNT, "multipleOf": 3}, 4, "Invalid value: 4: a in body should be a multiple of 3"),
        ({"type": "number", "multipleOf": 0.1}, 0.25, "Invalid value: 0.25: a in body should be a multiple of 0.1"),
        ({**TEXT, "minLength": 2}, "x", 'Invalid value: "x": a in body should be at least 2 chars long'),
        ({**TEXT, "maxLength": 2}, "xyz", "Too long: may not be more than 2 bytes"),
        ({**TEXT, "pattern": "^x$"}, "y", "Invalid value: \"y\": a in body should match '^x$'"),
        ({**TEXT, "enum": ["x", "y"]}, "z", 'Unsupported value: "z": supported values: "x", "y"'),
        ({**TEXT, "format": "date-time"}, "z", 'Invalid value: "z": a in body must be of type date-time: "z"'),
        ({"type": "array", "items": TEXT, "maxItems": 1}, ["x", "y"], "Too many: 2: must have at most 1 item"),
        (
            {"type": "array", "items": TEXT, "minItems": 1},
            [],
            "Invalid value: []: a in body should have at least 1 items",
        ),
        (
            {"type": "object", "additionalProperties": TEXT, "minProperties": 1},
            {},
            "Invalid value: {}: a in body should have at least 1 properties",
        ),
        ({**TEXT, "allOf": [{"minLength": 2}]}, "x", 'Invalid value: "x": a in body should be at least 2 chars long'),
        ({**TEXT, "not": {"enum": ["x"]}}, "x", 'Invalid value: "": "a" must not validate the schema (not)'),
        (
            {**TEXT, "oneOf": [{"enum": ["x"]}, {"maxLength": 1}]},
            "x",
            'Invalid value: "": "a" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        ),
        (
            {**TEXT, "anyOf": [{"enum": ["x"]}, {"minLength": 2}]},
            "y",
            'Invalid value: "": "a" must validate at least one schema (anyOf)',
        ),
    ],
)
def test_wrong_values_are_refused_with_the_originals_texts(schema: Any, value: Any, message: str) -> None:
    assert message in [text for _, text in wrong(schema, value)]


@pytest.mark.parametrize(
    ("schema", "value", "places"),
    [
        ({**PLAIN, "required": ["b"]}, {}, ["a.b"]),
        ({"type": "array", "items": COUNT}, [1, "x"], ["a[1]"]),
        ({"type": "object", "additionalProperties": COUNT}, {"k": "x"}, ["a.k"]),
        ({"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}, ["x", "y", "x"], ["a[2]"]),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["n", "p"],
                "items": {"type": "object", "properties": {"n": COUNT, "p": {**TEXT, "default": "TCP"}}},
            },
            [{"n": 1}, {"n": 2}, {"n": 1, "p": "TCP"}],
            ["a[2]"],
        ),
        ({**TEXT, "oneOf": [{"enum": ["x"]}, {"pattern": "^z"}]}, "y", ["<nil>", "a"]),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True, PRESERVE: True},
            {"kind": "X"},
            ["a.apiVersion"],
        ),
    ],
)
def test_places_are_named(schema: Any, value: Any, places: list[str]) -> None:
    assert [field for field, _ in wrong(schema, value)] == places


@pytest.mark.parametrize(
    ("format_", "right", "not_right"),
    [
        ("date", "2026-01-31", "2026-02-30"),
        ("date-time", "2026-01-31T00:00:00.5Z", "2026-01-31"),
        ("duration", "1h30m", "soon"),
        ("duration", "3 days", "days"),
        ("ipv4", "10.0.0.1", "::1"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "6ed4c55a-a66b-4dc4-a6ac-0edcd248d3ac", "6ed4"),
        ("uuid4", "6ed4c55a-a66b-4dc4-a6ac-0edcd248d3ac", "6ed4c55a-a66b-1dc4-a6ac-0edcd248d3ac"),
        ("byte", "YQ==", "Y"),
        ("email", "a@example.com", "a"),
        ("uri", "https://example.com/x", "example com"),
        ("hostname", "example.com", "-x"),
        ("mac", "00:11:22:33:44:55", "00:11"),
        ("hexcolor", "#fff", "#ff"),
        ("isbn10", "0-306-40615-2", "0-306-40615-3"),
        ("isbn13", "978-0-306-40615-7", "978-0-306-40615-8"),
        ("unheard-of", "anything", ""),
    ],
)
def test_formats_are_checked(format_: str, right: str, not_right: str) -> None:
    assert wrong({**TEXT, "format": format_}, right) == []
    if not_right:
        assert wrong({**TEXT, "format": format_}, not_right)


def test_numbers_and_texts_may_share_a_place() -> None:
    assert wrong({EITHER: True}, 3) == wrong({EITHER: True}, "x") == []
    assert wrong({"type": "number"}, 3) == []
    assert wrong(COUNT, 3.0) == []


STATUS = {"name": "v1", "subresources": {"status": {}, "scale": {"specReplicasPath": ".a.n"}}}


def test_rules_of_a_kind_follow_its_definition() -> None:
    type_ = type_of({"type": "object", "properties": {"n": COUNT, "s": {**TEXT, "enum": ["x"]}}})
    rules = rules_for({**STATUS, "selectableFields": [{"jsonPath": ".a.s"}]}, type_)
    new: Object = {"metadata": {}, "a": {"n": -1, "s": "x"}, "status": {}}
    assert [cause.field for cause in rules.validate_create(new)] == ["a.n"]
    rules.prepare_create(new)
    assert "status" not in new
    assert rules.fields(new) == {"a.s": "x"}
    assert rules.fields({"metadata": {}}) == {"a.s": ""}


def test_deprecated_versions_say_so() -> None:
    assert deprecation({"name": "v1"}, "example.com", "Widget") == ""
    assert deprecation({"name": "v1", "deprecated": True}, "example.com", "Widget") == (
        "example.com/v1 Widget is deprecated"
    )
    told = {"name": "v1", "deprecated": True, "deprecationWarning": "use v2"}
    assert deprecation(told, "example.com", "Widget") == "use v2"


def test_an_update_need_not_mend_what_it_does_not_touch() -> None:
    type_ = type_of({"type": "object", "properties": {"n": {**COUNT, "maximum": 1}, "s": {**TEXT, "enum": ["x"]}}})
    rules = rules_for({"name": "v1"}, type_)
    old: Object = {"metadata": {}, "a": {"n": 5, "s": "x"}}
    assert not rules.validate_update({"metadata": {}, "a": {"n": 5}}, old)
    assert [cause.field for cause in rules.validate_update({"metadata": {}, "a": {"n": 6}}, old)] == ["a.n"]
    assert [cause.field for cause in rules.validate_update({"metadata": {}, "a": {"n": 5, "s": "y"}}, old)] == ["a.s"]
    counted: Object = {"metadata": {"generation": 3}, "status": {"x": 1}}
    rules.prepare_update(counted, {"metadata": {"generation": 3}})
    assert counted["metadata"]["generation"] == 4


RULES = "x-kubernetes-validations"


def judged(schema: Any, new: Any, old: Any = None) -> list[tuple[str, str, str]]:
    type_ = type_of(schema)
    rules = rules_for({"name": "v1"}, type_, Expressions(type_))
    object = {"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": "x"}, "a": new}
    causes = rules.validate_create(object) if old is None else rules.validate_update(object, {**object, "a": old})
    return [(cause.reason, cause.field, cause.message) for cause in causes]


def test_expressions_judge_objects() -> None:
    schema = {
        "type": "object",
        "properties": {"n": COUNT, "m": COUNT},
        RULES: [
            {"rule": "self.n <= self.m", "messageExpression": "'%d is more than %d'.format([self.n, self.m])"},
            {
                "rule": "self.m >= oldSelf.m",
                "message": "m never falls",
                "fieldPath": ".m",
                "reason": "FieldValueForbidden",
            },
        ],
    }
    assert judged(schema, {"n": 1, "m": 2}) == []
    ((reason, field, message),) = judged(schema, {"n": 3, "m": 2})
    assert (reason, field) == ("FieldValueInvalid", "a")
    assert message.endswith(": 3 is more than 2")
    assert judged(schema, {"n": 1, "m": 2}, {"n": 1, "m": 1}) == []
    ((reason, field, message),) = judged(schema, {"n": 1, "m": 2}, {"n": 1, "m": 3})
    assert (reason, field) == ("FieldValueForbidden", "a.m")
    assert "m never falls" in message
    assert has_rules(type_of(schema))
    assert not has_rules(type_of(PLAIN))


def test_rules_are_left_out_only_where_they_could_not_be_evaluated() -> None:
    broken = Cause("FieldValueInvalid", "", "Invalid value: rule")
    schema = {"type": "object", "properties": {"a": {**COUNT, "maximum": 3}}, "required": ["a"]}
    type_ = root_type(schema, METADATA)
    rules = rules_for({"name": "v1"}, type_, lambda new, old: [broken])
    assert rules.validate_create({"a": 1}) == [broken]
    larger, said = rules.validate_create({"a": 4})
    assert (larger.field, said) == ("a", broken)
    for wrong in ({"a": "x"}, {}):
        first, last = rules.validate_create(wrong)
        assert first.field == "a" and last.field == "<nil>"
        assert "some validation rules were not checked because the object was invalid" in last.message

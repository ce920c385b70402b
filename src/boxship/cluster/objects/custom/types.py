"""From a structural schema to the Type that patches, pruning and validation walk; what judges values is in `rules` of
each place, as Checks."""

from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.cluster.objects.custom.structural import (
    EMBEDDED,
    INT_OR_STRING,
    JUNCTORS,
    LIST_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    PRESERVE,
    RULES,
    is_object_schema,
)
from boxship.cluster.objects.schema.types import Form, Type

Schema = Mapping[str, Any]

FORMS = {
    "string": Form.STRING,
    "integer": Form.INTEGER,
    "number": Form.NUMBER,
    "boolean": Form.BOOLEAN,
    "array": Form.LIST,
}
BOUNDS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)
ANYTHING = Type(form=Form.ANY, keeps_unknown=True)
TEXT = Type(form=Form.STRING)


class Checks(msgspec.Struct):
    """What a schema says of values beyond their type. `bounds` are the schema's own words."""

    bounds: dict[str, Any] = {}
    choices: tuple[Any, ...] | None = None
    all_of: tuple[Type, ...] = ()
    any_of: tuple[Type, ...] = ()
    one_of: tuple[Type, ...] = ()
    negated: Type | None = None
    rules: tuple[Mapping[str, Any], ...] = ()  # x-kubernetes-validations


def root_type(schema: Schema, metadata: Type) -> Type:
    """The type of a whole object; `metadata` is ObjectMeta's."""
    type_ = _make(schema, metadata)
    _embed(type_, metadata)
    return type_


def _embed(type_: Type, metadata: Type) -> None:
    """A whole object has these fields, whatever its schema says of them."""
    type_.fields = {**type_.fields, "apiVersion": TEXT, "kind": TEXT, "metadata": _named(type_, metadata)}


def _named(type_: Type, metadata: Type) -> Type:
    """ObjectMeta; what the schema says of names judges it."""
    said = type_.fields.get("metadata")
    if said is None or not said.fields:
        return metadata
    judged = msgspec.structs.replace(said, form=Form.ANY, fields=dict(said.fields))
    return msgspec.structs.replace(metadata, rules=Checks(all_of=(judged,)))


def _make(schema: Schema, metadata: Type) -> Type:
    kind = schema.get("type") or ""
    preserve = bool(schema.get(PRESERVE))
    type_ = Type(form=FORMS.get(kind, Form.ANY), keeps_unknown=preserve, format=schema.get("format") or "")
    type_.nullable = bool(schema.get("nullable"))
    type_.required = tuple(schema.get("required") or ())
    if "default" in schema:
        type_.default = schema["default"]
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    if schema.get(INT_OR_STRING):
        type_.form = Form.INT_OR_STRING
    elif kind == "object" or (not kind and properties):
        type_.form = Form.OBJECT if kind else Form.ANY
        type_.fields = {name: _make(inner, metadata) for name, inner in properties.items()}
        if not properties and extra is not None and extra is not False:
            type_.form = Form.MAP
            type_.items = _make(extra, metadata) if is_object_schema(extra) else ANYTHING
        type_.atomic = schema.get(MAP_TYPE) == "atomic"
        if schema.get(EMBEDDED):
            type_.embedded = True
            _embed(type_, metadata)
    elif kind == "array":
        items = schema.get("items")
        type_.items = _make(items, metadata) if is_object_schema(items) else ANYTHING
        type_.list_type = schema.get(LIST_TYPE) or "atomic"
        type_.list_keys = tuple(schema.get(LIST_KEYS) or ())
    type_.rules = _checks(schema, metadata)
    return type_


def _checks(schema: Schema, metadata: Type) -> Checks | None:
    checks = Checks(bounds={word: schema[word] for word in BOUNDS if schema.get(word) is not None})
    if schema.get("enum") is not None:
        checks.choices = tuple(schema["enum"])
    either = schema.get(INT_OR_STRING)
    for word, field in zip(JUNCTORS, ("all_of", "any_of", "one_of"), strict=True):
        judged = [each for each in schema.get(word) or () if not (either and _says_only_type(each))]
        setattr(checks, field, tuple(_judge(each, metadata) for each in judged))
    if is_object_schema(schema.get("not")):
        checks.negated = _judge(schema["not"], metadata)
    checks.rules = tuple(schema.get(RULES) or ())
    return checks if checks != Checks() else None


def _says_only_type(schema: Schema) -> bool:
    return set(schema) == {"type"}


def _judge(schema: Schema, metadata: Type) -> Type:
    """A schema that only judges values."""
    type_ = Type(form=Form.ANY, keeps_unknown=True, format=schema.get("format") or "")
    type_.required = tuple(schema.get("required") or ())
    type_.fields = {name: _judge(inner, metadata) for name, inner in (schema.get("properties") or {}).items()}
    if is_object_schema(schema.get("items")):
        type_.items = _judge(schema["items"], metadata)
    type_.nullable = True
    type_.rules = _checks(schema, metadata)
    return type_

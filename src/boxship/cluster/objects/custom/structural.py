"""Judges the schemas of a CustomResourceDefinition: every value has one known type at every place, so that objects can
be pruned, defaulted and merged. Schemas inside allOf, anyOf, oneOf and not may only judge values.

Source: kubernetes.io, "Specifying a structural schema"; texts of apiextensions-apiserver, validation and schema.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from boxship.cluster.objects.custom.patterns import wrong_pattern
from boxship.cluster.objects.kinds.checking import Found

Schema = Mapping[str, Any]

ROOT, FIELD, ITEM, VALUE = "root", "field", "item", "value"
JUNCTORS = ("allOf", "anyOf", "oneOf")
TYPES = ("array", "boolean", "integer", "number", "object", "string")
UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
EMBEDDED, INT_OR_STRING = "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"
PRESERVE, RULES = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"
LIST_TYPE, LIST_KEYS, MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
WHERE_TYPE = {ROOT: "at the root", FIELD: "for specified object fields", ITEM: "for specified array items"}
# Words that say what a value is; where values are only judged, each must be left out.
GENERIC = {
    "description": "must be empty to be structural",
    "default": "must be undefined to be structural",
    "type": "must be empty to be structural",
    "title": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "additionalProperties": "must be undefined to be structural",
    PRESERVE: "must be false to be structural",
    EMBEDDED: "must be false to be structural",
    INT_OR_STRING: "must be false to be structural",
    LIST_TYPE: "must be undefined to be structural",
    LIST_KEYS: "must be undefined to be structural",
    MAP_TYPE: "must be undefined to be structural",
    RULES: "must be empty to be structural",
}
EITHER = [{"type": "integer"}, {"type": "string"}]


def check_schema(found: Found, schema: Schema, path: str) -> None:
    """Add what is wrong with a version's openAPIV3Schema."""
    _structural(found, schema, path, ROOT)


def is_object_schema(value: Any) -> TypeGuard[Schema]:
    return isinstance(value, Mapping)


def _structural(found: Found, schema: Schema, path: str, level: str) -> None:
    _plain(found, schema, path)
    _typed(found, schema, path, level)
    _lists(found, schema, path)
    if level == ROOT or schema.get(EMBEDDED):
        _metadata(found, schema, path)
    for name, inner in (schema.get("properties") or {}).items():
        _structural(found, inner, f"{path}.properties[{name}]", FIELD)
    items = schema.get("items")
    if is_object_schema(items):
        _structural(found, items, f"{path}.items", ITEM)
    elif schema.get("type") == "array" and items is None:
        found.required(f"{path}.items", "must be specified")
    inner = schema.get("additionalProperties")
    if is_object_schema(inner):
        _structural(found, inner, f"{path}.additionalProperties", VALUE)
    for place, judged in _judged(schema, path):
        _judging(found, judged, schema, place, either=bool(schema.get(INT_OR_STRING)))


def _judged(schema: Schema, path: str) -> list[tuple[str, Schema]]:
    """The schemas that only judge values, with their paths."""
    result = []
    for word in JUNCTORS:
        for index, inner in enumerate(schema.get(word) or ()):
            if word == "anyOf" and schema.get(INT_OR_STRING) and schema[word] == EITHER:
                continue
            result.append((f"{path}.{word}[{index}]", inner))
    if is_object_schema(schema.get("not")):
        result.append((f"{path}.not", schema["not"]))
    return result


def _plain(found: Found, schema: Schema, path: str) -> None:
    """Rules of every schema, wherever it stands."""
    for word in UNSUPPORTED:
        if schema.get(word):
            found.forbidden(f"{path}.{word}", f"{word} is not supported")
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.forbidden(f"{path}.uniqueItems", why)
    kind = schema.get("type") or ""
    if kind == "null":
        found.forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    elif kind and kind not in TYPES:
        found.unsupported(f"{path}.type", kind, TYPES)
    if isinstance(schema.get("items"), list):
        found.forbidden(f"{path}.items", "items must be a schema object and not an array")
    extra = schema.get("additionalProperties")
    if extra is False:
        found.forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    elif extra is not None and schema.get("properties"):
        why = "additionalProperties and properties are mutual exclusive"
        found.forbidden(f"{path}.additionalProperties", why)
    pattern = schema.get("pattern") or ""
    if pattern and (why := wrong_pattern(pattern)):
        found.invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {why}")
    if schema.get(PRESERVE) is False:
        found.invalid(f"{path}.{PRESERVE}", False, "must be true or undefined")


def _typed(found: Found, schema: Schema, path: str, level: str) -> None:
    kind = schema.get("type") or ""
    either, preserve, embedded = (bool(schema.get(word)) for word in (INT_OR_STRING, PRESERVE, EMBEDDED))
    if not kind:
        if embedded and not either:
            found.required(f"{path}.type", f"must be object if {EMBEDDED} is true")
        elif not either and not preserve and level in WHERE_TYPE:
            found.required(f"{path}.type", f"must not be empty {WHERE_TYPE[level]}")
    elif embedded and kind != "object":
        found.invalid(f"{path}.type", kind, f"must be object if {EMBEDDED} is true")
    elif either:
        found.invalid(f"{path}.type", kind, f"must be empty if {INT_OR_STRING} is true")
    if level == ROOT:
        if kind and kind != "object":
            found.invalid(f"{path}.type", kind, "must be object at the root")
        if schema.get("additionalProperties") is not None:
            found.forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if schema.get("nullable"):
            found.forbidden(f"{path}.nullable", "must be false at the root")
    if either and preserve:
        found.invalid(f"{path}.{PRESERVE}", True, f"must be false if {INT_OR_STRING} is true")
    if either and embedded:
        found.invalid(f"{path}.{EMBEDDED}", True, f"must be false if {INT_OR_STRING} is true")
    if embedded and not preserve and not schema.get("properties"):
        found.required(f"{path}.properties", f"must not be empty if {EMBEDDED} is true without {PRESERVE}")


def _metadata(found: Found, schema: Schema, path: str) -> None:
    """Of metadata, only the names may be restricted; what it is stands fast."""
    metadata = (schema.get("properties") or {}).get("metadata")
    if not is_object_schema(metadata):
        return
    at = f"{path}.properties[metadata]"
    if metadata.get("type") not in (None, "", "object"):
        found.invalid(f"{at}.type", metadata["type"], "must be object")
    allowed = {"type", "description", "properties"}
    named = set(metadata.get("properties") or ())
    if set(metadata) - allowed or named - {"name", "generateName"}:
        why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        found.forbidden(at, why)


def _lists(found: Found, schema: Schema, path: str) -> None:
    kind, map_type, list_type = schema.get("type") or "", schema.get(MAP_TYPE), schema.get(LIST_TYPE)
    keys = schema.get(LIST_KEYS) or ()
    for word, needed in ((MAP_TYPE, "object"), (LIST_TYPE, "array")):
        if schema.get(word) is not None and kind != needed:
            why = f"must be {needed} if {word} is specified"
            if kind:
                found.invalid(f"{path}.type", kind, why)
            else:
                found.required(f"{path}.type", why)
    if map_type is not None and map_type not in ("atomic", "granular"):
        found.unsupported(f"{path}.{MAP_TYPE}", map_type, ("atomic", "granular"))
    if list_type is not None and list_type not in ("atomic", "set", "map"):
        found.unsupported(f"{path}.{LIST_TYPE}", list_type, ("atomic", "map", "set"))
    if keys and list_type != "map":
        why = f"must be map if {LIST_KEYS} is non-empty"
        if list_type is None:
            found.required(f"{path}.{LIST_TYPE}", why)
        else:
            found.invalid(f"{path}.{LIST_TYPE}", list_type, why)
    if list_type in ("set", "map"):
        items = schema.get("items")
        if not is_object_schema(items):
            found.required(f"{path}.items", f"must have a schema if {LIST_TYPE} is {list_type}")
        elif list_type == "set":
            _set_items(found, items, f"{path}.items")
        else:
            _map_items(found, items, keys, path)


def _set_items(found: Found, items: Schema, path: str) -> None:
    if items.get("nullable"):
        found.forbidden(f"{path}.nullable", f"cannot be nullable when {LIST_TYPE} is set")
    if items.get("type") == "object" and items.get(MAP_TYPE) != "atomic":
        found.invalid(
            f"{path}.{MAP_TYPE}", items.get(MAP_TYPE), f"must be atomic as item of a list with {LIST_TYPE}=set"
        )
    if items.get("type") == "array" and items.get(LIST_TYPE) not in (None, "atomic"):
        found.invalid(
            f"{path}.{LIST_TYPE}", items.get(LIST_TYPE), f"must be atomic as item of a list with {LIST_TYPE}=set"
        )


def _map_items(found: Found, items: Schema, keys: Sequence[str], path: str) -> None:
    if not keys:
        found.required(f"{path}.{LIST_KEYS}", f"must not be empty if {LIST_TYPE} is map")
    if items.get("type") != "object":
        why = f"must be object if parent array's {LIST_TYPE} is map"
        found.invalid(f"{path}.items.type", items.get("type") or "", why)
        return
    if items.get("nullable"):
        found.forbidden(f"{path}.items.nullable", f"cannot be nullable when {LIST_TYPE} is map")
    if len(set(keys)) != len(keys):
        found.invalid(f"{path}.{LIST_KEYS}", list(keys), "must not contain duplicate entries")
    properties, required = items.get("properties") or {}, items.get("required") or ()
    for index, key in enumerate(keys):
        inner = properties.get(key)
        if inner is None:
            found.invalid(f"{path}.{LIST_KEYS}[{index}]", key, "entries must all be names of item properties")
            continue
        at = f"{path}.items.properties[{key}]"
        if inner.get("type") in ("object", "array"):
            why = f"must be a scalar type if parent array's {LIST_TYPE} is map"
            found.invalid(f"{at}.type", inner["type"], why)
        if key not in required and inner.get("default") is None:
            why = f"this property is in {LIST_KEYS}, so it must have a default or be a required property"
            found.required(f"{at}.default", why)
        if inner.get("nullable"):
            found.forbidden(f"{at}.nullable", f"this property is in {LIST_KEYS}, so it cannot be nullable")


def _judging(found: Found, schema: Schema, structural: Schema, path: str, *, either: bool) -> None:
    """A schema that only judges values: it says nothing of what a value is, and names no field that the structural
    schema does not have."""
    _plain(found, schema, path)
    for word, why in GENERIC.items():
        value = schema.get(word)
        if value in (None, "", False, [], {}):
            continue
        if word == "type" and either and value in ("integer", "string"):
            continue
        found.forbidden(f"{path}.{word}", why)
    properties = structural.get("properties") or {}
    extra = structural.get("additionalProperties")
    for name, inner in (schema.get("properties") or {}).items():
        known = properties.get(name) or (extra if is_object_schema(extra) else None)
        at = f"{path}.properties[{name}]"
        if known is None and not structural.get(PRESERVE) and extra is not True and name != "metadata":
            found.required(_beside(path, f"properties[{name}]"), f"because it is defined in {at}")
        _judging(found, inner, known or {PRESERVE: True}, at, either=bool((known or {}).get(INT_OR_STRING)))
    items = schema.get("items")
    if is_object_schema(items):
        known = structural.get("items")
        if not is_object_schema(known):
            if not structural.get(PRESERVE):
                found.required(_beside(path, "items"), f"because it is defined in {path}.items")
            known = {PRESERVE: True}
        _judging(found, items, known, f"{path}.items", either=bool(known.get(INT_OR_STRING)))
    for place, judged in _judged(schema, path):
        _judging(found, judged, structural, place, either=either)


def _beside(path: str, word: str) -> str:
    """Where in the structural schema a judged place would have to be."""
    parts = path.split(".")
    kept = [part for part in parts if part.split("[")[0] not in (*JUNCTORS, "not")]
    return ".".join((*kept, word))

"""The set of fields that a value has, as who applies it owns it, and what is wrong with an applied value."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from boxship.cluster.objects.apply import fields, shapes
from boxship.cluster.objects.apply.fields import Fields
from boxship.cluster.objects.apply.shapes import LEAF, MAP, child_type, is_named, shape_of
from boxship.cluster.objects.schema.types import Form, Type
from boxship.errors import Invalid

SCALARS: dict[Form, tuple[type | tuple[type, ...], str]] = {
    Form.STRING: (str, "string"),
    Form.TIME: (str, "string"),
    Form.MICRO_TIME: (str, "string"),
    Form.DURATION: (str, "string"),
    Form.BYTES: (str, "string"),
    Form.INTEGER: ((int, float), "numeric (int or float)"),
    Form.NUMBER: ((int, float), "numeric (int or float)"),
    Form.BOOLEAN: (bool, "boolean"),
    Form.QUANTITY: ((str, int, float), "string"),
    Form.INT_OR_STRING: ((str, int), "string"),
}


def applied_fields(value: Any, type_: Type | None) -> Fields:
    """Every leaf and every named item of the value; what is empty counts itself. Maps and lists do not, but for keys of
    maps."""
    shape = shape_of(type_, value)
    if shape is LEAF:
        return {}
    result: Fields = {}
    if shape is MAP:
        for key, part in value.items():
            below = child_type(type_, key)
            node = applied_fields(part, below)
            if part == [] and is_named(type_, key) and shape_of(below, part) is not LEAF:
                continue  # an empty list with named items says nothing
            if node and not is_named(type_, key):
                node = {fields.SELF: {}, **node}
            result[f"f:{key}"] = node
        return result
    assert type_ is not None
    for element, items in shapes.items_by_element(type_, value).items():
        result[element] = fields.with_self(applied_fields(items[0], type_.items)) if len(items) == 1 else {}
    return result


def all_fields(value: Any, type_: Type | None) -> Fields:
    """The value's fields with every map and list on the way, as somebody has them who makes or removes all of it."""
    shape = shape_of(type_, value)
    if shape is LEAF or not value:
        return {}
    result: Fields = {fields.SELF: {}}
    if shape is MAP:
        for key, part in value.items():
            result[f"f:{key}"] = made_fields(part, type_, key)
        return result
    assert type_ is not None
    for element, items in shapes.items_by_element(type_, value).items():
        result[element] = all_fields(items[0], type_.items) if len(items) == 1 else {}
    return result


def made_fields(value: Any, parent: Type | None, key: str) -> Fields:
    """The fields of a value that was not there before; structs that are always there are made by nobody."""
    node = all_fields(value, child_type(parent, key))
    if node and shapes.always_there(parent, key):
        return {name: below for name, below in node.items() if name != fields.SELF}
    return node


def with_named(node: Fields, type_: Type | None) -> Fields:
    """The set with every struct's field in it that has something below it in the set."""
    result: Fields = {}
    for key, below in node.items():
        if not below:
            result[key] = below
            continue
        inner = with_named(below, _below(type_, key))
        if key.startswith("f:") and is_named(type_, key[2:]) and fields.SELF not in inner:
            inner = {fields.SELF: {}, **inner}
        result[key] = inner
    return result


def fitted(owned: Fields, type_: Type | None) -> Fields:
    """The set as the schema is now: what has become atomic since is owned as a whole by who owned a part of it."""
    changed: Fields = {}
    for key, node in owned.items():
        if not node:
            continue
        below = _below(type_, key)
        if below is None:
            continue
        inner = {} if _is_atomic(below) else fitted(node, below)
        if inner is not node:
            changed[key] = inner
    return {**owned, **changed} if changed else owned


def _below(type_: Type | None, element: str) -> Type | None:
    """The type of what a path element leads to."""
    if element.startswith("f:"):
        return child_type(type_, element[2:])
    return type_.items if type_ is not None else None


def _is_atomic(type_: Type) -> bool:
    return type_.atomic or (type_.form is Form.LIST and type_.list_type == "atomic")


def problems(value: Any, type_: Type | None, path: str = "") -> Iterator[str]:
    """What keeps a configuration from being applied: unknown fields, wrong types, items without or with equal names."""
    if type_ is None or value is None:
        return
    form = type_.form
    if form is Form.OBJECT or form is Form.MAP:
        if not isinstance(value, dict):
            yield f"{path}: expected map, got {_shown(value)}"
            return
        for key, part in value.items():
            below = child_type(type_, key)
            if below is not None:
                yield from problems(part, below, f"{path}.{key}")
            elif form is Form.OBJECT and not type_.keeps_unknown:
                yield f"{path}.{key}: field not declared in schema{_nearest(path, key, type_)}"
    elif form is Form.LIST:
        if isinstance(value, list):
            yield from _list_problems(value, type_, path)
        else:
            yield f"{path}: expected list, got {_shown(value)}"
    elif form in SCALARS:
        wanted, name = SCALARS[form]
        if not isinstance(value, wanted) or (isinstance(value, bool) and form is not Form.BOOLEAN):
            yield f"{path}: expected {name}, got {_shown(value)}"


def _list_problems(items: list[Any], type_: Type, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        place = f"{path}[{index}]"
        if type_.list_type != "atomic":
            try:
                element = shapes.element_of(type_, item)
            except Invalid as wrong:
                yield f"{path}: element {index}: {wrong}"
                continue
            place = path + fields.text_of(element)
            if element in seen:
                yield f"{path}: duplicate entries for key {fields.text_of(element)}"
            seen.add(element)
        yield from problems(item, type_.items, place)


def _nearest(path: str, key: str, type_: Type) -> str:
    found = get_close_matches(key, type_.fields, n=1)
    return f', did you mean "{path}.{found[0]}"?' if found else ""


def _shown(value: Any) -> str:
    """As the original prints the value."""
    if isinstance(value, dict | list):
        return "map" if isinstance(value, dict) else "list"
    text = f'"{value}"' if isinstance(value, str) else str(value).lower()
    return f"&value.valueUnstructured{{Value:{text}}}"

"""What a value is to the owner of fields: a leaf, a map, or a list whose items have names.

An atomic list or map is a leaf: it is owned and replaced as a whole. Content that no schema describes is a map by its
keys down to its lists, which are leaves.
"""

import enum
from typing import Any

from boxship.cluster.objects.apply.fields import key_element, value_element
from boxship.cluster.objects.schema.types import Form, Type
from boxship.errors import Invalid

UNTYPED_ATOMIC = ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",)
NAMELESS = "associative list with keys may not have {} element"
# Keys of lists that have a default which the schema's data leaves out.
KEY_DEFAULTS = {"protocol": "TCP"}


class Shape(enum.Enum):
    LEAF = 0
    MAP = 1
    LIST = 2


LEAF, MAP, LIST = Shape.LEAF, Shape.MAP, Shape.LIST


def shape_of(type_: Type | None, value: Any) -> Shape:
    if type_ is None:
        return MAP if type(value) is dict else LEAF
    form = type_.form
    if form is Form.OBJECT or form is Form.MAP:
        return LEAF if type_.atomic or type(value) is not dict else MAP
    if form is Form.LIST:
        return LEAF if type_.list_type == "atomic" or type(value) is not list else LIST
    if form is Form.ANY and type(value) is dict:
        atomic = type_.atomic or type_.items is not None or type_.name in UNTYPED_ATOMIC
        return LEAF if atomic else MAP
    return LEAF


def child_type(type_: Type | None, key: str) -> Type | None:
    """The type of a map's value; None for what no schema describes."""
    if type_ is None:
        return None
    if type_.form is Form.OBJECT:
        return type_.fields.get(key)
    return type_.items if type_.form is Form.MAP else None


def is_named(type_: Type | None, key: str) -> bool:
    """Whether the key is a field of a struct, rather than a key of a map."""
    return type_ is not None and type_.form is Form.OBJECT and key in type_.fields


def always_there(type_: Type | None, key: str) -> bool:
    """Whether an object has this field even where it is not written: Go's structs, so that nobody owns them for having
    made them."""
    below = child_type(type_, key)
    return below is not None and below.always


def element_of(type_: Type, item: Any) -> str:
    """The path element of an item of a list that is a set or has keys. Raises Invalid."""
    if type_.list_type == "set":
        if item is None:
            raise Invalid("associative list without keys has an element that's an explicit null")
        return value_element(item)
    if not isinstance(item, dict):
        raise Invalid(NAMELESS.format("a null" if item is None else "non-map"))
    keys: dict[str, Any] = {}
    for key in type_.list_keys:
        value = item.get(key, item)
        if value is item:
            value = _default(type_.items, key)
        if value is not None:
            keys[key] = value
    if not keys:
        listed = ", ".join(f'"{key}"' for key in type_.list_keys)
        raise Invalid(
            f"associative list with keys has an element that omits all key fields [{listed}] "
            "(and doesn't have default values for any key fields)"
        )
    return key_element(keys)


def _default(type_: Type | None, key: str) -> Any:
    field = child_type(type_, key)
    if field is not None and isinstance(field.default, str | int | bool):
        return field.default
    named = type_ is not None and type_.name.startswith("io.k8s.")
    return KEY_DEFAULTS.get(key) if named else None


def items_by_element(type_: Type, items: list[Any]) -> dict[str, list[Any]]:
    """Items under their path elements; more than one under one that stands twice. Items without a name are left out."""
    found: dict[str, list[Any]] = {}
    for item in items:
        try:
            found.setdefault(element_of(type_, item), []).append(item)
        except Invalid:
            continue
    return found

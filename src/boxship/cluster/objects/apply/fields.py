"""Sets of fields in their wire form, FieldsV1: nested dicts by path element.

A path element is `f:NAME` (a field or a map's key), `k:{…}` (a list's item by its keys), `v:…` (a list's item by its
value) or `i:N`. A node that is {} is in the set; one with children is in it only if it holds ".". All operations
return new sets and may share parts with the old ones: nobody changes a set.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from boxship.errors import Invalid

Fields = dict[str, Any]

DEPTH_LIMIT = 200
SELF = "."


def member(node: Fields) -> bool:
    """Whether the node's own path is in the set."""
    return not node or SELF in node


def with_self(children: Fields) -> Fields:
    """A node that is in the set together with its children."""
    return {SELF: {}, **children} if children else {}


def union(one: Fields, other: Fields) -> Fields:
    if one is other or not other:
        return one
    if not one:
        return other
    result = dict(one)
    for key, node in other.items():
        mine = result.get(key)
        if mine is None:
            result[key] = node
        elif mine is node:
            continue
        elif not mine:
            result[key] = node if SELF in node or not node else {SELF: {}, **node}
        elif not node:
            result[key] = mine if SELF in mine else {SELF: {}, **mine}
        else:
            result[key] = union(mine, node)
    return result


def intersection(one: Fields, other: Fields) -> Fields:
    result: Fields = {}
    if len(one) > len(other):
        one, other = other, one
    for key, node in one.items():
        if key == SELF or key not in other:
            continue
        counterpart = other[key]
        children = intersection(node, counterpart) if node and counterpart else {}
        if member(node) and member(counterpart):
            result[key] = with_self(children)
        elif children:
            result[key] = children
    return result


def difference(one: Fields, other: Fields) -> Fields:
    """What is in the first and not in the second. A path of the second takes nothing below it away."""
    if not other or not one:
        return one
    result: Fields = {}
    for key, node in one.items():
        counterpart = other.get(key)
        if counterpart is None:
            result[key] = node
        elif key != SELF:
            children = difference({k: v for k, v in node.items() if k != SELF}, counterpart) if node else {}
            if member(node) and not member(counterpart):
                result[key] = with_self(children)
            elif children:
                result[key] = children
    return result


def without(one: Fields, other: Fields) -> Fields:
    """What is in the first and neither in the second nor below a path of it."""
    result: Fields = {}
    for key, node in one.items():
        counterpart = other.get(key)
        if counterpart is None or key == SELF:
            result[key] = node
        elif not member(counterpart):
            children = without(node, counterpart) if node else {}
            if children or not node:
                result[key] = children
    return result


def contains(one: Fields, other: Fields) -> bool:
    """Whether all of the second is in the first."""
    for key, node in other.items():
        if key == SELF:
            continue
        mine = one.get(key)
        if mine is None:
            return False
        if mine is not node and ((member(node) and not member(mine)) or not contains(mine, node)):
            return False
    return True


def ordered(node: Fields) -> Fields:
    """The same set with its elements in order, as it is stored."""
    if not node:
        return node
    return {key: ordered(node[key]) for key in sorted(node)}


def paths(node: Fields, prefix: str = "") -> Iterator[str]:
    """Every path of the set as people read it (".spec.ports[port=80].name"), in the original's order."""
    keys = sorted(key for key in node if key != SELF)
    for key in keys:
        if member(node[key]):
            yield prefix + text_of(key)
    for key in keys:
        if node[key]:
            yield from paths(node[key], prefix + text_of(key))


def text_of(element: str) -> str:
    """One path element as people read it."""
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "v":
        return f"[={rest}]"
    if kind == "k":
        keys = msgspec.json.decode(rest)
        listed = ",".join(f"{key}={msgspec.json.encode(value).decode()}" for key, value in keys.items())
        return f"[{listed}]"
    return f"[{rest}]"


def checked(value: Any, depth: int = 0) -> Fields:
    """A set that a client sent, with every element in canonical form. Raises Invalid."""
    if not isinstance(value, dict):
        raise Invalid("expected a map of path elements")
    if depth > DEPTH_LIMIT:
        raise Invalid("fields are nested too deeply")
    return {_element(key): checked(node, depth + 1) for key, node in value.items()}


def _element(text: str) -> str:
    kind, colon, rest = text.partition(":")
    if text == SELF or (kind == "f" and colon):
        return text
    try:
        if kind == "i" and colon:
            return f"i:{int(rest)}"
        if kind == "v" and colon:
            return value_element(msgspec.json.decode(rest))
        if kind == "k" and colon:
            keys = msgspec.json.decode(rest)
            if isinstance(keys, dict) and keys:
                return key_element(keys)
    except (ValueError, msgspec.DecodeError):
        pass
    raise Invalid(f"unable to parse path element {text!r}")


def key_element(keys: dict[str, Any]) -> str:
    """The element of a list's item with these keys."""
    found = keys if len(keys) == 1 else {key: keys[key] for key in sorted(keys)}
    return "k:" + msgspec.json.encode(found).decode()


def value_element(value: Any) -> str:
    """The element of an item of a list that is a set."""
    return "v:" + msgspec.json.encode(value).decode()

"""Small operations on document trees that several steps of gathering share. All of them return new trees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from msgspec.structs import replace

from boxship.compose.document import Entry, Mapping, Node, Scalar, Sequence


def plain(node: Node) -> Any:
    """The node as plain Python values, without places, tags and the order of keys' meaning."""
    if isinstance(node, Mapping):
        return {entry.key: plain(entry.value) for entry in node.entries}
    return [plain(item) for item in node.items] if isinstance(node, Sequence) else node.value


def with_value(mapping: Mapping, key: str, value: Node) -> Mapping:
    """The mapping with `key` set to `value`: in its place, or as the last entry."""
    if mapping.get(key) is None:
        return replace(mapping, entries=(*mapping.entries, Entry(key, value, value.place)))
    entries = tuple(replace(each, value=value) if each.key == key else each for each in mapping.entries)
    return replace(mapping, entries=entries)


def without(mapping: Mapping, *keys: str) -> Mapping:
    return replace(mapping, entries=tuple(each for each in mapping.entries if each.key not in keys))


def section(mapping: Mapping, key: str) -> Mapping:
    """The mapping under `key`, empty where there is none."""
    value = mapping.get(key)
    return value if isinstance(value, Mapping) else Mapping((), mapping.place)


def text_of(node: Node | None) -> str:
    """A scalar's text, "" for anything else."""
    return str(node.value) if isinstance(node, Scalar) and node.value is not None else ""


def nodes_of(node: Node | None) -> tuple[Node, ...]:
    """The items of a list, or the node alone; nothing for nothing."""
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return ()
    return node.items if isinstance(node, Sequence) else (node,)


def nearest(name: str, names: Iterator[str]) -> str:
    """A hint for a message: ' (did you mean "x"?)', or nothing when no name is close."""
    found = get_close_matches(name, list(names), n=1)
    return f' (did you mean "{found[0]}"?)' if found else ""


def settled(node: Node) -> Node:
    """What remains of a tree when no more files follow: `!reset` fields are gone, `!override` is only its value."""
    if isinstance(node, Scalar):
        return replace(node, tag="") if node.tag else node
    if isinstance(node, Sequence):
        return replace(node, items=tuple(settled(item) for item in node.items), tag="")
    entries = (replace(each, value=settled(each.value)) for each in node.entries if each.value.tag != "!reset")
    return replace(node, entries=tuple(entries), tag="")


def transformed(node: Node, steps: tuple[str, ...], change: Callable[[Node], Node]) -> Node:
    """The tree with `change` applied to every node at a path, in which "*" stands for any key and every item. What
    does not change stays the same object."""
    if not steps:
        return change(node)
    step, rest = steps[0], steps[1:]
    if isinstance(node, Mapping) and (step == "*" or any(each.key == step for each in node.entries)):
        entries = tuple(_changed(each, rest, change) if step in ("*", each.key) else each for each in node.entries)
        return node if _same(entries, node.entries) else replace(node, entries=entries)
    if isinstance(node, Sequence) and step == "*":
        items = tuple(transformed(item, rest, change) for item in node.items)
        return node if _same(items, node.items) else replace(node, items=items)
    return node


def _changed(entry: Entry, steps: tuple[str, ...], change: Callable[[Node], Node]) -> Entry:
    value = transformed(entry.value, steps, change)
    return entry if value is entry.value else replace(entry, value=value)


def _same(ones: tuple[object, ...], others: tuple[object, ...]) -> bool:
    return all(one is other for one, other in zip(ones, others, strict=True))

"""Merge an applied configuration into a live value, and take fields out of a value."""

from typing import Any

from boxship.cluster.objects.apply import fields, shapes
from boxship.cluster.objects.apply.fields import Fields
from boxship.cluster.objects.apply.shapes import LEAF, MAP, child_type, shape_of
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.schema.types import Type
from boxship.errors import Invalid

GONE = object()
EMPTY: Fields = {}


def merged(live: Any, applied: Any, type_: Type | None) -> Any:
    """Both together; where both have a leaf, the applied one. The result shares nothing with either."""
    shape = shape_of(type_, applied)
    if shape is LEAF or shape is not shape_of(type_, live):
        return copied(applied)
    if not applied:
        return copied(live)
    if shape is MAP:
        result = {
            key: merged(value, applied[key], child_type(type_, key)) if key in applied else copied(value)
            for key, value in live.items()
        }
        for key, value in applied.items():
            if key not in live:
                result[key] = copied(value)
        return result
    assert type_ is not None
    return _merged_list(live, applied, type_)


def _merged_list(live: list[Any], applied: list[Any], type_: Type) -> list[Any]:
    """Items in the applied order, with those that only the live list has where they stood between them."""
    wanted = {shapes.element_of(type_, item): item for item in applied}
    old = [(_name(type_, item), item) for item in live]
    counted: dict[str | None, int] = {}
    for name, _ in old:
        counted[name] = counted.get(name, 0) + 1
    single = {name: item for name, item in old if counted[name] == 1}
    order = [*wanted]
    shared = [name for name in order if name in counted]
    first = 0  # of those that both have, the first that is not taken yet
    result: list[Any] = []
    done: set[str] = set()

    def take(name: str) -> None:
        done.add(name)
        item = wanted[name]
        result.append(merged(single[name], item, type_.items) if name in single else copied(item))

    at = 0
    for name, item in old:
        if name is None or name not in wanted:
            result.append(copied(item))
            continue
        if name in done or first == len(shared) or name != shared[first]:
            continue  # stands elsewhere in what is applied
        while at < len(order) and order[at] != name:
            take(order[at])
            at += 1
        take(name)
        at += 1
        first += 1
    for name in order[at:]:
        take(name)
    return result


def _name(type_: Type, item: Any) -> str | None:
    try:
        return shapes.element_of(type_, item)
    except Invalid:
        return None


def removed(value: Any, gone: Fields, type_: Type | None, stay: Fields = EMPTY) -> Any:
    """The value without the paths of the set; maps and lists that become empty go too, but for those that `stay`.
    Shares parts with the value."""
    found = _removed(value, gone, type_, stay)
    return {} if found is GONE else found


def _removed(value: Any, gone: Fields, type_: Type | None, stay: Fields) -> Any:
    shape = shape_of(type_, value)
    if shape is LEAF or not gone or not value:
        return value
    if shape is MAP:
        result = {}
        for key, part in value.items():
            element = f"f:{key}"
            node = gone.get(element)
            if node is None:
                result[key] = part
            elif not fields.member(node):
                left = _removed(part, node, child_type(type_, key), stay.get(element, EMPTY))
                if left is not GONE:
                    result[key] = left
                elif element in stay and fields.member(stay[element]):
                    result[key] = type(part)()
        return result or GONE
    assert type_ is not None
    items = []
    for item in value:
        name = _name(type_, item)
        node = gone.get(name) if name is not None else None
        if node is None or name is None:
            items.append(item)
        elif not fields.member(node):
            left = _removed(item, node, type_.items, stay.get(name, EMPTY))
            if left is not GONE:
                items.append(left)
    return items or GONE

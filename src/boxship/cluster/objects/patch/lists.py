"""Lists of a strategic merge patch: items that merge by a key, and the order in which they stand afterwards."""

from collections.abc import Callable
from typing import Any

from boxship.cluster.objects.patch.refusals import unusable
from boxship.cluster.objects.schema.types import Type

DIRECTIVE = "$patch"
MISSING = object()

Merge = Callable[[dict[str, Any], dict[str, Any], Type | None], dict[str, Any]]  # (object, patch, type); uses both up


def merged_list(before: list[Any], patch: list[Any], type_: Type, merge: Merge) -> list[Any]:
    """The list with the patch's items merged in, each by `merge`. Its order is the patch's, with items that only the
    list has where they were between them."""
    if not before and not patch:
        return before
    kind = _one_kind(before, patch)
    key = type_.patch_key
    if kind is not dict:
        places, changes = before, patch
        after = list(dict.fromkeys([*before, *patch]))
    else:
        if not key:
            raise unusable("cannot merge lists without merge key for type struct")
        places, changes = _directed(before, patch, key)
        after = list(places)
        known: dict[Any, int] = {}  # the first item of each key
        for index, item in enumerate(after):
            known.setdefault(_hashable(item.get(key, MISSING)), index)
        for item in changes:
            name = _hashable(_key_of(item, key))
            if name in known:
                after[known[name]] = merge(after[known[name]], item, type_.items)
            else:
                known[name] = len(after)
                after.append(merge({}, item, type_.items))
    return in_order(after, changes, places, key if kind is dict else "")


def _one_kind(*items: list[Any]) -> type | None:
    """dict for a list of objects, str for one of plain values; None for an empty one."""
    found: type | None = None
    for item in (item for part in items for item in part):
        if isinstance(item, list):
            raise unusable("lists of lists are not supported")
        kind: type = dict if isinstance(item, dict) else str
        if item is None or found not in (None, kind):
            raise unusable("list element types are not identical")
        found = kind
    return found


def _directed(before: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carry out `$patch: delete` and `$patch: replace` items; the list and the patch without them."""
    changes, replaced = [], False
    gone: set[Any] = set()
    for item in patch:
        directive = item.get(DIRECTIVE, MISSING)
        if directive is MISSING:
            changes.append(item)
        elif directive == "delete":
            gone.add(_hashable(_key_of(item, key)))
        elif directive == "replace":
            replaced = True
        elif directive == "merge":
            raise unusable("merging lists cannot yet be specified in the patch")
        else:
            raise unusable(f"unknown patch type: {directive} in map: {item}")
    if replaced:
        return [], changes
    return [item for item in before if _hashable(item.get(key, MISSING)) not in gone] if gone else before, changes


def _key_of(item: Any, key: str) -> Any:
    if not key:
        return item
    if not isinstance(item, dict):
        raise unusable(f"list element types are not identical: {item} is no object")
    if key not in item:
        raise unusable(f"map: {item} does not contain declared merge key: {key}")
    return item[key]


def places_after(before: list[Any], changes: list[Any], key: str) -> list[Any]:
    """The order that items which only the list has are put by. As in the original, new items take the places of those
    that the same patch deletes: there it is the memory of the list that they are written into."""
    directed = [item for item in changes if isinstance(item, dict) and DIRECTIVE in item]
    if not key or not directed or any(item[DIRECTIVE] == "replace" for item in directed):
        return list(before)
    gone = {_hashable(_key_of(item, key)) for item in directed}
    had = {_hashable(_key_of(item, key)) for item in before}
    left = [item for item in before if _hashable(_key_of(item, key)) not in gone]
    new = [item for item in changes if DIRECTIVE not in item and _hashable(_key_of(item, key)) not in had - gone]
    return left + new[: len(before) - len(left)]


def in_order(items: list[Any], order: list[Any], before: list[Any], key: str) -> list[Any]:
    """Items that `order` has, in its order; the others in that of `before`, each in front of the first one that
    stood behind it there."""
    wanted = {_hashable(_key_of(item, key)): place for place, item in reversed([*enumerate(order)])}
    stood: dict[Any, int] = {}
    for place, item in enumerate(before):
        stood.setdefault(_hashable(_key_of(item, key)), place)
    ordered: list[tuple[int, Any, Any]] = []
    others: list[tuple[int, Any, Any]] = []
    for item in items:
        name = _hashable(_key_of(item, key))
        if name in wanted:
            ordered.append((wanted[name], name, item))
        else:
            others.append((stood.get(name, -1), name, item))
    ordered.sort(key=lambda entry: entry[0])
    others.sort(key=lambda entry: entry[0])
    result: list[Any] = []
    at = 0
    for place, _, item in others:
        while at < len(ordered) and not -1 < place < stood.get(ordered[at][1], -1):
            result.append(ordered[at][2])
            at += 1
        result.append(item)
    return result + [item for _, _, item in ordered[at:]]


def check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """Refuse a patch whose items are not in the order that it asks for itself."""
    names = [_key_of(item, key) for item in patch if not (isinstance(item, dict) and DIRECTIVE in item)]
    places = iter([_key_of(item, key) for item in order])
    if order and not all(any(name == place for place in places) for name in names):
        raise unusable(f"The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n")


def _hashable(value: Any) -> Any:
    return value if not isinstance(value, dict | list) else repr(value)

"""Functions on lists and sets: Kubernetes's own and cel-go's extended ones."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

from boxship.cluster.objects.cel import operators, values
from boxship.cluster.objects.cel.values import Duration, Failed, equal

ITEMS_LIMIT = 100_000  # that a function may make


def _is_sorted(items: list[Any]) -> bool:
    return all(operators.less_or_equal(one, other) for one, other in itertools.pairwise(items))


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    def run(items: list[Any]) -> Any:
        return functools.reduce(operators.add, items, zero)

    return run


def _extreme(better: Callable[[Any, Any], bool], name: str) -> Callable[[list[Any]], Any]:
    def run(items: list[Any]) -> Any:
        if not items:
            raise Failed(f"{name} called on empty list")
        return functools.reduce(lambda one, other: other if better(other, one) else one, items)

    return run


def _index_of(items: list[Any], item: Any) -> int:
    return next((place for place, other in enumerate(items) if equal(other, item)), -1)


def _last_index_of(items: list[Any], item: Any) -> int:
    return next((place for place in range(len(items) - 1, -1, -1) if equal(items[place], item)), -1)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise Failed(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise Failed(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(items):
        raise Failed(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise Failed("level must be non-negative")
    result: list[Any] = []
    for item in items:
        result += _flatten(item, depth - 1) if isinstance(item, list) and depth > 0 else [item]
    return result


def _distinct(items: list[Any]) -> list[Any]:
    result: list[Any] = []
    for item in items:
        if not any(equal(item, other) for other in result):
            result.append(item)
    return result


def _range(size: int) -> list[int]:
    if size > ITEMS_LIMIT:
        raise Failed(f"a list of more than {ITEMS_LIMIT} items")
    return list(range(max(size, 0)))


def _contains(group: list[Any], part: list[Any]) -> bool:
    return all(operators.contained(item, group) for item in part)


def _equivalent(one: list[Any], other: list[Any]) -> bool:
    return _contains(one, other) and _contains(other, one)


def _intersects(one: list[Any], other: list[Any]) -> bool:
    return any(operators.contained(item, other) for item in one)


_ORDERED = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_ZEROS: dict[str, Any] = {"int": 0, "uint": operators.checked_uint(0), "double": 0.0, "duration": Duration(0)}
_smallest, _largest = _extreme(operators.less, "min"), _extreme(operators.greater, "max")

LISTS: list[tuple[str, Callable[..., Any]]] = [
    *((f"list({kind}).isSorted() -> bool", _is_sorted) for kind in _ORDERED),
    *((f"list({kind}).sum() -> {kind}", _sum(zero)) for kind, zero in _ZEROS.items()),
    *((f"list({kind}).min() -> {kind}", _smallest) for kind in _ORDERED),
    *((f"list({kind}).max() -> {kind}", _largest) for kind in _ORDERED),
    ("list(A).indexOf(A) -> int", _index_of),
    ("list(A).lastIndexOf(A) -> int", _last_index_of),
    ("list(A).slice(int,int) -> list(A)", _slice),
    ("list(list(A)).flatten() -> list(A)", _flatten),
    ("list(dyn).flatten(int) -> list(dyn)", _flatten),
    ("list(A).distinct() -> list(A)", _distinct),
    ("list(A).reverse() -> list(A)", lambda items: items[::-1]),
    ("list(A).sort() -> list(A)", lambda items: sorted(items, key=functools.cmp_to_key(operators.compare))),
    ("!lists.range(int) -> list(int)", _range),
    ("!sets.contains(list(A),list(A)) -> bool", _contains),
    ("!sets.equivalent(list(A),list(A)) -> bool", _equivalent),
    ("!sets.intersects(list(A),list(A)) -> bool", _intersects),
]


def _each(args: list[Any]) -> int:
    """Every item is compared with one value."""
    return len(args[0]) * values.weight(args[1])


def _pairs(args: list[Any]) -> int:
    """Every item of one list is compared with every one of the other."""
    one, other = args[0], args[-1]
    return max(len(one) * values.weight(other), values.weight(one) * len(other))


def _membership(args: list[Any]) -> int:
    return len(args[1]) * values.weight(args[0]) if isinstance(args[1], list) else 1


# How many comparisons a call may take, of functions that take more than they have items.
COMPARISONS: dict[Callable[..., Any], Callable[[list[Any]], int]] = {
    _index_of: _each,
    _last_index_of: _each,
    _distinct: _pairs,
    _contains: _pairs,
    _equivalent: _pairs,
    _intersects: _pairs,
    operators.contained: _membership,
}

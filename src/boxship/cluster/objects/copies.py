"""Copies of JSON values, and whether two of them are the same."""

from typing import Any


def copied(value: Any) -> Any:
    """A copy that shares no dict or list with the value. Raises RecursionError where it is too deep."""
    kind = type(value)
    if kind is dict:
        return {key: copied(part) if type(part) is dict or type(part) is list else part for key, part in value.items()}
    if kind is list:
        return [copied(part) if type(part) is dict or type(part) is list else part for part in value]
    return value


def same(one: Any, other: Any) -> bool:
    """JSON equality: as ==, but true is not 1."""
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and len(one) == len(other)
            and all(key in other and same(part, other[key]) for key, part in one.items())
        )
    if isinstance(one, list):
        return (
            isinstance(other, list)
            and len(one) == len(other)
            and all(same(part, counterpart) for part, counterpart in zip(one, other, strict=True))
        )
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)

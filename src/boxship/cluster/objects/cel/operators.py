"""The operators of CEL on values: checked arithmetic, comparison, membership, access by index."""

import math
import operator
from collections.abc import Callable
from typing import Any

from boxship.cluster.objects.cel.values import (
    INT_LIMIT,
    LONGEST,
    Duration,
    Failed,
    Timestamp,
    UInt,
    equal,
)

NO_OVERLOAD = "no such overload"


def checked_int(value: int) -> int:
    if not -INT_LIMIT <= value < INT_LIMIT:
        raise Failed("integer overflow")
    return value


def checked_uint(value: int) -> UInt:
    if not 0 <= value < 2 * INT_LIMIT:
        raise Failed("unsigned integer overflow")
    return UInt(value)


def checked_duration(nanos: int) -> Duration:
    if abs(nanos) > LONGEST:
        raise Failed("duration overflow")
    return Duration(nanos)


def add(one: Any, other: Any) -> Any:
    kinds = (type(one), type(other))
    if kinds == (int, int):
        return checked_int(one + other)
    if kinds in ((str, str), (float, float), (bytes, bytes), (list, list)):
        return one + other
    if kinds == (UInt, UInt):
        return checked_uint(int(one) + int(other))
    if kinds == (Duration, Duration):
        return checked_duration(one.nanos + other.nanos)
    if kinds == (Timestamp, Duration) or kinds == (Duration, Timestamp):
        return Timestamp(one.nanos + other.nanos)
    raise Failed(NO_OVERLOAD)


def subtract(one: Any, other: Any) -> Any:
    kinds = (type(one), type(other))
    if kinds == (int, int):
        return checked_int(one - other)
    if kinds == (float, float):
        return one - other
    if kinds == (UInt, UInt):
        return checked_uint(int(one) - int(other))
    if kinds in ((Duration, Duration), (Timestamp, Timestamp)):
        return checked_duration(one.nanos - other.nanos)
    if kinds == (Timestamp, Duration):
        return Timestamp(one.nanos - other.nanos)
    raise Failed(NO_OVERLOAD)


def multiply(one: Any, other: Any) -> Any:
    kinds = (type(one), type(other))
    if kinds == (int, int):
        return checked_int(one * other)
    if kinds == (float, float):
        return one * other
    if kinds == (UInt, UInt):
        return checked_uint(int(one) * int(other))
    raise Failed(NO_OVERLOAD)


def divide(one: Any, other: Any) -> Any:
    kinds = (type(one), type(other))
    if kinds == (float, float):
        if other == 0:
            if one == 0 or math.isnan(one):
                return math.nan
            return math.inf * math.copysign(1, one) * math.copysign(1, other)
        return one / other
    if kinds not in ((int, int), (UInt, UInt)):
        raise Failed(NO_OVERLOAD)
    if other == 0:
        raise Failed("division by zero")
    quotient = abs(int(one)) // abs(int(other))
    quotient = quotient if (one < 0) == (other < 0) else -quotient
    return checked_int(quotient) if kinds == (int, int) else UInt(quotient)


def remainder(one: Any, other: Any) -> Any:
    kinds = (type(one), type(other))
    if kinds not in ((int, int), (UInt, UInt)):
        raise Failed(NO_OVERLOAD)
    if other == 0:
        raise Failed("modulus by zero")
    left = abs(int(one)) % abs(int(other))
    return (-left if one < 0 else left) if kinds == (int, int) else UInt(left)


def negate(value: Any) -> Any:
    kind = type(value)
    if kind is int:
        return checked_int(-value)
    if kind is float:
        return -value
    if kind is Duration:
        return Duration(-value.nanos)
    raise Failed(NO_OVERLOAD)


def invert(value: Any) -> bool:
    if value is True or value is False:
        return not value
    raise Failed(NO_OVERLOAD)


_NUMBERS = (int, float, UInt)


def comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def run(one: Any, other: Any) -> bool:
        left, right = type(one), type(other)
        if left is right and left in (int, str, float, bool, bytes, UInt, Timestamp, Duration):
            return compare(one, other)
        if left in _NUMBERS and right in _NUMBERS:
            return compare(one, other)
        method = getattr(one, "compared", None)
        if method is not None and left is right:
            return compare(method(other), 0)
        raise Failed(NO_OVERLOAD)

    return run


less = comparison(operator.lt)
less_or_equal = comparison(operator.le)
greater = comparison(operator.gt)
greater_or_equal = comparison(operator.ge)


def contained(item: Any, group: Any) -> bool:
    if isinstance(group, dict):
        return isinstance(item, str | int | bool | UInt) and key_of(group, item) is not None
    if isinstance(group, list):
        return any(equal(item, other) for other in group)
    raise Failed(NO_OVERLOAD)


def key_of(group: dict[Any, Any], key: Any) -> tuple[Any] | None:
    """The key under which a map has it, in a tuple: 1, 1u and 1.0 are one key, true is another."""
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    if isinstance(key, str | int) and key in group:
        if key in (0, 1):  # or true or false
            return next(
                ((other,) for other in group if other == key and isinstance(other, bool) == isinstance(key, bool)), None
            )
        return (key,)
    return None


def at(group: Any, key: Any) -> Any:
    """group[key]."""
    if isinstance(group, dict):
        found = key_of(group, key)
        if found is None:
            raise Failed(f"no such key: {shown(key)}")
        return group[found[0]]
    if isinstance(group, list):
        if isinstance(key, float) and key.is_integer():
            key = int(key)
        if not isinstance(key, int) or isinstance(key, bool):
            raise Failed(NO_OVERLOAD)
        if not 0 <= key < len(group):
            raise Failed(f"index out of bounds: {key}")
        return group[key]
    raise Failed(NO_OVERLOAD)


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def compare(one: Any, other: Any) -> int:
    """-1, 0 or 1; for sorting."""
    return -1 if less(one, other) else 1 if less(other, one) else 0

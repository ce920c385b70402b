"""Vectors with one number for each node: plain lists where nodes are few, numpy's arrays where they are many. Plugins
are written once, for both: the operators of numpy, whole vectors at a time, and the functions of a Kernel.

numpy is imported when a cluster becomes wide: it costs some 20 MB, which a small machine does not have to pay.
"""

import operator
from collections.abc import Callable, Iterable
from typing import Any, Protocol

Vector = Any  # Plain, or numpy's ndarray
ALL = slice(None)

WIDE = 150  # nodes from which on arrays pay


class Kernel(Protocol):
    """What can be done with vectors besides their operators."""

    def full(self, size: int, value: int | bool | float) -> Vector: ...

    def of(self, values: Iterable[Any]) -> Vector:
        """Of whole numbers, or of truth values."""

    def longer(self, vector: Vector, more: int, value: int | bool) -> Vector:
        """With so many values behind it."""

    def choose(self, mask: Vector, yes: Any, no: Any) -> Vector: ...

    def sums(self, codes: Vector, amounts: Vector, size: int) -> Vector:
        """By code 0 … size - 1, the sum of the amounts that stand where the code does."""

    def take(self, values: Vector, codes: Vector) -> Vector:
        """values[code] for each code; codes are not negative."""

    def truncated(self, values: Vector) -> Vector:
        """Floats to whole numbers, towards zero."""

    def rounded(self, values: Vector) -> Vector:
        """Floats to whole numbers, halves away from zero (of what is not negative)."""

    def least(self, one: Vector, other: Any) -> Vector: ...

    def greatest(self, one: Vector, other: Any) -> Vector: ...

    def roots(self, values: Vector) -> Vector: ...

    def any(self, mask: Vector) -> bool: ...

    def count(self, mask: Vector) -> int: ...

    def places(self, mask: Vector) -> list[int]: ...

    def max(self, values: Vector, mask: Vector) -> int:
        """Over what the mask says; it says something."""

    def min(self, values: Vector, mask: Vector) -> int: ...

    def best(self, values: Vector) -> int:
        """The first place of the greatest value."""


def _both(function: Callable[[Any, Any], Any]) -> Callable[["Plain", Any], "Plain"]:
    def apply(self: "Plain", other: Any) -> "Plain":
        if isinstance(other, Plain):
            return Plain(map(function, self, other))
        return Plain([function(value, other) for value in self])

    return apply


def _reverse(function: Callable[[Any, Any], Any]) -> Callable[["Plain", Any], "Plain"]:
    def apply(self: "Plain", other: Any) -> "Plain":
        return Plain([function(other, value) for value in self])

    return apply


class Plain(list[Any]):
    """A list that counts as an array does."""

    __slots__ = ()
    __hash__ = None

    __add__ = _both(operator.add)
    __sub__ = _both(operator.sub)
    __mul__ = _both(operator.mul)
    __truediv__ = _both(operator.truediv)
    __floordiv__ = _both(operator.floordiv)
    __and__ = _both(operator.and_)
    __or__ = _both(operator.or_)
    __eq__ = _both(operator.eq)  # type: ignore[assignment]
    __ne__ = _both(operator.ne)  # type: ignore[assignment]
    __lt__ = _both(operator.lt)  # type: ignore[assignment]
    __le__ = _both(operator.le)  # type: ignore[assignment]
    __gt__ = _both(operator.gt)  # type: ignore[assignment]
    __ge__ = _both(operator.ge)  # type: ignore[assignment]
    __radd__ = _reverse(operator.add)
    __rsub__ = _reverse(operator.sub)
    __rmul__ = _reverse(operator.mul)

    def __invert__(self) -> "Plain":
        return Plain([not value for value in self])

    def __abs__(self) -> "Plain":
        return Plain(map(abs, self))

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return Plain(found) if isinstance(place, slice) else found

    def copy(self) -> "Plain":
        return Plain(self)


class Lists:
    """Implements Kernel over Plain."""

    def full(self, size: int, value: int | bool | float) -> Vector:
        return Plain([value]) if size == 1 else Plain([value for _ in range(size)])

    def of(self, values: Iterable[Any]) -> Vector:
        return Plain(values)

    def longer(self, vector: Vector, more: int, value: int | bool) -> Vector:
        return Plain([*vector, *[value] * more])

    def choose(self, mask: Vector, yes: Any, no: Any) -> Vector:
        yes = yes if isinstance(yes, Plain) else [yes] * len(mask)
        no = no if isinstance(no, Plain) else [no] * len(mask)
        return Plain([one if flag else other for flag, one, other in zip(mask, yes, no, strict=True)])

    def sums(self, codes: Vector, amounts: Vector, size: int) -> Vector:
        found = Plain([0] * size)
        for code, amount in zip(codes, amounts, strict=True):
            found[code] += amount
        return found

    def take(self, values: Vector, codes: Vector) -> Vector:
        return Plain(map(list(values).__getitem__, codes))

    def truncated(self, values: Vector) -> Vector:
        return Plain(map(int, values))

    def rounded(self, values: Vector) -> Vector:
        return Plain([int(value + 0.5) for value in values])

    def least(self, one: Vector, other: Any) -> Vector:
        others = other if isinstance(other, Plain) else [other] * len(one)
        return Plain(map(min, one, others))

    def greatest(self, one: Vector, other: Any) -> Vector:
        others = other if isinstance(other, Plain) else [other] * len(one)
        return Plain(map(max, one, others))

    def roots(self, values: Vector) -> Vector:
        return Plain([value**0.5 for value in values])

    def any(self, mask: Vector) -> bool:
        return any(mask)

    def count(self, mask: Vector) -> int:
        return sum(map(bool, mask))

    def places(self, mask: Vector) -> list[int]:
        return [place for place, flag in enumerate(mask) if flag]

    def max(self, values: Vector, mask: Vector) -> int:
        return int(max(value for value, flag in zip(values, mask, strict=True) if flag))

    def min(self, values: Vector, mask: Vector) -> int:
        return int(min(value for value, flag in zip(values, mask, strict=True) if flag))

    def best(self, values: Vector) -> int:
        return list(values).index(max(values))


class Arrays:
    """Implements Kernel over numpy's arrays."""

    def __init__(self) -> None:
        import numpy

        self._numpy = numpy

    def full(self, size: int, value: int | bool | float) -> Vector:
        return self._numpy.full(size, value, dtype=self._type_of(value))

    def of(self, values: Iterable[Any]) -> Vector:
        listed = list(values)
        return self._numpy.array(listed, dtype=self._type_of(listed[0] if listed else 0))

    def longer(self, vector: Vector, more: int, value: int | bool) -> Vector:
        return self._numpy.concatenate([vector, self._numpy.full(more, value, dtype=vector.dtype)])

    def choose(self, mask: Vector, yes: Any, no: Any) -> Vector:
        return self._numpy.where(mask, yes, no)

    def sums(self, codes: Vector, amounts: Vector, size: int) -> Vector:
        return self._numpy.bincount(codes, weights=amounts, minlength=size).astype(self._numpy.int64)

    def take(self, values: Vector, codes: Vector) -> Vector:
        return values[codes]

    def truncated(self, values: Vector) -> Vector:
        return values.astype(self._numpy.int64)

    def rounded(self, values: Vector) -> Vector:
        return (values + 0.5).astype(self._numpy.int64)

    def least(self, one: Vector, other: Any) -> Vector:
        return self._numpy.minimum(one, other)

    def greatest(self, one: Vector, other: Any) -> Vector:
        return self._numpy.maximum(one, other)

    def roots(self, values: Vector) -> Vector:
        return self._numpy.sqrt(values)

    def any(self, mask: Vector) -> bool:
        return bool(mask.any())

    def count(self, mask: Vector) -> int:
        return int(self._numpy.count_nonzero(mask))

    def places(self, mask: Vector) -> list[int]:
        return list(self._numpy.flatnonzero(mask).tolist())

    def max(self, values: Vector, mask: Vector) -> int:
        return int(values[mask].max())

    def min(self, values: Vector, mask: Vector) -> int:
        return int(values[mask].min())

    def best(self, values: Vector) -> int:
        return int(values.argmax())

    def _type_of(self, value: Any) -> Any:
        if isinstance(value, bool):
            return self._numpy.bool_
        return self._numpy.float64 if isinstance(value, float) else self._numpy.int64

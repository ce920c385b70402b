"""Casts single values: what a scalar of the file means for a field of a given kind.

Every function takes the place along, so that a wrong value's error names it. It must never look at more than that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from boxship.compose import fields, schema
from boxship.compose.document import FileError, Mapping, Node, Plain, Scalar, Sequence

Given = TypeVar("Given")
Value = TypeVar("Value")
Number = TypeVar("Number", int, float)


def scalar(node: Node, path: str, expected: str) -> Scalar:
    """The node as a single value."""
    if not isinstance(node, Scalar):
        raise FileError(node.place, f"{path}: must be {expected}, not {named(node)}")
    return node


def plain_text(value: Plain) -> str:
    """A value as the text that a label or a variable takes."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else fields.number(value)


def bare(address: str) -> str:
    """An address without the brackets of version 6."""
    return address[1:-1] if address.startswith("[") and address.endswith("]") else address


def named(value: Node | Plain) -> str:
    """What a value is, for a message."""
    names = {Mapping: "a mapping", Sequence: "a list", bool: "a boolean", type(None): "nothing", str: "text"}
    return names.get(type(value), "a number")


EXPECTED: dict[type, str] = {
    schema.Flag: "a boolean",
    schema.Whole: "a whole number",
    schema.Real: "a number",
    schema.Size: "a size",
    schema.Span: 'a duration such as "1m30s"',
    schema.Mode: "permission bits",
}


def _flag(kind: schema.Flag, value: Plain) -> Plain:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return fields.flag(value)
    raise ValueError(f"must be true or false, not {named(value)}")


def _whole(kind: schema.Whole, value: Plain) -> Plain:
    if isinstance(value, str):
        if value in kind.words:
            return kind.words[value]
        spans = kind.span and value[-1:] in ("s", "m", "h")
        value = fields.nanoseconds(value) // 1000 if spans else fields.whole(value)
    if isinstance(value, float) and value == int(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"must be a whole number, not {named(value)}")
    return _within(kind, value)


def _real(kind: schema.Real, value: Plain) -> Plain:
    if isinstance(value, bool) or value is None:
        raise ValueError(f"must be a number, not {named(value)}")
    return _within(kind, fields.real(value) if isinstance(value, str) else value)


def _within(kind: schema.Whole | schema.Real, value: Number) -> Number:
    if kind.low is not None and value < kind.low:
        raise ValueError(f"must be at least {kind.low}, not {value}")
    if kind.high is not None and value > kind.high:
        raise ValueError(f"must be at most {kind.high}, not {value}")
    return value


def _size(kind: schema.Size, value: Plain) -> Plain:
    if isinstance(value, str):
        value = -1 if kind.unlimited and value.strip() == "-1" else fields.size(value)
    if isinstance(value, bool) or value is None:
        raise ValueError(f"must be a size, not {named(value)}")
    if value < 0 and not (kind.unlimited and value == -1):
        raise ValueError(f"must be at least 0, not {value}")
    return int(value)


def _span(kind: schema.Span, value: Plain) -> Plain:
    if not isinstance(value, str):
        raise ValueError(f'must be a duration such as "10s" or "1m30s", not {named(value)}')
    return fields.span(fields.nanoseconds(value))


def _mode(kind: schema.Mode, value: Plain) -> Plain:
    if isinstance(value, str):
        return fields.mode(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f'must be permission bits in octal such as "0440", not {named(value)}')
    return value


CASTS: dict[type, Callable[..., Plain]] = {
    schema.Flag: _flag,
    schema.Whole: _whole,
    schema.Real: _real,
    schema.Size: _size,
    schema.Span: _span,
    schema.Mode: _mode,
}


def cast(kind: schema.Kind, node: Node, path: str) -> Scalar:
    """The value of a scalar kind, in the kind's own type."""
    given = scalar(node, path, EXPECTED[type(kind)])
    if isinstance(given.value, float) and not math.isfinite(given.value):
        raise FileError(given.place, f"{path}: must be {EXPECTED[type(kind)]}, not {given.text}")
    return like(given, checked(lambda value: CASTS[type(kind)](kind, value), given.value, given, path))


def checked(read: Callable[[Given], Value], value: Given, given: Scalar, path: str) -> Value:
    try:
        return read(value)
    except ValueError as error:
        raise FileError(given.place, f"{path}: {error}") from None


def placed(short: Callable[[Scalar], Value], given: Scalar, path: str) -> Value:
    return checked(short, given, given, path)


def like(given: Scalar, value: Plain, tag: str | None = None) -> Scalar:
    """Another value at the same place."""
    if value == given.value and type(value) is type(given.value) and tag is None:
        return given
    text = plain_text(value)
    return Scalar(value, given.place, text, isinstance(value, str), given.tag if tag is None else tag)

"""The functions that templates may call, and how values print: Go's ways, over the values that JSON gives."""

from __future__ import annotations

import json
from collections.abc import Callable

TEXT_LIMIT = 1 << 20  # characters of padding that a template may ask for

Value = object


class TemplateError(Exception):
    """What is wrong with a template, without its context."""


def show(value: Value, nested: bool = False) -> str:
    """A value as Go prints it: true, map[k:v], [a b], <no value>."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>" if nested else "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _show_float(value)
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{show(item, True)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(show(item, True) for item in value) + "]"
    values = getattr(value, "values", None)
    return show(values()) if callable(values) else str(value)


def _show_float(value: float) -> str:
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    mantissa, mark, exponent = repr(value).partition("e")
    return f"{mantissa}{mark}{exponent[0]}{exponent[1:].zfill(2)}" if mark else mantissa


def truth(value: Value) -> bool:
    """Go's truth: not false, zero, nil or empty."""
    return bool(value)


def to_json(value: Value) -> str:
    values = getattr(value, "values", None)
    if not isinstance(value, dict) and callable(values):
        value = values()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _number(value: Value) -> float:
    if isinstance(value, int | float):
        return value
    raise TemplateError(f"{show(value)} is not a number")


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    raise TemplateError(f"{show(value)} is not a string")


def _same(left: Value, right: Value) -> bool:
    if isinstance(left, bool) != isinstance(right, bool) or isinstance(left, str) != isinstance(right, str):
        if left is None or right is None:
            return left is right
        raise TemplateError("incompatible types for comparison")
    return left == right


def equal(first: Value, *others: Value) -> bool:
    if not others:
        raise TemplateError("missing argument for comparison")
    return any(_same(first, other) for other in others)


def less(left: Value, right: Value) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return left < right
    if isinstance(left, str) or isinstance(right, str):
        raise TemplateError("incompatible types for comparison")
    return _number(left) < _number(right)


def length(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))  # Go counts bytes
    if isinstance(value, list | tuple | dict):
        return len(value)
    raise TemplateError(f"len of {show(value)}")


def index(value: Value, *keys: Value) -> Value:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(show(key))
        elif isinstance(value, list | str) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise TemplateError(f"index out of range: {key}")
            value = value[key] if isinstance(value, list) else ord(value[key])
        elif value is None:
            raise TemplateError("index of untyped nil")
        else:
            raise TemplateError(f"can't index {show(value)} with {show(key)}")
    return value


def slice_of(value: Value, *bounds: Value) -> Value:
    if not isinstance(value, list | str) or len(bounds) > 2 or not all(isinstance(bound, int) for bound in bounds):
        raise TemplateError("slice needs a list or string and up to two numbers")
    numbers = [bound for bound in bounds if isinstance(bound, int)]
    start = numbers[0] if numbers else 0
    stop = numbers[1] if len(numbers) > 1 else len(value)
    if not 0 <= start <= stop <= len(value):
        raise TemplateError(f"index out of range: {start}:{stop}")
    return value[start:stop]


def join(value: Value, separator: Value) -> str:
    # Docker's order is (list, separator); both orders are accepted, as only one argument can be a list.
    if isinstance(separator, list):
        value, separator = separator, value
    if value is None:
        return ""
    if not isinstance(value, list):
        raise TemplateError("join needs a list")
    return _text(separator).join(show(item) for item in value)


def split(value: Value, separator: Value) -> list[str]:
    text, mark = _text(value), _text(separator)
    return text.split(mark) if mark else list(text)


def title(value: Value) -> str:
    letters, start = [], True
    for letter in _text(value):
        letters.append(letter.upper() if start else letter)
        start = not (letter.isalnum() or letter in "_'")
    return "".join(letters)


def pad(value: Value, before: Value, after: Value) -> str:
    text = _text(value)
    if not text:
        return text
    if not isinstance(before, int) or not isinstance(after, int) or max(before, after) > TEXT_LIMIT:
        raise TemplateError("pad needs a string and two numbers")
    return " " * before + text + " " * after


def truncate(value: Value, size: Value) -> str:
    if not isinstance(size, int) or size < 0:
        raise TemplateError("truncate needs a string and a number")
    return _text(value)[:size]


def print_all(*values: Value) -> str:
    parts: list[str] = []
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            parts.append(" ")
        parts.append(show(value, True))
    return "".join(parts)


def print_line(*values: Value) -> str:
    return " ".join(show(value, True) for value in values) + "\n"


def print_format(form: Value, *values: Value) -> str:
    """Go's Sprintf with the verbs %v %s %d %q %t %x %X %c %f %e %g %%, widths, precision and the flags - + 0 space."""
    text, parts, given = _text(form), [], list(values)
    position = 0
    while position < len(text):
        mark = text.find("%", position)
        if mark < 0:
            parts.append(text[position:])
            break
        parts.append(text[position:mark])
        position = mark + 1
        while position < len(text) and text[position] in "-+# 0123456789.":
            position += 1
        flags, verb = text[mark + 1 : position], text[position : position + 1]
        position += 1
        if verb == "%":
            parts.append("%")
        elif not verb:
            parts.append("%!(NOVERB)")
        elif not given:
            parts.append(f"%!{verb}(MISSING)")
        else:
            parts.append(_format_one(flags, verb, given.pop(0)))
    if given:
        parts.append("%!(EXTRA " + ", ".join(f"{_kind(value)}={show(value, True)}" for value in given) + ")")
    return "".join(parts)


def _kind(value: Value) -> str:
    names = {str: "string", bool: "bool", int: "int", float: "float64"}
    return names.get(type(value), "<nil>" if value is None else type(value).__name__)


def _format_one(flags: str, verb: str, value: Value) -> str:
    width, _, precision = flags.lstrip("-+# 0").partition(".")
    if len(width) > 4 or len(precision) > 4:
        raise TemplateError("a width in printf is too large")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    body: str | None = None
    if verb == "v":
        body = show(value, True)
    elif verb == "s":
        body = show(value, True) if not number else None
    elif verb == "q" and isinstance(value, str):
        body = json.dumps(value, ensure_ascii=False)
    elif verb == "t" and isinstance(value, bool):
        body = show(value)
    elif verb in "xX" and isinstance(value, str):
        body = value.encode().hex()
    elif verb == "c" and isinstance(value, int) and 0 <= value < 0x110000:
        body = chr(value)
    elif number and verb in ("d", "x", "X", "o", "b") and isinstance(value, int):
        body = format(value, "+" + verb if "+" in flags else verb)
    elif number and verb in ("f", "e", "g", "F", "E", "G"):
        body = format(_number(value), f"{'+' if '+' in flags else ''}{f'.{precision}' if '.' in flags else ''}{verb}")
    if body is None:
        return f"%!{verb}({_kind(value)}={show(value, True)})"
    if verb in "sv" and "." in flags and not number:
        body = body[: int(precision or "0")]
    if "-" in flags:
        return body.ljust(int(width or "0"))
    fill = "0" if number and flags.lstrip("+ #").startswith("0") else " "
    return body.rjust(int(width or "0"), fill) if fill == " " else body.zfill(int(width or "0"))


BUILTINS: dict[str, Callable[..., Value]] = {
    "and": lambda *values: next((value for value in values if not truth(value)), values[-1]),
    "or": lambda *values: next((value for value in values if truth(value)), values[-1]),
    "not": lambda value: not truth(value),
    "eq": equal,
    "ne": lambda left, right: not equal(left, right),
    "lt": less,
    "gt": lambda left, right: less(right, left),
    "le": lambda left, right: not less(right, left),
    "ge": lambda left, right: not less(left, right),
    "len": length,
    "index": index,
    "slice": slice_of,
    "print": print_all,
    "println": print_line,
    "printf": print_format,
    "json": to_json,
    "join": join,
    "split": split,
    "title": title,
    "lower": lambda value: _text(value).lower(),
    "upper": lambda value: _text(value).upper(),
    "pad": pad,
    "truncate": truncate,
}

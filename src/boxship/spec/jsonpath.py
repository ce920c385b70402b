"""kubectl's JSONPath, evaluated: what a template finds in decoded JSON, and how that is printed.

For `-o jsonpath`, custom columns, sorting, and the printer columns of custom resources. Pure; the template is parsed
once and used for many objects.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from boxship.errors import Invalid
from boxship.spec.jsonpath_syntax import (
    Block,
    Descent,
    Field,
    Filter,
    Literal,
    Loop,
    Node,
    Path,
    Slice,
    Text,
    Union,
    Wildcard,
    Word,
    parse,
)

RELAXED = re.compile(r"\{\.?([^{}]+)\}|\.?([^{}]+)")
ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
GO_TYPES = ((bool, "bool"), (int, "int64"), (float, "float64"), (str, "string"), (dict, "map[string]interface {}"))


class Template:
    """A parsed template. `lenient`: what is not there is no error (kubectl's default)."""

    def __init__(self, text: str, *, lenient: bool = True) -> None:
        """Raises Invalid, with the original's words, for what is no template."""
        self.block: Block = parse(text)
        self.lenient = lenient

    def find(self, data: Any) -> list[list[Any]]:
        """Per part of the template, the values that it finds; text is a value as well. Raises Invalid."""
        found: list[list[Any]] = []
        self._run(self.block, data, found)
        return found

    def first(self, data: Any) -> Any:
        """The first value that the first part finds, or None: what a printer column shows."""
        found = self.find(data)
        return found[0][0] if found and found[0] else None

    def render(self, data: Any) -> str:
        """The template filled in: values of one part with spaces between, objects and lists as compact JSON."""
        return "".join(printed(values) for values in self.find(data))

    def _run(self, block: Block, data: Any, found: list[list[Any]]) -> None:
        for part in block:
            if isinstance(part, Loop):
                for value in self._walk(part.path, [data]):
                    self._run(part.body, value, found)
            elif isinstance(part, Text):
                found.append([part.text])
            else:
                found.append(self._walk(part, [data]))

    def _walk(self, path: Path, values: list[Any]) -> list[Any]:
        for node in path:
            values = self._step(node, values)
        return values

    def _step(self, node: Node, values: list[Any]) -> list[Any]:
        if isinstance(node, Field):
            return self._field(node.name, values)
        if isinstance(node, Slice):
            return [item for value in values if value is not None for item in _sliced(node, value)]
        if isinstance(node, Text):
            return [node.text]
        if isinstance(node, Literal):
            return [node.value] * len(values)
        if isinstance(node, Wildcard):
            return [item for value in values for item in _contents(value)]
        if isinstance(node, Descent):
            return list(_below(values))
        if isinstance(node, Union):
            return [item for path in node.paths for item in self._walk(path, values)]
        if isinstance(node, Filter):
            return self._filter(node, values)
        assert isinstance(node, Word)
        raise Invalid(f"unrecognized identifier {node.name}")

    def _field(self, name: str, values: list[Any]) -> list[Any]:
        found = [value[name] for value in values if isinstance(value, Mapping) and name in value]
        if not found and values and not self.lenient:
            raise Invalid(f"{name} is not found")
        return found

    def _filter(self, node: Filter, values: list[Any]) -> list[Any]:
        found = []
        for value in values:
            if not isinstance(value, list):
                raise Invalid(f"{_go_text(value)} is not array or slice and cannot be filtered")
            found += [item for item in value if self._passes(node, item)]
        return found

    def _passes(self, node: Filter, item: Any) -> bool:
        if node.operator == "exists":
            try:
                return bool(self._walk(node.left, [item]))
            except Invalid:
                return False
        left = self._walk(node.left, [item])
        if not left:
            return False
        right = self._walk(node.right, [item])
        if len(left) != 1 or len(right) != 1:
            raise Invalid("can only compare one element at a time")
        return compared(left[0], node.operator, right[0])


def _sliced(node: Slice, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Invalid(f"{_go_type(value)} is not array or slice")
    length = len(value)
    start = node.start or 0
    stop = length if node.stop is None else node.stop
    if start < 0:
        start += length
    if node.single:
        stop = start + 1
    elif stop < 0:
        stop += length
    if stop != start:
        for index, wrong in ((start, start >= length or start < 0), (stop - 1, stop > length or stop < 0)):
            if wrong:
                raise Invalid(f"array index out of bounds: index {index}, length {length}")
    if start > stop:
        raise Invalid(f"starting index {start} is greater than ending index {stop}")
    if node.step is not None and node.step <= 0:
        raise Invalid("step must be > 0")
    return value[start : stop : node.step or 1]


def _contents(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list):
        return value
    return value.encode() if isinstance(value, str) else ()


def _below(values: Iterable[Any]) -> Iterable[Any]:
    """Every value that holds others, outer ones first; a text counts, being made of characters."""
    for value in values:
        if isinstance(value, str):
            if value:
                yield value
        elif isinstance(value, Mapping | list) and value:
            yield value
            yield from _below(_contents(value))


def compared(left: Any, operator: str, right: Any) -> bool:
    """One comparison of a filter. Raises Invalid for values that cannot be compared."""
    kinds = [
        "bool" if isinstance(value, bool) else "number" if isinstance(value, int | float) else type(value).__name__
        for value in (left, right)
    ]
    if operator not in ("==", "!=", "<", "<=", ">", ">="):
        raise Invalid(f"unrecognized filter operator {operator}")
    if not set(kinds) <= {"bool", "number", "str"} or (kinds[0] == "bool" and operator not in ("==", "!=")):
        raise Invalid("invalid type for comparison")
    if kinds[0] != kinds[1]:
        raise Invalid("incompatible types for comparison")
    if operator in ("==", "!="):
        return bool(left == right) is (operator == "==")
    if operator in ("<", "<="):
        return bool(left < right or (operator == "<=" and left == right))
    return bool(left > right or (operator == ">=" and left == right))


def _go_type(value: Any) -> str:
    return next((name for kind, name in GO_TYPES if isinstance(value, kind)), "[]interface {}")


def _go_text(value: Any) -> str:
    """As Go prints a value of no form of its own."""
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{_go_text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_go_text, value))}]"
    return "<nil>" if value is None else shown(value)


def shown(value: Any) -> str:
    """One value as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping | list):
        return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).translate(ESCAPED)
    return str(value)


def _float(value: float) -> str:
    """As Go prints it: the shortest form that says the same, with an exponent from 1e+21."""
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
    if value == 0 or 1e-4 <= abs(value) < 1e21:
        return f"{value:.0f}" if value == int(value) else _plain(value)
    digits, _, exponent = f"{value!r}".partition("e")
    if not exponent:
        digits, _, exponent = f"{value:e}".partition("e")
        digits = digits.rstrip("0").rstrip(".")
    return f"{digits.removesuffix('.0')}e{exponent[0] if exponent[0] in '+-' else '+'}{exponent.lstrip('+-').zfill(2)}"


def _plain(value: float) -> str:
    text = repr(value)
    return text if "e" not in text else f"{value:.25f}".rstrip("0")


def printed(values: Iterable[Any]) -> str:
    """The values that one part found, as `-o jsonpath` prints them."""
    return " ".join(map(shown, values))


def relaxed(text: str) -> str:
    """The template of a path without its braces or its first dot ("metadata.name"), as custom columns and sorting take
    it. Raises Invalid."""
    if not text:
        return ""
    found = RELAXED.fullmatch(text)
    if found is None:
        why = "expected a JSONPath spec with 'x.y.z' or '{.x.y.z}' or '.x.y.z' or '{x.y.z}'"
        raise Invalid(f"unexpected path string, {why}")
    return f"{{.{found.group(1) or found.group(2)}}}"

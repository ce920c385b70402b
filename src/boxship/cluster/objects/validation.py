"""Reads objects of built-in kinds as the original's decoder does: types are checked, unknown fields are told of and
dropped, nulls and empty values that mean nothing are dropped, quantities and times get their canonical form.

An object that has nothing to tell of is walked once, with as little work as that needs; only one that has is walked
again with its paths. Nothing here knows what values mean; that is `kinds`. Texts are those of Go's JSON decoder as
sigs.k8s.io/json has it, but for the nearest name that follows an unknown one.
"""

import difflib
from collections.abc import Sequence
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause, Failure, Unreadable
from boxship.cluster.objects.json_text import PROBLEMS_LIMIT, join_path, places_of
from boxship.cluster.objects.quantity import canonical
from boxship.cluster.objects.schema.scalars import (
    canonical_bytes,
    canonical_micro_time,
    canonical_time,
    in_range,
    zero,
)
from boxship.cluster.objects.schema.types import Form, Type
from boxship.errors import Invalid

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"
NEAREST_LIMIT = 10  # of them, those for which a nearest name is looked for
NEAREST_LENGTH = 64  # characters of a name that is compared
DEPTH_LIMIT = 200  # objects and lists inside each other

OBJECT, MAP, LIST, ANY = Form.OBJECT, Form.MAP, Form.LIST, Form.ANY
STRING, INTEGER, BOOLEAN, NUMBER = Form.STRING, Form.INTEGER, Form.BOOLEAN, Form.NUMBER
QUANTITY, INT_OR_STRING = Form.QUANTITY, Form.INT_OR_STRING
PLAIN: dict[Form, type] = {STRING: str, BOOLEAN: bool}


class Mismatch(Invalid):
    """A value that is not of its field's type; the text is that of the original's decoder."""


def read(
    object: Object, type_: Type, mode: str = STRICT, duplicates: Sequence[str] = ()
) -> tuple[Object, list[str], tuple[Cause, ...]]:
    """The object as it is kept (the same dict, changed), the client's warnings, and no causes: a wrong type is Failure
    400. `duplicates` are texts of `duplicate_fields`. With Strict, unknown and duplicate fields are Failure 400 too."""
    places = places_of(object) if duplicates else {}
    try:
        problems = [*duplicates, *take(object, type_)]
    except Mismatch as error:
        raise refusal(object, type_, str(error)) from None
    if not problems or mode == IGNORE:
        return object, [], ()
    problems.sort(key=lambda text: places.get(text.partition('"')[2].partition('"')[0], 0))
    problems = problems[:PROBLEMS_LIMIT]
    if mode == WARN:
        return object, problems, ()
    raise refusal(object, type_, strict_error(problems))


def strict_error(problems: Sequence[str]) -> str:
    return f"strict decoding error: {', '.join(problems)}"


def refusal(object: Object, type_: Type, why: str) -> Failure:
    """The Failure of a body that cannot be read."""
    expected = type_.name.rpartition(".")[2]
    kind = object.get("kind")
    if not isinstance(kind, str) or not kind:
        return Unreadable(f"the object provided is unrecognized (must be of type {expected})", why)
    version = str(object.get("apiVersion", "")).rpartition("/")[2]
    return Unreadable(f'{kind} in version "{version}" cannot be handled as a {expected}', why)


def take(object: Any, type_: Type, path: str = "") -> list[str]:
    """Change an object to what is kept of it; the unknown fields, as texts. `path` is where it stands. Raises
    Mismatch."""
    if type(object) is dict and _fits(object, type_, DEPTH_LIMIT):
        return []
    reader = _Reader()
    reader.value(object, type_, path)
    return reader.problems


def complete(object: Object, type_: Type) -> None:
    """Put in what the original shows also where it is empty: {} for parts that are no pointers, 0 and "" for fields
    without omitempty."""
    for name, field in type_.fields.items():
        value = object.get(name)
        if value is None:
            if not field.always:
                continue
            if field.form is OBJECT:
                value = object[name] = {}
            elif (empty := zero(field.form.value)) is not None and field.form is not INT_OR_STRING:
                object[name] = empty
        if field.form is OBJECT and isinstance(value, dict):
            complete(value, field)
        elif field.items is not None and field.items.form is OBJECT and field.form is not ANY and value:
            for item in value.values() if isinstance(value, dict) else value:
                if isinstance(item, dict):
                    complete(item, field.items)


def _fits(value: dict[str, Any], type_: Type, depth: int) -> bool:
    """Whether the object can be kept as it is. May have given some values their canonical form when it says no."""
    fields = type_.fields
    if not depth or (not fields and value):
        return False
    for key, item in value.items():
        field = fields.get(key)
        if field is None:
            return False
        form = field.form
        if form is STRING:
            if type(item) is not str or (not item and field.omits):
                return False
        elif form is OBJECT:
            if type(item) is not dict or not _fits(item, field, depth - 1):
                return False
        elif form is LIST:
            if type(item) is not list or (not item and field.omits) or not _list_fits(item, field.items, depth - 1):
                return False
        elif form is MAP:
            if type(item) is not dict or (not item and field.omits) or not _map_fits(item, field.items, depth - 1):
                return False
        elif not _scalar_fits(item, field) or (not item and field.omits):
            return False
        elif form is QUANTITY:
            value[key] = canonical(item)
    return True


def _list_fits(value: list[Any], items: Type | None, depth: int) -> bool:
    if items is None or not depth:
        return False
    form = items.form
    if form is STRING:
        return all(type(item) is str for item in value)
    if form is OBJECT:
        return all(type(item) is dict and _fits(item, items, depth - 1) for item in value)
    return form not in (LIST, MAP, QUANTITY) and all(_scalar_fits(item, items) for item in value)


def _map_fits(value: dict[str, Any], items: Type | None, depth: int) -> bool:
    if items is None or not depth:
        return False
    form = items.form
    if form is STRING:
        return all(type(item) is str for item in value.values())
    if form is OBJECT:
        return all(type(item) is dict and _fits(item, items, depth - 1) for item in value.values())
    if form is QUANTITY:
        try:
            for key, item in value.items():
                value[key] = canonical(item)
        except Invalid:
            return False
        return True
    return form not in (LIST, MAP) and all(_scalar_fits(item, items) for item in value.values())


def _scalar_fits(item: Any, field: Type) -> bool:
    form = field.form
    kind = type(item)
    if form is BOOLEAN:
        return kind is bool
    if form is INTEGER:
        return kind is int and in_range(item, field.format)
    if form is STRING:
        return kind is str
    if form is INT_OR_STRING:
        return kind is str or (kind is int and in_range(item, "int32"))
    if form is NUMBER:
        return kind is float or kind is int
    if form is ANY:
        return field.items is None and item is not None
    try:
        return _canonical(item, form) == item and (form is not QUANTITY or kind is str)
    except (ValueError, Invalid):
        return False


def _canonical(item: Any, form: Form) -> Any:
    """A value of a form that has one text. Raises ValueError or Invalid."""
    if form is QUANTITY:
        return canonical(item)
    if not isinstance(item, str):
        raise ValueError(f"json: cannot unmarshal {_name(item)} into Go value of type string")
    if form is Form.TIME:
        return canonical_time(item)
    if form is Form.MICRO_TIME:
        return canonical_micro_time(item)
    return canonical_bytes(item) if form is Form.BYTES else item


class _Reader:
    """The walk that knows where it is."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._struct = ""  # the innermost Go struct, and the fields that lead there
        self._stack: list[str] = []
        self._depth = DEPTH_LIMIT

    def value(self, value: Any, type_: Type, path: str) -> Any:
        """What is kept of a value that is not null."""
        if self._depth <= 0:
            raise Mismatch("json: exceeded max depth")
        self._depth -= 1
        try:
            form = type_.form
            if form is OBJECT:
                return self._object(self._expect(value, dict, type_), type_, path)
            if form is LIST:
                return self._list(self._expect(value, list, type_), type_, path)
            if form is MAP:
                return self._map(self._expect(value, dict, type_), type_, path)
            if form is ANY:
                return self._any(value, type_)
            return self._scalar(value, type_, path)
        finally:
            self._depth += 1

    def _object(self, value: dict[str, Any], type_: Type, path: str) -> dict[str, Any]:
        struct = self._struct
        for key in list(value):
            item = value[key]
            field = type_.fields.get(key)
            if field is None:
                self._unknown(key, type_, path)
                del value[key]
                continue
            if item is None:
                del value[key]
                continue
            self._struct = type_.name.rpartition(".")[2]
            self._stack.append(key)
            item = self.value(item, field, join_path(path, key))
            self._stack.pop()
            if field.omits and not item:
                del value[key]
            else:
                value[key] = item
        self._struct = struct
        return value

    def _list(self, value: list[Any], type_: Type, path: str) -> list[Any]:
        items = _items(type_)
        for index, item in enumerate(value):
            if item is None:
                value[index] = _zero(items)
            else:
                value[index] = self.value(item, items, f"{path}[{index}]")
        return value

    def _map(self, value: dict[str, Any], type_: Type, path: str) -> dict[str, Any]:
        items = _items(type_)
        for key, item in value.items():
            value[key] = _zero(items) if item is None else self.value(item, items, join_path(path, key))
        return value

    def _any(self, value: Any, type_: Type) -> Any:
        """Untyped content, or an alternative: an object of one type, or something else."""
        if type_.items is None:
            return value
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                self._quietly(item, type_.items)
        if type_.name.endswith("OrBool") and not isinstance(value, dict | bool):
            raise Mismatch("boolean or JSON schema expected")
        return value

    def _quietly(self, value: dict[str, Any], type_: Type) -> None:
        """The original reads alternatives with a decoder of their own, which tells nobody of unknown fields."""
        inner = _Reader()
        inner._depth = self._depth
        inner.value(value, type_, "")

    def _scalar(self, value: Any, type_: Type, path: str) -> Any:
        form = type_.form
        if _scalar_fits(value, type_):
            return value
        if form in PLAIN or form in (INTEGER, NUMBER):
            shown = _name(value)
            if form is INTEGER and shown == "number":
                shown = f"number {value}"
            raise self._mismatch(shown, type_)
        if form is INT_OR_STRING:
            shown = (
                f"number {value}" if isinstance(value, int | float) and not isinstance(value, bool) else _name(value)
            )
            raise Mismatch(f"json: cannot unmarshal {shown} into Go value of type int32")
        try:
            return _canonical(value, form)
        except (ValueError, Invalid) as error:
            raise Mismatch(f"{error}: {path}" if path else str(error)) from None

    def _expect(self, value: Any, kind: type, type_: Type) -> Any:
        if type(value) is not kind:
            raise self._mismatch(_name(value), type_)
        return value

    def _mismatch(self, shown: str, type_: Type) -> Mismatch:
        if not self._struct:
            return Mismatch(f"json: cannot unmarshal {shown} into Go value of type {go_name(type_)}")
        place = f"{self._struct}.{'.'.join(self._stack)}"
        return Mismatch(f"json: cannot unmarshal {shown} into Go struct field {place} of type {go_name(type_)}")

    def _unknown(self, key: str, type_: Type, path: str) -> None:
        if len(self.problems) >= PROBLEMS_LIMIT:
            return
        nearest = nearest_name(key, type_) if len(self.problems) < NEAREST_LIMIT else ""
        told = f'unknown field "{join_path(path, key)}"'
        self.problems.append(f'{told}, did you mean "{join_path(path, nearest)}"?' if nearest else told)


def nearest_name(key: str, type_: Type) -> str:
    """The field that was meant, or ""."""
    if len(key) > NEAREST_LENGTH:
        return ""
    lower = {name.lower(): name for name in type_.fields}
    if key.lower() in lower:
        return lower[key.lower()]
    found = difflib.get_close_matches(key.lower(), lower, n=1, cutoff=0.7)
    return lower[found[0]] if found else ""


def go_name(type_: Type) -> str:
    """What the original calls a type in its messages."""
    if type_.go:
        return type_.go
    if type_.name:
        return ".".join(type_.name.split(".")[-2:])
    if type_.form is LIST:
        return f"[]{go_name(_items(type_))}"
    if type_.form is MAP:
        return f"map[string]{go_name(_items(type_))}"
    plain = {STRING: "string", BOOLEAN: "bool", NUMBER: "float64", Form.BYTES: "[]uint8"}
    return plain.get(type_.form) or type_.format or "int64"


def _items(type_: Type) -> Type:
    assert type_.items is not None, f"{type_.form} without the type of its items"
    return type_.items


def _zero(type_: Type) -> Any:
    if type_.form is LIST:
        return []
    return {} if type_.form in (OBJECT, MAP) else zero(type_.form.value)


def _name(value: Any) -> str:
    """What Go calls a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "null"

"""The words that the rules of all kinds are written in: a list of wrong fields, and checks that add to it.

The texts are those of the original's field errors (k8s.io/apimachinery, util/validation/field: reasons are its
ErrorTypes, bodies `KIND: VALUE: DETAIL`), because clients and people match them. Paths are plain strings, made by the
caller: "spec.ports[0].name", "metadata.labels[app]". A check never raises on a value of the schema's type and never
changes what it looks at.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause
from boxship.errors import Invalid

NOT_NEGATIVE = "must be greater than or equal to 0"
NOT_POSITIVE = "must be greater than zero"
IMMUTABLE = "field is immutable"
PORT_RANGE = "must be between 1 and 65535, inclusive"
CAUSES_LIMIT = 1000  # wrong fields that are told of; a body of a few megabytes can have many more
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def quote(text: str) -> str:
    """As Go's %q prints a string."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    parts = ['"']
    for char in text:
        if char in '"\\':
            parts.append("\\" + char)
        elif char.isprintable():
            parts.append(char)
        else:
            code = ord(char)
            wide = f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
            parts.append(_ESCAPES.get(char) or (f"\\x{code:02x}" if code < 0x80 else wide))
    parts.append('"')
    return "".join(parts)


def show(value: Any) -> str:
    """A wrong value as messages show it: strings quoted, numbers plain, everything else as JSON."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True, default=str)


class Enough(Invalid):
    """So much is wrong that nobody has to look on."""

    def __init__(self, causes: Sequence[Cause]) -> None:
        super().__init__("too much is wrong")
        self.causes = causes


class Found:
    """The wrong fields of one object, in the order in which they were seen."""

    __slots__ = ("causes",)

    def __init__(self) -> None:
        self.causes: list[Cause] = []

    def add(self, reason: str, path: str, message: str) -> None:
        """Raises Enough."""
        if len(self.causes) >= CAUSES_LIMIT:
            raise Enough(self.causes)
        self.causes.append(Cause(reason=reason, field=path, message=message))

    def required(self, path: str, detail: str = "") -> None:
        self.add("FieldValueRequired", path, f"Required value: {detail}" if detail else "Required value")

    def invalid(self, path: str, value: Any, detail: str = "") -> None:
        shown = f"Invalid value: {show(value)}"
        self.add("FieldValueInvalid", path, f"{shown}: {detail}" if detail else shown)

    def unsupported(self, path: str, value: Any, choices: Iterable[str] = ()) -> None:
        listed = ", ".join(quote(choice) for choice in choices)
        shown = f"Unsupported value: {show(value)}"
        self.add("FieldValueNotSupported", path, f"{shown}: supported values: {listed}" if listed else shown)

    def duplicate(self, path: str, value: Any) -> None:
        self.add("FieldValueDuplicate", path, f"Duplicate value: {show(value)}")

    def forbidden(self, path: str, detail: str) -> None:
        self.add("FieldValueForbidden", path, f"Forbidden: {detail}")

    def not_found(self, path: str, value: Any) -> None:
        self.add("FieldValueNotFound", path, f"Not found: {show(value)}")

    def too_long(self, path: str, limit: int) -> None:
        unit = "byte" if limit == 1 else "bytes"
        self.add("FieldValueTooLong", path, f"Too long: may not be more than {limit} {unit}")

    def too_many(self, path: str, count: int, limit: int) -> None:
        unit = "item" if limit == 1 else "items"
        self.add("FieldValueTooMany", path, f"Too many: {count}: must have at most {limit} {unit}")

    def wrong_type(self, path: str, value: Any, detail: str) -> None:
        self.add("FieldValueTypeInvalid", path, f"Invalid value: {show(value)}: {detail}")

    def because(self, path: str, value: Any, why: str) -> None:
        """Invalid where `why` says why; the checks of `names` and `quantity` answer "" for a right value."""
        if why:
            self.invalid(path, value, why)


def choice(
    found: Found, object: Mapping[str, Any], key: str, path: str, choices: Collection[str], need: str | None = ""
) -> None:
    """One of `choices` at `key` of `object`, which is at `path`. An absent one is wrong, with `need` as the detail;
    `need` None: it may be absent."""
    value = object.get(key)
    if value in choices and value != "":
        return
    if not value:
        if need is not None:
            found.required(f"{path}.{key}", need)
        return
    found.unsupported(f"{path}.{key}", value, sorted(choices))


def needed(found: Found, object: Mapping[str, Any], path: str, *keys: str) -> None:
    """None of the keys is absent or empty."""
    for key in keys:
        if object.get(key) in (None, "", [], {}):
            found.required(f"{path}.{key}")


def non_negative(found: Found, object: Mapping[str, Any], path: str, *keys: str) -> None:
    for key in keys:
        value = object.get(key)
        if value is not None and value < 0:
            found.invalid(f"{path}.{key}", value, NOT_NEGATIVE)


def positive(found: Found, object: Mapping[str, Any], path: str, *keys: str) -> None:
    for key in keys:
        value = object.get(key)
        if value is not None and value <= 0:
            found.invalid(f"{path}.{key}", value, NOT_POSITIVE)


def between(found: Found, value: int | None, path: str, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        found.invalid(path, value, f"must be between {low} and {high}, inclusive")


def immutable(found: Found, new: Any, old: Any, path: str) -> None:
    """`new` is what was there; absent and empty are the same."""
    if new != old and not (_empty(new) and _empty(old)):
        found.invalid(path, new, IMMUTABLE)


def _empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, dict | list) and not value)


def one_of(found: Found, object: Mapping[str, Any], path: str, keys: Iterable[str], many: str) -> str:
    """Which single one of `keys` is in `object`, or "". Each further one is forbidden, with the text `many`."""
    first = ""
    for key in keys:
        if object.get(key) is not None:
            if first:
                found.forbidden(f"{path}.{key}", many)
            else:
                first = key
    return first


def unique(found: Found, items: Iterable[Mapping[str, Any]], path: str, key: str) -> None:
    """No two items have the same value at `key`."""
    seen = set()
    for index, item in enumerate(items):
        value = item.get(key)
        if value in seen:
            found.duplicate(f"{path}[{index}].{key}", value)
        seen.add(value)


def child(object: Object, key: str) -> Object:
    """The object at `key`, made where it is absent; for defaults."""
    value: Object | None = object.get(key)
    if value is None:
        value = object[key] = {}
    return value


def fill(object: Object, defaults: Mapping[str, Any]) -> None:
    """Set what is absent. The defaults are scalars."""
    for key, value in defaults.items():
        if object.get(key) is None:
            object[key] = value


def kept(new: Object, old: Object, *keys: str) -> None:
    """What a client may not change comes back from the old object."""
    for key in keys:
        if key in old:
            new[key] = old[key]
        else:
            new.pop(key, None)

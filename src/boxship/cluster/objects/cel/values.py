"""Values of CEL that JSON does not have, how values of a schema become CEL's, and how they are compared.

null, bool, int, double, string, list and map are Python's own. The rest are the small classes here. A duration and a
timestamp count nanoseconds, as the original's do.
"""

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from boxship.cluster.objects.cel.kinds import Kind
from boxship.cluster.objects.schema.types import Type

SECOND = 1_000_000_000  # nanoseconds
UNITS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 1_000_000, "us": 1000, "µs": 1000, "ns": 1}
LONGEST = 315_576_000_000 * SECOND
INT_LIMIT = 1 << 63


class Failed(Exception):
    """An expression that cannot be evaluated; `str` is cel-go's text."""


class Exhausted(Failed):
    """An expression that was stopped because it took too much; no || or && may swallow it."""


class UInt(int):
    """An unsigned 64-bit number."""


class Duration(msgspec.Struct, frozen=True, order=True):
    nanos: int

    @property
    def text(self) -> str:
        """Seconds, as CEL prints it ("90s", "1.5s")."""
        sign, nanos = ("-", -self.nanos) if self.nanos < 0 else ("", self.nanos)
        whole, rest = divmod(nanos, SECOND)
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        return f"{sign}{whole}{fraction}s"


_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)", re.ASCII)


def duration(text: str) -> Duration:
    """As Go's time.ParseDuration reads it."""
    body = text.lstrip("+-") if text[:1] in "+-" else text
    nanos, place = 0, 0
    for found in _DURATION.finditer(body):
        if found.start() != place or len(found[1]) > 30:
            break
        whole, _, fraction = found[1].partition(".")
        unit = UNITS[found[2]]
        nanos += int(whole or "0") * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
        place = found.end()
    if (body != "0" and (not body or place != len(body))) or len(text) - len(body) > 1 or nanos > LONGEST:
        raise Failed(f"time: invalid duration {msgspec.json.encode(text).decode()}")
    return Duration(-nanos if text.startswith("-") else nanos)


class Timestamp(msgspec.Struct, frozen=True, order=True):
    """Nanoseconds since 1970."""

    nanos: int

    def moment(self, zone: str | None = None) -> datetime:
        seconds, nanos = divmod(self.nanos, SECOND)
        found = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=nanos // 1000)
        return found.astimezone(_zone(zone)) if zone else found

    @property
    def text(self) -> str:
        rest = self.nanos % SECOND
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        return self.moment().strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + fraction + "Z"


_OFFSET = re.compile(r"([+-]?)([0-9]{1,2}):([0-9]{2})", re.ASCII)


def _zone(name: str) -> tzinfo:
    found = _OFFSET.fullmatch(name)
    if found:
        minutes = int(found[2]) * 60 + int(found[3])
        return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Failed(f"unknown time zone {name}") from None


_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|z|[+-]\d\d:\d\d))?", re.ASCII
)


def timestamp(text: str) -> Timestamp:
    """RFC 3339, or a bare date."""
    found = _TIMESTAMP.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        shown = msgspec.json.encode(text).decode()
        raise Failed(f'parsing time {shown} as "2006-01-02T15:04:05Z07:00": cannot parse {shown}') from None
    nanos = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * SECOND
    nanos += int((found[7] or "0").ljust(9, "0"))
    offset = found[8] or "Z"
    if offset not in "Zz":
        minutes = int(offset[1:3]) * 60 + int(offset[4:])
        nanos -= (minutes if offset[0] == "+" else -minutes) * 60 * SECOND
    return Timestamp(nanos)


class Optional(msgspec.Struct, frozen=True):
    """A value that may not be there."""

    present: bool = False
    value: Any = None


ABSENT = Optional()


class TypeValue(msgspec.Struct, frozen=True):
    """What type() gives."""

    name: str


def type_name(value: Any) -> str:
    """The CEL type of a value at run time."""
    for types, name in _TYPES:
        if isinstance(value, types):
            return name
    return str(getattr(value, "cel_type", type(value).__name__))


_TYPES: tuple[tuple[Any, str], ...] = (
    (bool, "bool"),
    (UInt, "uint"),
    (int, "int"),
    (float, "double"),
    (str, "string"),
    (bytes, "bytes"),
    (list, "list"),
    (dict, "map"),
    (Timestamp, "google.protobuf.Timestamp"),
    (Duration, "google.protobuf.Duration"),
    (Optional, "optional_type"),
    (TypeValue, "type"),
    (type(None), "null_type"),
)


def equal(one: Any, other: Any) -> bool:
    """CEL's equality: numbers by value across types, everything else only within its own."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict):
        if not isinstance(other, dict) or len(one) != len(other):
            return False
        return all(key in other and equal(part, other[key]) for key, part in one.items())
    if isinstance(one, list):
        if not isinstance(other, list) or len(one) != len(other):
            return False
        return all(equal(part, counterpart) for part, counterpart in zip(one, other, strict=True))
    if isinstance(one, Optional) and isinstance(other, Optional):
        return one.present == other.present and equal(one.value, other.value)
    return bool(one == other)


WEIGHT_LIMIT = 1_000_000


def weight(value: Any) -> int:
    """How many parts a comparison of the value may look at."""
    if not isinstance(value, dict | list):
        return 1
    total, waiting = 0, [value]
    while waiting and total < WEIGHT_LIMIT:
        part = waiting.pop()
        total += len(part)
        waiting += [
            below for below in (part.values() if isinstance(part, dict) else part) if type(below) in (dict, list)
        ]
    return total + 1


def named(items: list[Any], type_: Type) -> dict[Any, Any]:
    """Items of a list that is a set or a map, by what names them."""
    if type_.list_type == "set":
        return {_frozen(item): item for item in items}
    return {tuple(_frozen(item.get(key)) for key in type_.list_keys): item for item in items if isinstance(item, dict)}


def _frozen(value: Any) -> Any:
    if isinstance(value, dict | list):
        return msgspec.json.encode(value, order="sorted")
    return (type(value).__name__ if isinstance(value, bool) else "", value)


def unordered(kind: Kind) -> bool:
    """Whether the order of such a list says nothing."""
    schema = kind.schema
    return kind.name == "list" and isinstance(schema, Type) and schema.list_type in ("set", "map")


def equal_lists(one: list[Any], other: list[Any], type_: Type) -> bool:
    """Equality of lists that are sets or maps: in any order."""
    left, right = named(one, type_), named(other, type_)
    return len(one) == len(other) and all(key in right and equal(item, right[key]) for key, item in left.items())


def added_lists(one: list[Any], other: list[Any], type_: Type) -> list[Any]:
    """`+` of lists that are sets or maps: items of the second replace those of the first that they are named as."""
    found = named(one, type_)
    found.update(named(other, type_))
    return list(found.values())


def _bytes(value: Any) -> Any:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else value
    except binascii.Error:
        raise Failed("illegal base64 data") from None


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "double": lambda value: float(value) if type(value) is int else value,
    "google.protobuf.Timestamp": lambda value: timestamp(value) if isinstance(value, str) else value,
    "google.protobuf.Duration": lambda value: duration(value) if isinstance(value, str) else value,
    "bytes": _bytes,
}


def adapter(kind: Kind) -> Callable[[Any], Any] | None:
    """What makes a CEL value of a JSON value of that type; None where they are the same."""
    scalar = _SCALARS.get(kind.name)
    if scalar is not None:
        return scalar
    if kind.name not in ("list", "map"):
        return None
    inner = adapter(kind.parts[-1])
    if inner is None:
        return None
    if kind.name == "list":
        return lambda value: [inner(item) for item in value] if isinstance(value, list) else value
    return lambda value: {key: inner(item) for key, item in value.items()} if isinstance(value, dict) else value


def plain(value: Any) -> Any:
    """The JSON value of a CEL value, for what is put into objects."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, Timestamp | Duration):
        return value.text
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, UInt):
        return int(value)
    if isinstance(value, Optional):
        return plain(value.value) if value.present else None
    text = getattr(value, "text", None)
    return text if isinstance(text, str) else value

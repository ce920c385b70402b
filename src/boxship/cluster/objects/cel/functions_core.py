"""CEL's own functions: sizes, conversions, time, optional values."""

import math
from collections.abc import Callable
from typing import Any

from boxship.cluster.objects.cel import values
from boxship.cluster.objects.cel.operators import NO_OVERLOAD, checked_int, checked_uint, shown
from boxship.cluster.objects.cel.values import SECOND, Duration, Failed, Optional, Timestamp, TypeValue, UInt


def _size(value: Any) -> int:
    return len(value)


def _to_int(value: Any) -> int:
    if isinstance(value, str):
        body = value[1:] if value[:1] in "+-" else value
        if not (body.isascii() and body.isdigit()) or len(body) > 20:
            raise Failed(f'strconv.ParseInt: parsing "{value}": invalid syntax')
        return checked_int(int(value))
    if isinstance(value, float):
        if not math.isfinite(value) or not -(2.0**63) < value < 2.0**63:
            raise Failed("integer overflow")
        return int(value)
    if isinstance(value, Timestamp):
        return value.nanos // SECOND
    if isinstance(value, Duration):
        return value.nanos
    return checked_int(int(value))


def _to_uint(value: Any) -> UInt:
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit()) or len(value) > 20:
            raise Failed(f'strconv.ParseUint: parsing "{value}": invalid syntax')
        return checked_uint(int(value))
    if isinstance(value, float) and not math.isfinite(value):
        raise Failed("unsigned integer overflow")
    return checked_uint(int(value))


def _to_double(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise Failed(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from None


def _to_string(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Failed("invalid UTF-8 in bytes, cannot convert to string") from None
    if isinstance(value, float):
        return number_text(value)
    text = getattr(value, "text", None)
    return text if isinstance(text, str) else shown(value)


def number_text(value: float) -> str:
    """As Go prints a double."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa}e{int(exponent):+03d}" if exponent else mantissa


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "True", "TRUE", "t", "T", "1"):
        return True
    if value in ("false", "False", "FALSE", "f", "F", "0"):
        return False
    raise Failed(f'strconv.ParseBool: parsing "{value}": invalid syntax')


def _to_timestamp(value: Any) -> Timestamp:
    return Timestamp(value * SECOND) if isinstance(value, int) else values.timestamp(value)


def _to_duration(value: Any) -> Duration:
    return Duration(value) if isinstance(value, int) else values.duration(value)


def _same(value: Any) -> Any:
    return value


def _part(read: Callable[[Any], int]) -> Callable[..., int]:
    """A part of a timestamp, in UTC or another zone."""

    def run(value: Timestamp, zone: str | None = None) -> int:
        try:
            return read(value.moment(zone))
        except OverflowError:
            raise Failed("timestamp overflow") from None

    return run


_PARTS: dict[str, Callable[[Any], int]] = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
    "getMilliseconds": lambda moment: moment.microsecond // 1000,
}
_LENGTHS = {"getHours": 3600 * SECOND, "getMinutes": 60 * SECOND, "getSeconds": SECOND, "getMilliseconds": 10**6}


def _length(unit: int) -> Callable[[Duration], int]:
    return lambda value: int(math.copysign(abs(value.nanos) // unit, value.nanos))


def _value(optional: Any) -> Any:
    if not optional.present:
        raise Failed("optional.none() dereference")
    return optional.value


def _non_zero(value: Any) -> Optional:
    return Optional(True, value) if value not in (None, 0, False, "", b"", [], {}) else values.ABSENT


def _first(group: Any) -> Optional:
    return Optional(True, group[0]) if group else values.ABSENT


def _last(group: Any) -> Optional:
    return Optional(True, group[-1]) if group else values.ABSENT


def _type(value: Any) -> TypeValue:
    if not isinstance(value, object):
        raise Failed(NO_OVERLOAD)
    return TypeValue(values.type_name(value))


CONVERSIONS: list[tuple[str, Callable[..., Any]]] = [
    *((f"int({kind}) -> int", _to_int) for kind in ("int", "uint", "double", "string", "timestamp", "duration")),
    *((f"uint({kind}) -> uint", _to_uint) for kind in ("int", "uint", "double", "string")),
    *((f"double({kind}) -> double", _to_double) for kind in ("int", "uint", "double", "string")),
    *(
        (f"string({kind}) -> string", _to_string)
        for kind in ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "url", "ip", "cidr")
    ),
    ("bytes(bytes) -> bytes", _same),
    ("bytes(string) -> bytes", lambda text: text.encode()),
    ("bool(bool) -> bool", _to_bool),
    ("bool(string) -> bool", _to_bool),
    ("timestamp(timestamp) -> timestamp", _same),
    ("timestamp(string) -> timestamp", _to_timestamp),
    ("timestamp(int) -> timestamp", _to_timestamp),
    ("duration(duration) -> duration", _same),
    ("duration(string) -> duration", _to_duration),
    ("duration(int) -> duration", _to_duration),
    ("dyn(A) -> dyn", _same),
    ("type(A) -> type", _type),
]
SIZES: list[tuple[str, Callable[..., Any]]] = [
    (form, _size)
    for kind in ("string", "bytes", "list(A)", "map(A,B)")
    for form in (f"size({kind}) -> int", f"{kind}.size() -> int")
]
TIME: list[tuple[str, Callable[..., Any]]] = [
    *((f"timestamp.{name}() -> int", _part(read)) for name, read in _PARTS.items()),
    *((f"timestamp.{name}(string) -> int", _part(read)) for name, read in _PARTS.items()),
    *((f"duration.{name}() -> int", _length(unit)) for name, unit in _LENGTHS.items()),
]
OPTIONALS: list[tuple[str, Callable[..., Any]]] = [
    ("!optional.of(A) -> optional(A)", lambda value: Optional(True, value)),
    ("!optional.none() -> optional(A)", lambda: values.ABSENT),
    ("!optional.ofNonZeroValue(A) -> optional(A)", _non_zero),
    ("optional(A).hasValue() -> bool", lambda optional: optional.present),
    ("optional(A).value() -> A", _value),
    ("optional(A).orValue(A) -> A", lambda optional, other: optional.value if optional.present else other),
    ("optional(A).or(optional(A)) -> optional(A)", lambda optional, other: optional if optional.present else other),
    ("list(A).first() -> optional(A)", _first),
    ("list(A).last() -> optional(A)", _last),
]

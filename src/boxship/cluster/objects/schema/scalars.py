"""Values that are more than their JSON type: times, bytes, numbers of a size. Each function takes what a client wrote
and returns what is stored for it; ValueError carries the original's text (those of Go's `time`, `base64` and `json`).
"""

import base64
import binascii
import functools
import re
from datetime import UTC, datetime
from typing import Any

LAYOUT = "2006-01-02T15:04:05Z07:00"
MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
SHOWN_LIMIT = 100  # characters of a wrong value in a message

# The parts of a time in the order in which the original meets them, each with its name in the layout.
_PARTS = tuple(
    (name, re.compile(pattern, re.ASCII))
    for name, pattern in (
        ("2006", r"\d{4}"),
        ("-", "-"),
        ("01", r"\d\d"),
        ("-", "-"),
        ("02", r"\d\d"),
        ("T", "T"),
        ("15", r"\d\d?"),
        (":", ":"),
        ("04", r"\d\d"),
        (":", ":"),
        ("05", r"\d\d(?:[.,]\d+)?"),
        ("Z07:00", r"Z|[+-]\d\d:\d\d"),
    )
)
_RANGES = (
    ("month", re.compile(r"\d{4}-(\d\d)", re.ASCII), 1, 12),
    ("day", re.compile(r"\d{4}-\d\d-(\d\d)", re.ASCII), 1, 31),
    ("hour", re.compile(r".{10}T(\d\d?)", re.ASCII), 0, 23),
    ("minute", re.compile(r".{10}T\d\d?:(\d\d)", re.ASCII), 0, 59),
    ("second", re.compile(r".{10}T\d\d?:\d\d:(\d\d)", re.ASCII), 0, 59),
)
_FRACTION = re.compile(r"[.,](\d+)", re.ASCII)
_ALPHABET = re.compile(rb"[A-Za-z0-9+/]*")


@functools.lru_cache(maxsize=1024)
def canonical_time(text: str) -> str:
    """RFC 3339 in UTC with whole seconds."""
    return _moment(text, LAYOUT)[0].strftime("%Y-%m-%dT%H:%M:%SZ")


@functools.lru_cache(maxsize=1024)
def canonical_micro_time(text: str) -> str:
    moment, fraction = _moment(text, MICRO_LAYOUT)
    return f"{moment.strftime('%Y-%m-%dT%H:%M:%S')}.{fraction.ljust(6, '0')[:6]}Z"


def _moment(text: str, layout: str) -> tuple[datetime, str]:
    if len(text) > SHOWN_LIMIT:
        text = text[:SHOWN_LIMIT]
    rest = text
    for name, pattern in _PARTS:
        found = pattern.match(rest)
        if found is None:
            raise ValueError(f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{name}"')
        rest = rest[found.end() :]
    if rest:
        raise ValueError(f'parsing time "{text}": extra text: "{rest}"')
    for name, pattern, lowest, highest in _RANGES:
        found = pattern.match(text)
        if found and not lowest <= int(found[1]) <= highest:
            raise ValueError(f'parsing time "{text}": {name} out of range')
    found = _FRACTION.search(text)
    whole = text[: found.start()] + text[found.end() :] if found else text
    if whole[12] == ":":
        whole = f"{whole[:11]}0{whole[11:]}"
    try:
        return datetime.fromisoformat(whole).astimezone(UTC), found[1] if found else ""
    except ValueError:
        raise ValueError(f'parsing time "{text}": day out of range') from None
    except OverflowError:
        raise ValueError(f'parsing time "{text}": year out of range') from None


def canonical_bytes(text: str) -> str:
    """Base64 as the original writes it: padded, in one line."""
    data = text.encode("utf-8", "replace")
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error:
        data = data.replace(b"\n", b"").replace(b"\r", b"")
        try:
            decoded = base64.b64decode(data, validate=True)
        except binascii.Error:
            raise ValueError(f"illegal base64 data at input byte {_wrong_byte(data)}") from None
        return base64.b64encode(decoded).decode()
    return text


def _wrong_byte(data: bytes) -> int:
    found = _ALPHABET.match(data)
    end = found.end() if found else 0
    return end if end < len(data) else max(0, len(data) - len(data) % 4)


def in_range(value: int, format_: str) -> bool:
    """Whether a whole number fits the Go type that its format names."""
    if format_ == "int32":
        return -(1 << 31) <= value < 1 << 31
    return -(1 << 63) <= value < 1 << 63


def zero(form: str) -> Any:
    """What Go makes of null inside a list or a map."""
    return {
        "string": "",
        "integer": 0,
        "number": 0,
        "boolean": False,
        "quantity": "0",
        "bytes": "",
        "int-or-string": 0,
    }.get(form)

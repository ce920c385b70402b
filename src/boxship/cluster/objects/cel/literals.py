"""Literals of CEL: from the text in an expression to a value and its type. Raises ValueError for a wrong one."""

import re
from collections.abc import Callable
from typing import Any

from boxship.cluster.objects.cel import kinds
from boxship.cluster.objects.cel.kinds import Kind
from boxship.cluster.objects.cel.values import UInt


def _integer(text: str) -> tuple[int, Kind]:
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    value = sign * (int(digits, 16) if digits.lower().startswith("0x") else int(digits))
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError("out of range")
    return value, kinds.INT


def _unsigned(text: str) -> tuple[int, Kind]:
    digits = text[:-1]
    value = int(digits, 16) if digits.lower().startswith("0x") else int(digits)
    if not 0 <= value < 1 << 64:
        raise ValueError("out of range")
    return UInt(value), kinds.UINT


_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)
_PLAIN = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))


def _body(text: str) -> tuple[str, bool]:
    """What stands between the quotes, and whether it is raw."""
    raw = text[:1] in "rR"
    if raw:
        text = text[1:]
    width = 3 if text[:3] in ('"""', "'''") else 1
    return text[width:-width], raw


def _string(text: str) -> tuple[str, Kind]:
    body, raw = _body(text)
    return body if raw else _ESCAPE.sub(_character, body), kinds.STRING


def _character(found: re.Match[str]) -> str:
    code, plain = found[1] or found[2] or found[3], found[5]
    if plain is not None:
        if plain in _PLAIN:
            return _PLAIN[plain]
        if plain in "\\\"'`?":
            return plain
        raise ValueError(f"unable to unescape \\{plain}")
    return chr(int(code, 16)) if code else chr(int(found[4], 8))


def _bytes(text: str) -> tuple[bytes, Kind]:
    body, raw = _body(text[1:])
    if raw:
        return body.encode(), kinds.BYTES
    result, place = bytearray(), 0
    for found in _ESCAPE.finditer(body):
        result += body[place : found.start()].encode()
        byte = found[1] or found[4]
        result += bytes([int(byte, 16 if found[1] else 8)]) if byte else _character(found).encode()
        place = found.end()
    return bytes(result + body[place:].encode()), kinds.BYTES


READERS: dict[str, Callable[[str], tuple[Any, Kind]]] = {
    "INT_LIT": _integer,
    "UINT_LIT": _unsigned,
    "FLOAT_LIT": lambda text: (float(text), kinds.DOUBLE),
    "STRING_LIT": _string,
    "MLSTRING_LIT": _string,
    "BYTES_LIT": _bytes,
    "BOOL_LIT": lambda text: (text == "true", kinds.BOOL),
    "NULL_LIT": lambda text: (None, kinds.NULL),
    "IDENT": lambda text: (text == "true", kinds.BOOL),
}

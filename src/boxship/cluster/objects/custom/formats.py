"""The formats of strings that the original knows (kube-openapi, strfmt); one that is not here is not checked."""

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date
from urllib.parse import urlsplit

from boxship.cluster.objects.schema.scalars import canonical_time

_DURATION_PARTS = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)
_LONG_DURATION = re.compile(
    r"\d+\s*(?:ns|nano|us|\u00b5s|micro|ms|milli|s|sec|m|min|h|hr|hour|d|day|w|wk|week)\w*", re.ASCII
)
_HOSTNAME = re.compile(r"(?=.{1,255}$)(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+", re.ASCII)
_MAC = re.compile(
    r"(?:[0-9A-Fa-f]{2}[:-]){5}(?:[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){0,2})|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}"
)
_HEX_COLOR = re.compile(r"#?(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})")
_RGB_COLOR = re.compile(r"rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)", re.ASCII)
_SSN = re.compile(r"\d{3}[- ]?\d{2}[- ]?\d{4}", re.ASCII)
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_CARD = re.compile(r"[\d -]{12,23}", re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_LONG_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")


def _whole(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _date_time(text: str) -> bool:
    try:
        canonical_time(text.upper() if text[-1:] == "z" else text)
    except ValueError:
        return False
    return True


def _date(text: str) -> bool:
    try:
        return len(text) == 10 and bool(date.fromisoformat(text))
    except ValueError:
        return False


def is_duration(text: str) -> bool:
    """As Go writes one ("1h30m"), or in words ("3 days")."""
    bare = text.lstrip("+-") if text[:1] in "+-" and text else text
    if bare == "0" or (bare and not _DURATION_PARTS.sub("", bare)):
        return True
    return _LONG_DURATION.fullmatch(text) is not None


def _bytes(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(text) and not set(text) & set(" <>\n") and (bool(parts.scheme) or text.startswith("/"))


def _address(version: int) -> Callable[[str], bool]:
    def test(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version and "%" not in text
        except ValueError:
            return False

    return test


def _network(text: str) -> bool:
    try:
        return "/" in text and bool(ipaddress.ip_interface(text))
    except ValueError:
        return False


def _uuid(version: int = 0) -> Callable[[str], bool]:
    def test(text: str) -> bool:
        try:
            found = uuid.UUID(text)
        except ValueError:
            return False
        return found.version == version if version else True

    return test


def _isbn10(text: str) -> bool:
    digits = text.replace("-", "").replace(" ", "").upper()
    if re.fullmatch(r"\d{9}[\dX]", digits, re.ASCII) is None:
        return False
    return sum((10 - index) * (10 if digit == "X" else int(digit)) for index, digit in enumerate(digits)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = text.replace("-", "").replace(" ", "")
    if re.fullmatch(r"\d{13}", digits, re.ASCII) is None:
        return False
    return sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(digits)) % 10 == 0


def _any(_: str) -> bool:
    return True


FORMATS: Mapping[str, Callable[[str], bool]] = {
    "bsonobjectid": _whole(_OBJECT_ID),
    "uri": _uri,
    "email": _whole(_EMAIL),
    "hostname": _whole(_HOSTNAME),
    "ipv4": _address(4),
    "ipv6": _address(6),
    "cidr": _network,
    "mac": _whole(_MAC),
    "uuid": _uuid(),
    "uuid3": _uuid(3),
    "uuid4": _uuid(4),
    "uuid5": _uuid(5),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _whole(_CARD),
    "ssn": _whole(_SSN),
    "hexcolor": _whole(_HEX_COLOR),
    "rgbcolor": _whole(_RGB_COLOR),
    "byte": _bytes,
    "password": _any,
    "date": _date,
    "duration": is_duration,
    "date-time": _date_time,
    "datetime": _date_time,
    "k8s-short-name": _whole(_LABEL),
    "k8s-long-name": _whole(_LONG_NAME),
}

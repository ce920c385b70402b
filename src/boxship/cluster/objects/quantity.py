"""Amounts as Kubernetes writes them: "100m", "1.5Gi", "2e3".

Exact: a Quantity is a whole number of billionths. What is finer is rounded away from zero, as the original does, so
that who asks for some of a resource gets some. The text is the original's canonical form: whole, with the largest
suffix of the same family. Source: k8s.io/apimachinery, `pkg/api/resource`.
"""

import functools
import re
from collections.abc import Iterable

import msgspec

from boxship.errors import Invalid

NANO = 10**9
LARGEST_BINARY = (1 << 63) - 1
EXPONENT_LIMIT = 1000  # digits; larger numbers would only take memory
DIGITS_LIMIT = 1000

DECIMAL = "DecimalSI"
BINARY = "BinarySI"
EXPONENT = "DecimalExponent"

_DECIMAL_SUFFIXES = {
    "n": -9,
    "u": -6,
    "m": -3,
    "": 0,
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
    "P": 15,
    "E": 18,
}
_DECIMAL_NAMES = {exponent: suffix for suffix, exponent in _DECIMAL_SUFFIXES.items()}
_BINARY_SUFFIXES = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_BINARY_NAMES = {exponent: suffix for suffix, exponent in _BINARY_SUFFIXES.items()}

_SHAPE = re.compile(r"([+-]?)([0-9]*)(?:(\.)([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_EXPONENT = re.compile(r"[eE]([-+]?[0-9]+)", re.ASCII)

WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
WRONG_NUMBER = "unable to parse numeric part of quantity"
WRONG_SUFFIX = "unable to parse quantity's suffix"


class Quantity(msgspec.Struct, frozen=True, order=False, eq=False):
    """`nanos` billionths; `family` of suffixes it is written with; `written`: as it came, where that is canonical."""

    nanos: int = 0
    family: str = DECIMAL
    written: str = ""

    @property
    def text(self) -> str:
        """The canonical form."""
        return self.written or _canonical(self.nanos, self.family)

    @property
    def value(self) -> int:
        """Whole units, rounded away from zero."""
        return _rounded(self.nanos, NANO)

    @property
    def milli(self) -> int:
        """Thousandths, rounded away from zero."""
        return _rounded(self.nanos, NANO // 1000)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __lt__(self, other: "Quantity") -> bool:
        return self.nanos < other.nanos

    def __le__(self, other: "Quantity") -> bool:
        return self.nanos <= other.nanos

    def __gt__(self, other: "Quantity") -> bool:
        return self.nanos > other.nanos

    def __ge__(self, other: "Quantity") -> bool:
        return self.nanos >= other.nanos

    def __add__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.nanos + other.nanos, self.family if self.nanos else other.family)

    def __sub__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.nanos - other.nanos, self.family if self.nanos else other.family)

    def __neg__(self) -> "Quantity":
        return Quantity(-self.nanos, self.family)

    def __bool__(self) -> bool:
        return self.nanos != 0

    def __str__(self) -> str:
        return self.text


ZERO = Quantity(0, DECIMAL, "0")


def parse(value: str | int | float) -> Quantity:
    """The quantity of a text or a JSON number. Raises Invalid with the original's text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Invalid(WRONG_FORMAT)
    return _parse(value.strip() if isinstance(value, str) else repr(value))


def canonical(value: str | int | float) -> str:
    """The text that is stored for what a client wrote."""
    return parse(value).text


def total(quantities: Iterable[Quantity]) -> Quantity:
    result = Quantity()
    for quantity in quantities:
        result = result + quantity
    return result


def of(amount: int, family: str = DECIMAL) -> Quantity:
    """A whole number of units."""
    return Quantity(amount * NANO, family)


def of_milli(amount: int) -> Quantity:
    return Quantity(amount * (NANO // 1000))


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    if text == "0":
        return ZERO
    found = _SHAPE.fullmatch(text)
    if not text or found is None:
        raise Invalid(WRONG_FORMAT)
    sign, whole, _, fraction, suffix = found.groups()
    whole, fraction = whole.lstrip("0") or "0", fraction or ""
    if len(whole) + len(fraction) > DIGITS_LIMIT:
        raise Invalid(WRONG_NUMBER)
    digits = whole + fraction
    number = int(digits)
    if suffix in _BINARY_SUFFIXES:
        power, family = _BINARY_SUFFIXES[suffix], BINARY
        nanos = -(-number * (1 << power) * NANO // 10 ** len(fraction))
        nanos = min(nanos, LARGEST_BINARY * NANO)
        kept = not fraction and bool(number & 7) and len(whole) + power * 3 // 10 <= 14
        if 0 < nanos < NANO:
            family = DECIMAL
    else:
        scale, family = _decimal_scale(suffix)
        scale -= len(fraction)
        nanos = number * 10 ** (scale + 9) if scale >= -9 else _fine(number, scale)
        plain = scale >= -9 and scale % 3 == 0 and len(digits) <= 18
        kept = plain and not digits.endswith("000") and digits[0] != "0"
    return Quantity(-nanos if sign == "-" else nanos, family, text if kept else "")


def _decimal_scale(suffix: str) -> tuple[int, str]:
    if suffix in _DECIMAL_SUFFIXES:
        return _DECIMAL_SUFFIXES[suffix], DECIMAL
    found = _EXPONENT.fullmatch(suffix)
    if found is None or len(found[1]) > 18 or int(found[1]) > EXPONENT_LIMIT:
        raise Invalid(WRONG_SUFFIX)
    return int(found[1]), EXPONENT


def _fine(number: int, scale: int) -> int:
    """Billionths of number * 10**scale for a scale below -9, rounded up."""
    if not number:
        return 0
    places = -9 - scale
    return 1 if places > DIGITS_LIMIT * 2 else -(-number // 10**places)


def _rounded(nanos: int, unit: int) -> int:
    return -(-nanos // unit) if nanos >= 0 else nanos // unit


def _canonical(nanos: int, family: str) -> str:
    if not nanos:
        return "0"
    if family == BINARY and (nanos % NANO or abs(nanos) < 1024 * NANO):
        family = DECIMAL
    if family == BINARY:
        amount, power = nanos // NANO, 0
        while amount % 1024 == 0 and power < 60:
            amount, power = amount // 1024, power + 10
        return f"{amount}{_BINARY_NAMES.get(power, '')}"
    amount, scale = nanos, -9
    while amount % 1000 == 0 and (family == EXPONENT or scale < 18):
        amount, scale = amount // 1000, scale + 3
    if family == EXPONENT:
        return f"{amount}e{scale}" if scale else str(amount)
    return f"{amount}{_DECIMAL_NAMES[scale]}"

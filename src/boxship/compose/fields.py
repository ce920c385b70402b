"""Reads the values of single fields: booleans, numbers, sizes, durations, modes and commands written as text.

Functions take the text and raise ValueError with the reason; `canonical` adds the place. It must never see a tree.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

TRUE = {"true", "yes", "y", "on", "1", "t"}
FALSE = {"false", "no", "n", "off", "0", "f"}
UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+) ?(?:([kmgtp])(i?b)?|b)?", re.IGNORECASE)
# How long each unit of a duration is, in nanoseconds.
SPANS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 24 * 3600 * 10**9,
    "w": 7 * 24 * 3600 * 10**9,
}
OPERATORS = ";&|<>()"
SPAN = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d|w)")


def nearest(name: str, names: Iterable[str]) -> str:
    """Which of the names was probably meant, or the empty string."""
    lower = {other.lower(): other for other in names}
    found = difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=0.5)
    return lower[found[0]] if found else ""


def meant(name: str, names: Iterable[str]) -> str:
    """The end of a message: ` (did you mean "NAME"?)`, or nothing."""
    found = nearest(name, names)
    return f' (did you mean "{found}"?)' if found else ""


def flag(text: str) -> bool:
    lower = text.lower()
    if lower not in TRUE | FALSE:
        raise ValueError(f'must be true or false, not "{text}"')
    return lower in TRUE


def whole(text: str) -> int:
    try:
        return int(text, 0) if re.fullmatch(r"[+-]?0[xob][0-9a-fA-F_]+", text) else int(text)
    except ValueError:
        raise ValueError(f'must be a whole number, not "{text}"') from None


def real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'must be a number, not "{text}"') from None


def size(text: str) -> int:
    """Bytes of "512", "64k", "1.5gb" or "2GiB"; every unit is a power of 1024."""
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'must be a size such as "64m" or "1.5gb", not "{text}"')
    return int(Fraction(match[1]) * 1024 ** UNITS[(match[2] or "").lower()])


def nanoseconds(text: str) -> int:
    """A duration such as "1m30s" or "1.5h"."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    parts = list(SPAN.finditer(rest))
    if not parts or "".join(part[0] for part in parts) != rest:
        raise ValueError(f'must be a duration such as "10s" or "1m30s", not "{text}"')
    return sign * int(sum(Fraction(part[1]) * SPANS[part[2]] for part in parts))


def seconds(text: str) -> float:
    """A duration in seconds; the empty text is 0."""
    return nanoseconds(text) / 1e9 if text else 0.0


def span(nanoseconds: int) -> str:
    """The normal text of a duration: "1m30s", "2m0s", "1.5s", "300ms"."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < 10**9:
        unit = next(unit for unit in ("ms", "µs", "ns") if rest >= SPANS[unit])
        return f"{sign}{_decimal(Fraction(rest, SPANS[unit]))}{unit}"
    minutes, rest = divmod(rest, SPANS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(Fraction(rest, SPANS['s']))}s"
    return sign + (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + text


def mode(text: str) -> int:
    try:
        return int(text.removeprefix("0o"), 8)
    except ValueError:
        raise ValueError(f'must be permission bits in octal such as "0440", not "{text}"') from None


def number(value: float) -> str:
    """A number's text: 1.50 is "1.5", and from a million on a fraction's exponent is written ("1e+06")."""
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    power = len(digits) - 1 + int(exponent) if any(digits) else 0
    if -4 <= power < 6:
        text = f"{abs(Decimal(repr(value))):.{max(-int(exponent), 0)}f}"
    else:
        text = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
        text += f"e{'-' if power < 0 else '+'}{abs(power):02d}"
    return "-" * sign + text


def words(text: str) -> tuple[str, ...]:
    """Splits a command as a shell would, without expanding anything. What a shell would do with the operators is not
    done, so they must be quoted."""
    found: list[str] = []
    word: list[str] | None = None
    quote = ""
    letters = iter(text)
    for letter in letters:
        if letter == "\\" and quote != "'":
            word = [*(word or []), next(letters, "\\")]
        elif quote:
            if letter == quote:
                quote = ""
            else:
                word = [*(word or []), letter]
        elif letter in "'\"":
            quote, word = letter, word or []
        elif letter in OPERATORS:
            raise ValueError(f'has "{letter}" outside quotes, which only a shell understands: write a list')
        elif letter in " \t\r\n":
            found += ["".join(word)] if word is not None else []
            word = None
        else:
            word = [*(word or []), letter]
    if quote:
        raise ValueError(f"has a quote {quote} without its end")
    return (*found, "".join(word)) if word is not None else tuple(found)


def _decimal(value: Fraction) -> str:
    """A number of at most nine decimals, without zeros at its end."""
    whole, rest = divmod(value.numerator * 10**9 // value.denominator, 10**9)
    return f"{whole}.{rest:09d}".rstrip("0") if rest else str(whole)

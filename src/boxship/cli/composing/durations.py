"""Durations of Compose files: Go's form, and days and weeks beside it."""

from __future__ import annotations

import re

from boxship.errors import Invalid
from boxship.spec.duration import HOUR, SECOND, parse_duration

LONG = {"d": 24 * HOUR, "w": 7 * 24 * HOUR}
_LONG_PART = re.compile(r"([0-9]+)([dw])")


def nanoseconds(text: str) -> int:
    """Nanoseconds of "1m30s", "2d" or "1w2d3h"; nothing is 0. Raises Invalid."""
    if not text:
        return 0
    total = sum(int(number) * LONG[unit] for number, unit in _LONG_PART.findall(text))
    rest = _LONG_PART.sub("", text)
    if not rest:
        return total
    if not rest[0].isdigit() and rest[0] not in ".-+":
        raise Invalid(f"invalid duration {text!r}")
    return total + parse_duration(rest)


def seconds(text: str) -> int:
    """Whole seconds, rounded up."""
    return -(-nanoseconds(text) // SECOND)

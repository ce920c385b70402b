"""What a plain YAML scalar means, read as the stock Compose program reads it: the core schema of YAML 1.2 with the
number forms of Go's YAML 3. `yes`, `no`, `on` and `off` are strings, so are times and dates; 017 and 0o17 are fifteen.

It must never look at where a scalar stands: a field's own type is the table of fields' business.
"""

from __future__ import annotations

import math
import re

from boxship.compose.document import Plain

INTEGER_BITS = 64

_WORDS: dict[str, Plain] = {
    "": None,
    **dict.fromkeys(("~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_NUMBER_BEGINS = frozenset("0123456789+-.")
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_BASES = {"x": 16, "o": 8, "b": 2}


def _integer(text: str) -> int | None:
    """The integer that `text` (without underscores) is, or None: also when it takes more than 64 bits."""
    if not _INTEGER.match(text):
        return None
    digits = text.lstrip("+-")
    if digits[:1] == "0" and len(digits) > 1:
        base = _BASES.get(digits[1].lower())
        number = int(digits[2:], base) if base else int(digits, 8)
    else:
        number = int(digits)
    number = -number if text.startswith("-") else number
    return number if -(1 << INTEGER_BITS - 1) <= number < 1 << INTEGER_BITS else None


def resolve(text: str) -> Plain:
    """The value of a plain (unquoted, untagged) scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_BEGINS or len(text) > 400:  # longer than any number's text
        return text
    digits = text.replace("_", "")
    number = None if text[0] == "." else _integer(digits)
    if number is not None:
        return number
    if _FLOAT.match(text if text[0] == "." else digits):
        return float(digits)
    return text


def tagged(tag: str, text: str) -> Plain:
    """The value of a scalar with one of the tags of the core schema ("str", "int", "float", "bool", "null"). Raises
    ValueError when the text is not of that kind."""
    if tag == "str":
        return text
    value = resolve(text)
    if tag == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kinds: dict[str, type | tuple[type, ...]] = {"int": int, "float": float, "bool": bool, "null": type(None)}
    if not isinstance(value, kinds[tag]) or (tag == "int" and isinstance(value, bool)):
        raise ValueError(f"{text!r} is not of the kind {tag}")
    return value

"""Functions on strings: CEL's own, cel-go's extended ones, and Kubernetes's for regular expressions.

Patterns are RE2's (google-re2, which cel-python needs too): no pattern can take longer than its text is long, where
Python's own could hold up the server for ever.
"""

import functools
from collections.abc import Callable
from typing import Any

from boxship.cluster.objects.cel import values
from boxship.cluster.objects.cel.functions_core import number_text
from boxship.cluster.objects.cel.operators import shown
from boxship.cluster.objects.cel.values import Duration, Failed, Timestamp

LENGTH_LIMIT = 4 * 1024 * 1024  # characters that a function may make
PATTERNS_KEPT = 512


@functools.lru_cache(maxsize=PATTERNS_KEPT)
def _pattern(text: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as wrong:
        why = wrong.args[0] if wrong.args else ""
        raise Failed(f"error parsing regexp: {why.decode() if isinstance(why, bytes) else why}: `{text}`") from None


def _matches(text: str, pattern: str) -> bool:
    return _pattern(pattern).search(text) is not None


def _find(text: str, pattern: str) -> str:
    found = _pattern(pattern).search(text)
    return str(found.group(0)) if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    for one in _pattern(pattern).finditer(text):
        if 0 <= limit <= len(found):
            break
        found.append(str(one.group(0)))
    return found


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise Failed(f"index out of range: {index}")
    return text[index : index + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not 0 <= start <= len(text):
        if not part and start == 0:
            return 0
        raise Failed(f"index out of range: {start}")
    return text.find(part, start)


def _last_index_of(text: str, part: str, last: int | None = None) -> int:
    if last is None:
        return text.rfind(part)
    if not 0 <= last <= len(text):
        raise Failed(f"index out of range: {last}")
    return text.rfind(part, 0, last + len(part))


def _substring(text: str, start: int, end: int | None = None) -> str:
    size = len(text)
    if not 0 <= start <= size:
        raise Failed(f"index out of range: {start}")
    if end is None:
        return text[start:]
    if not 0 <= end <= size:
        raise Failed(f"index out of range: {end}")
    if start > end:
        raise Failed(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _limited(text: str) -> str:
    if len(text) > LENGTH_LIMIT:
        raise Failed(f"the text would be longer than {LENGTH_LIMIT} characters")
    return text


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    count = text.count(old) if old else len(text) + 1
    if len(text) + (count if limit < 0 else min(count, limit)) * len(new) > LENGTH_LIMIT:
        raise Failed(f"the text would be longer than {LENGTH_LIMIT} characters")
    return text.replace(old, new, limit)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if not separator:
        parts = list(text)
        return parts if limit < 0 or len(parts) <= limit else [*parts[: limit - 1], "".join(parts[limit - 1 :])]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _join(parts: list[str], separator: str = "") -> str:
    return _limited(separator.join(parts))


def _lower(text: str) -> str:
    return "".join(character.lower() if character.isascii() else character for character in text)


def _upper(text: str) -> str:
    return "".join(character.upper() if character.isascii() else character for character in text)


_QUOTED = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def _quote(text: str) -> str:
    return '"' + "".join(_QUOTED.get(character, character) for character in text) + '"'


def _format(text: str, args: list[Any]) -> str:
    """`"%s: %.2f".format([a, b])`."""
    result: list[str] = []
    place = number = 0
    while place < len(text):
        if text[place] != "%":
            end = text.find("%", place)
            end = len(text) if end < 0 else end
            result.append(text[place:end])
            place = end
            continue
        place += 1
        if text[place : place + 1] == "%":
            result.append("%")
            place += 1
            continue
        precision = None
        if text[place : place + 1] == ".":
            end = place + 1
            while text[end : end + 1].isdigit():
                end += 1
            precision = int(text[place + 1 : end] or "0")
            place = end
            if precision > 100:
                raise Failed("precision is too large")
        if place >= len(text):
            raise Failed("unexpected end of string")
        if number >= len(args):
            raise Failed(f"index {number} out of range")
        verb = text[place]
        write = _VERBS.get(verb)
        if write is None:
            raise Failed(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
        result.append(write(args[number], precision))
        place, number = place + 1, number + 1
    return _limited("".join(result))


def _as_text(value: Any, _: int | None) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_as_text(part, None) for part in value) + "]"
    if isinstance(value, dict):
        pairs = sorted((_as_text(key, None), _as_text(part, None)) for key, part in value.items())
        return "{" + ", ".join(f"{key}: {part}" for key, part in pairs) + "}"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Timestamp | Duration):
        return value.text
    return shown(value)


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    raise Failed(f"error during formatting: integers only, was given {values.type_name(value)}")


def _real(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise Failed(f"error during formatting: doubles only, was given {values.type_name(value)}")


def _hexadecimal(value: Any, *, large: bool) -> str:
    if isinstance(value, str | bytes):
        text = (value.encode() if isinstance(value, str) else value).hex()
    else:
        text = format(_whole(value), "x")
    return text.upper() if large else text


_VERBS: dict[str, Callable[[Any, int | None], str]] = {
    "s": _as_text,
    "d": lambda value, _: str(_whole(value)),
    "f": lambda value, precision: f"{_real(value):.{6 if precision is None else precision}f}",
    "e": lambda value, precision: f"{_real(value):.{6 if precision is None else precision}e}",
    "b": lambda value, _: format(int(value) if isinstance(value, bool) else _whole(value), "b"),
    "x": lambda value, _: _hexadecimal(value, large=False),
    "X": lambda value, _: _hexadecimal(value, large=True),
    "o": lambda value, _: format(_whole(value), "o"),
}

TEXT: list[tuple[str, Callable[..., Any]]] = [
    ("string.contains(string) -> bool", lambda text, part: part in text),
    ("string.startsWith(string) -> bool", str.startswith),
    ("string.endsWith(string) -> bool", str.endswith),
    ("string.matches(string) -> bool", _matches),
    ("matches(string,string) -> bool", _matches),
    ("string.find(string) -> string", _find),
    ("string.findAll(string) -> list(string)", _find_all),
    ("string.findAll(string,int) -> list(string)", _find_all),
    ("string.charAt(int) -> string", _char_at),
    ("string.indexOf(string) -> int", _index_of),
    ("string.indexOf(string,int) -> int", _index_of),
    ("string.lastIndexOf(string) -> int", _last_index_of),
    ("string.lastIndexOf(string,int) -> int", _last_index_of),
    ("list(string).join() -> string", _join),
    ("list(string).join(string) -> string", _join),
    ("string.lowerAscii() -> string", _lower),
    ("string.upperAscii() -> string", _upper),
    ("string.replace(string,string) -> string", _replace),
    ("string.replace(string,string,int) -> string", _replace),
    ("string.reverse() -> string", lambda text: text[::-1]),
    ("string.split(string) -> list(string)", _split),
    ("string.split(string,int) -> list(string)", _split),
    ("string.substring(int) -> string", _substring),
    ("string.substring(int,int) -> string", _substring),
    ("string.trim() -> string", str.strip),
    ("string.format(list(dyn)) -> string", _format),
    ("!strings.quote(string) -> string", _quote),
]

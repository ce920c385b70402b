"""Regular expressions as Go reads them (RE2), for Python's own: search anywhere, ASCII classes, `$` is the very end."""

import functools
import re

CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\\x00-\\x7F",
    "blank": "\\t ",
    "cntrl": "\\x00-\\x1F\\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\t\\n\\v\\f\\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
# Unicode classes that Python's module does not know, as near as it can come.
PROPERTIES = {"L": "A-Za-z\u00c0-\u02af\u0370-\u1fff", "Lu": "A-Z", "Ll": "a-z", "N": "0-9", "Nd": "0-9"}
_TOKENS = re.compile(r"\\p\{(\w+)\}|\\p(\w)|\\z|\\.|\[:(\^?)(\w+):\]|\[|\]|\$|\(\?P?<(\w+)>|.", re.DOTALL)
LENGTH_LIMIT = 10_000  # characters of a pattern


class UnknownPattern(ValueError):
    """A pattern that cannot be translated; the text says why."""


@functools.lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    """Raises UnknownPattern."""
    if len(pattern) > LENGTH_LIMIT:
        raise UnknownPattern("error parsing regexp: expression too large")
    try:
        return re.compile(_translated(pattern), re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise UnknownPattern(f"error parsing regexp: {error}: `{pattern}`") from None


def wrong_pattern(pattern: str) -> str:
    """Why a pattern is wrong, or ""."""
    try:
        compiled(pattern)
    except UnknownPattern as error:
        return str(error)
    return ""


def _translated(pattern: str) -> str:
    parts: list[str] = []
    inside = False  # a class in brackets
    for found in _TOKENS.finditer(pattern):
        token = found[0]
        if name := found[1] or found[2]:
            inner = PROPERTIES.get(name)
            if inner is None:
                raise UnknownPattern(f"error parsing regexp: invalid character class range: `{token}`")
            token = inner if inside else f"[{inner}]"
        elif token == r"\z":
            token = r"\Z"
        elif found[4] and inside:
            if found[3] or found[4] not in CLASSES:
                raise UnknownPattern(f"error parsing regexp: invalid character class range: `{token}`")
            token = CLASSES[found[4]]
        elif token == "[":
            token, inside = (r"\[" if inside else "["), True
        elif token == "]" and inside:
            start = parts and parts[-1] in ("[", "^") and (parts[-1] == "[" or parts[-2:-1] == ["["])
            token, inside = (r"\]", True) if start else ("]", False)
        elif token == "$" and not inside:
            token = r"\Z"
        elif found[5]:
            token = f"(?P<{found[5]}>"
        parts.append(token)
    return "".join(parts)

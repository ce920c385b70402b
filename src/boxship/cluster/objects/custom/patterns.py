"""Regular expressions as Go reads them. The library is RE2's own, so no pattern can take longer than its text is long,
whoever wrote it; it is imported with the first pattern."""

import functools
from typing import Any

LENGTH_LIMIT = 10_000  # characters of a pattern


class UnknownPattern(ValueError):
    """A pattern that cannot be read; the text says why."""


@functools.lru_cache(maxsize=512)
def compiled(pattern: str) -> Any:
    """Something with `search(text)`. Raises UnknownPattern."""
    import re2

    if len(pattern) > LENGTH_LIMIT:
        raise UnknownPattern("error parsing regexp: expression too large")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0] if error.args else b""
        text = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
        raise UnknownPattern(f"error parsing regexp: {text}") from None


def wrong_pattern(pattern: str) -> str:
    """Why a pattern is wrong, or ""."""
    try:
        compiled(pattern)
    except UnknownPattern as error:
        return str(error)
    return ""

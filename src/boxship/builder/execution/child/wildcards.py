"""Wildcards in the names of a selection: which names are patterns, and what they match."""

from __future__ import annotations

from boxship.errors import Invalid

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def has_wildcard(part: str) -> bool:
    """Whether a name is a pattern."""
    at = 0
    while at < len(part):
        if part[at] == "\\":
            at += 1
        elif part[at] in "*?[":
            return True
        at += 1
    return False


def needs_rules(selection: dict[str, Any], *, parents: bool) -> bool:
    """Whether a selection has patterns in it."""
    return bool(selection["exclude"]) or parents or any(map(has_wildcard, selection["paths"]))


def load_rules() -> None:
    """Load what patterns need while Python's own files can be seen: the chroot hides them."""
    import boxship.spec.ignore  # noqa: F401


def unescape(part: str) -> str:
    """A name without wildcards, without its backslashes."""
    if "\\" not in part:
        return part
    found = ""
    at = 0
    while at < len(part):
        if part[at] == "\\" and at + 1 < len(part):
            at += 1
        found += part[at]
        at += 1
    return found


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """A test of names. Invalid for a pattern that is not whole."""
    if pattern == "*":
        return lambda name: True
    from boxship.spec.ignore import BadPattern, compiled

    try:
        expression = compiled(pattern, deep=False)
    except BadPattern as error:
        raise Invalid(str(error)) from error
    return lambda name: expression.fullmatch(name) is not None

"""Patterns of `${name#pattern}` and its kin: `*` is any text, `?` any character, a backslash takes their meaning. Pure.

A pattern is a row of parts without stars. Because a star may be as long as it likes, the first place where a part fits
is always good enough, so that finding needs no going back: the work is the text's length times the pattern's.
"""

import re
from functools import lru_cache

from boxship.errors import Invalid

_Atom = str | None  # one character, or None for any


class Glob:
    """One pattern. Raises Invalid for a backslash before a character that has no special meaning."""

    def __init__(self, pattern: str) -> None:
        self._parts = _parts(pattern)

    def prefix(self, text: str, *, longest: bool) -> int:
        """The length of the shortest or longest beginning that fits; 0 where none does."""
        found = _ending(self._parts, text, 0, longest)
        return 0 if found is None else found

    def suffix(self, text: str, *, longest: bool) -> int:
        """The same for the end of the text."""
        mirrored = tuple(part[::-1] for part in reversed(self._parts))
        found = _ending(mirrored, text[::-1], 0, longest)
        return 0 if found is None else found

    def find(self, text: str, start: int) -> tuple[int, int] | None:
        """The first and there the longest place at or after `start`: its begin and end."""
        match = _compiled(self._parts[0]).search(text, start)
        if match is None:
            return None
        end = _ending(self._parts, text, match.start(), True)
        return None if end is None else (match.start(), end)


def _parts(pattern: str) -> tuple[tuple[_Atom, ...], ...]:
    parts: list[list[_Atom]] = [[]]
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            if len(parts) == 1 or parts[-1]:  # a second star in a row adds nothing
                parts.append([])
        elif character == "?":
            parts[-1].append(None)
        elif character == "\\":
            following = pattern[position : position + 1]
            position += 1
            if not following or following not in "*?\\}/":
                raise Invalid(f"invalid escape '\\{following}'")
            parts[-1].append(following)
        else:
            parts[-1].append(character)
    return tuple(tuple(part) for part in parts)


@lru_cache(maxsize=256)
def _compiled(part: tuple[_Atom, ...]) -> re.Pattern[str]:
    return re.compile("".join("." if atom is None else re.escape(atom) for atom in part), re.DOTALL)


def _ending(parts: tuple[tuple[_Atom, ...], ...], text: str, start: int, longest: bool) -> int | None:
    """Where a match that begins exactly at `start` ends."""
    match = _compiled(parts[0]).match(text, start)
    if match is None:
        return None
    position = match.end()
    if len(parts) == 1:
        return position
    for part in parts[1:-1]:
        found = _compiled(part).search(text, position)
        if found is None:
            return None
        position = found.end()
    if not longest:
        last = _compiled(parts[-1]).search(text, position)
        return None if last is None else last.end()
    mirrored = _compiled(parts[-1][::-1]).search(text[position:][::-1])
    return None if mirrored is None else len(text) - mirrored.start()

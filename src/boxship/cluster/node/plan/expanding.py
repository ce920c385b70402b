"""$(NAME) in commands, arguments and values. Pure.

Source: kubernetes.io, "Define Dependent Environment Variables", "Define a Command and Arguments for a Container". A
name that is not known stays as it is written; "$$" is one "$".
"""

from collections.abc import Mapping


def expand(text: str, *tables: Mapping[str, str]) -> str:
    """The first table that knows a name decides."""
    if "$" not in text:
        return text
    pieces: list[str] = []
    position = 0
    while (at := text.find("$", position)) >= 0:
        pieces.append(text[position:at])
        follower = text[at + 1 : at + 2]
        if follower == "$":
            pieces.append("$")
            position = at + 2
        elif follower == "(" and (end := text.find(")", at)) >= 0:
            name = text[at + 2 : end]
            found = next((table[name] for table in tables if name in table), None)
            pieces.append(text[at : end + 1] if found is None else found)
            position = end + 1
        else:
            # a lone "$", or one whose bracket is never closed
            pieces.append(text[at : at + 1])
            position = at + 1
    pieces.append(text[position:])
    return "".join(pieces)


class UnknownName(Exception):
    """A name in a path that has to be known."""


def expand_strictly(text: str, table: Mapping[str, str]) -> str:
    """For paths: raises UnknownName, with the name, for one that the table lacks, or that says nothing: what was meant
    for a part of a volume must not become the whole of it."""

    class Strict(dict[str, str]):
        def __contains__(self, name: object) -> bool:
            return True

        def __missing__(self, name: str) -> str:
            raise UnknownName(name)

    return expand(text, Strict({name: value for name, value in table.items() if value}))

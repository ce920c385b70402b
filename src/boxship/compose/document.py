"""What a YAML file says, with the place of every value: so that an error found late still names its line.

Trees of Mapping, Sequence and Scalar, immutable; merging and interpolation make new ones. It must never hold a meaning:
what a field is, `schema` knows.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from boxship.errors import Invalid

Plain = None | bool | int | float | str


class Place(Struct, frozen=True):
    """Where a value begins; lines and columns count from 1, line 0 is nowhere in particular."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Scalar(Struct, frozen=True):
    """`value` is what the core schema of YAML 1.2 reads; `text` is as it was written, `quoted` says that it must stay a
    string."""

    value: Plain
    place: Place
    text: str = ""
    quoted: bool = False
    tag: str = ""  # "!reset", "!override" or nothing


class Sequence(Struct, frozen=True):
    items: tuple[Node, ...]
    place: Place
    tag: str = ""


class Entry(Struct, frozen=True):
    """One key of a mapping; the place is the key's."""

    key: str
    value: Node
    place: Place


class Mapping(Struct, frozen=True):
    """Keys are unique and in the order of the file."""

    entries: tuple[Entry, ...]
    place: Place
    tag: str = ""

    def get(self, key: str) -> Node | None:
        return next((entry.value for entry in self.entries if entry.key == key), None)

    def keys(self) -> Iterator[str]:
        return (entry.key for entry in self.entries)


Node = Scalar | Sequence | Mapping


class FileError(Invalid):
    """Something is wrong in a file: "FILE:LINE:COLUMN: what and why"."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason

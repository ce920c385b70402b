"""The words in which the table of fields is written: what a value may be, as data.

`schema_service`, `schema_build`, `schema_deploy` and `schema_project` hold the table itself; `canonical` walks it.
It must never hold a rule that needs more than the value itself: names that refer to each other are `checking`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from boxship.compose.document import Node, Scalar

NAME = r"[a-zA-Z0-9._-]+"

# One short form: the node as it was written → the long form's, several where a range expands. Raises FileError.
Short = Callable[[Scalar], tuple[Node, ...]]


class Text(Struct, frozen=True):
    """A string. With `numbers`, a number or a boolean is taken by its text. `refused` are words of the specification
    that this platform does not have. `form` says in words what `pattern` wants."""

    choices: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    pattern: str = ""
    form: str = ""
    numbers: bool = False
    null: bool = False  # null is the empty string


class Flag(Struct, frozen=True):
    """A boolean, or its text."""


class Whole(Struct, frozen=True):
    """A whole number, or its text. `words` stand for numbers ("all" for -1). `span`: a duration is microseconds."""

    low: int | None = None
    high: int | None = None
    words: Mapping[str, int] = {}
    span: bool = False


class Real(Struct, frozen=True):
    """A number, or its text."""

    low: float | None = None
    high: float | None = None


class Size(Struct, frozen=True):
    """Bytes: a number, or text with a unit in powers of 1024. With `unlimited`, -1 is allowed."""

    unlimited: bool = False


class Span(Struct, frozen=True):
    """A duration with its units ("1m30s")."""


class Mode(Struct, frozen=True):
    """Permission bits: a number, or octal text."""


class Words(Struct, frozen=True):
    """A command: words, or text that is split into words as a shell splits it. With `shell`, text becomes
    ("CMD-SHELL", text)."""

    shell: bool = False


class Pairs(Struct, frozen=True):
    """Name → text, written as a mapping or as a list of NAME=VALUE. With `inherit`, a name without a value keeps null
    (the value comes from the surroundings), else it is the empty string. `separator` is what stands between both in a
    list."""

    inherit: bool = False
    listed: bool = True


class Hosts(Struct, frozen=True):
    """Name → addresses, written as a mapping or a list of "name:address" or "name=address"; the long form is the
    list of "name=address"."""


class Many(Struct, frozen=True):
    """A list. With `lone`, one value alone is a list of one. With `unique`, repeated values are dropped. `short` makes
    items from scalars; with `split`, it takes the text apart, so that it must wait until variables are in."""

    item: Kind
    lone: bool = False
    unique: bool = False
    short: Short | None = None
    split: bool = False


class Named(Struct, frozen=True):
    """A mapping from names of the user's own to values. With `listed`, a list of names is also allowed, each with
    `default` as its value. `null`: a name may have no value."""

    item: Kind
    pattern: str = NAME
    listed: Callable[[Scalar], Node] | None = None
    null: bool = False


class Record(Struct, frozen=True):
    """A mapping with known fields. `required` must be there. `short` makes the mapping from a scalar; `null` reads
    nothing at all as an empty mapping."""

    fields: Mapping[str, Field]
    required: tuple[str, ...] = ()
    short: Callable[[Scalar], Node] | None = None
    null: bool = False


class Either(Struct, frozen=True):
    """Scalars are read by `scalar`, everything else by `other`."""

    scalar: Kind
    other: Kind


class Anything(Struct, frozen=True):
    """Whatever YAML can say."""


Kind = (
    Text | Flag | Whole | Real | Size | Span | Mode | Words | Pairs | Hosts | Many | Named | Record | Either | Anything
)


class Field(Struct, frozen=True):
    """One field. `refused`: this platform cannot do it at all. `elsewhere`: the specification means it for other
    platforms; it is accepted with a warning that says so. `obsolete`: the same for what nothing reads any more."""

    kind: Kind
    refused: bool = False
    elsewhere: str = ""
    obsolete: str = ""


def fields(**kinds: Kind | Field) -> dict[str, Field]:
    """A record's fields, written as keyword arguments."""
    return {name: kind if isinstance(kind, Field) else Field(kind) for name, kind in kinds.items()}

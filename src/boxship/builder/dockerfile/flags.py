"""Flags: the words that begin with `--`, between an instruction's name and its arguments. Pure."""

import difflib
import re
from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec

from boxship.builder.dockerfile.blanks import BLANKS
from boxship.errors import Invalid

FLAGS_LIMIT = 1_000
_GAP = re.compile(f"[{BLANKS}]*")
_COMMAND = re.compile(r"([^\t\v\f\r ]*)[\t\v\f\r ]*(.*)", re.DOTALL)
_WORD = re.compile(
    rf"""(?:[^{BLANKS}'"\\]|\\.|\\\Z|'(?:[^'\\]|\\.)*(?:'|\\?\Z)|"(?:[^"\\]|\\.)*(?:"|\\?\Z))+""", re.DOTALL
)
_PIECE = re.compile(r"""\\(.?)|'((?:[^'\\]|\\.)*)(?:'|\\?\Z)|"((?:[^"\\]|\\.)*)(?:"|\\?\Z)|([^'"\\]+)""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Kind(Enum):
    """What a flag takes: one text, true or false, or a text each time it is given."""

    TEXT = "text"
    SWITCH = "switch"
    MANY = "many"


class Flags(msgspec.Struct, frozen=True):
    """The flags of one instruction, by name without dashes."""

    texts: dict[str, str]
    switches: dict[str, bool]
    many: dict[str, tuple[str, ...]]

    def text(self, name: str) -> str:
        return self.texts.get(name, "")

    def switch(self, name: str) -> bool:
        return self.switches.get(name, False)

    def every(self, name: str) -> tuple[str, ...]:
        return self.many.get(name, ())


def command_of(text: str) -> tuple[str, str]:
    """An instruction's name in capitals, and the rest."""
    written, rest = written_command(text)
    return written.upper(), rest


def written_command(text: str) -> tuple[str, str]:
    """The same with the name as it was written."""
    match = _COMMAND.fullmatch(text.strip(BLANKS))
    assert match is not None  # every text fits
    return match[1], match[2]


def taken(rest: str) -> tuple[list[str], str]:
    """The flags at the beginning, quotes and escapes taken off, and what follows. `--` alone ends them.
    Raises Invalid for far too many."""
    found: list[str] = []
    position = 0
    while True:
        gap = _GAP.match(rest, position)
        assert gap is not None  # it may be empty
        position = gap.end()
        if not rest.startswith("--", position):
            return found, rest[position:].strip(BLANKS)
        match = _WORD.match(rest, position)
        assert match is not None  # it begins with dashes
        position = match.end()
        if match[0] == "--":
            return found, rest[position:].strip(BLANKS)
        if len(found) >= FLAGS_LIMIT:
            raise Invalid(f"more than {FLAGS_LIMIT} flags")
        found.append(_PIECE.sub(_bare, match[0]))


def _bare(match: re.Match[str]) -> str:
    if match[4] is not None:
        return match[4]
    if match[1] is not None:
        return match[1]
    return _ESCAPE.sub(r"\1", match[2] if match[2] is not None else match[3])


def read(words: Sequence[str], known: Mapping[str, Kind]) -> Flags:
    """The flags' values. Raises Invalid for unknown, doubled and badly given ones."""
    flags = Flags({}, {}, {})
    for word in words:
        name, equals, value = word[2:].partition("=")
        kind = known.get(name)
        if kind is None:
            near = difflib.get_close_matches(name, known, 1)
            raise Invalid(f"unknown flag: --{name}" + (f" (did you mean --{near[0]}?)" if near else ""))
        if name in flags.texts or name in flags.switches:
            raise Invalid(f"duplicate flag specified: --{name}")
        if kind is Kind.SWITCH:
            flags.switches[name] = _switch(name, value if equals else "true")
        elif not equals:
            raise Invalid(f"missing a value on flag: --{name}")
        elif kind is Kind.TEXT:
            flags.texts[name] = value
        else:
            flags.many[name] = (*flags.many.get(name, ()), value)
    return flags


def _switch(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise Invalid(f"expecting boolean value for flag --{name}, not: {value}")
    return value.lower() == "true"

"""What is wrong with a Dockerfile, with the place and the lines that show it. Pure."""

from collections.abc import Sequence

from boxship.builder.dockerfile.syntax import Location
from boxship.errors import Invalid

AROUND_LINES = 2  # shown before and after
SHOWN_LIMIT_LINES = 12  # of one instruction
WIDTH_LIMIT_CHARACTERS = 200


class DockerfileError(Invalid):
    """The text is not a Dockerfile, or an instruction in it is wrong. `reason` is the plain reason, `excerpt` the lines
    with marks; the message has everything: line, instruction, reason, file and excerpt."""

    def __init__(self, reason: str, location: Location, lines: Sequence[str] = (), instruction: str = "") -> None:
        named = reason if not instruction or instruction in reason else f"{instruction}: {reason}"
        self.reason = named
        self.location = location
        self.instruction = instruction
        self.excerpt = excerpt(lines, location)
        super().__init__(f"dockerfile parse error on line {location.first}: {named}\n{self.excerpt}".rstrip("\n"))


def excerpt(lines: Sequence[str], location: Location) -> str:
    """The file's name, and the instruction's lines among their neighbours, marked with `>>>`."""
    rule = "-" * 20
    first, last = max(location.first, 1), max(location.first, location.last)
    end = min(last, first + SHOWN_LIMIT_LINES - 1)
    shown = [f"{location.file}:{location.first}", rule]
    for number in range(max(1, first - AROUND_LINES), min(len(lines), end + AROUND_LINES) + 1):
        mark = ">>>" if first <= number <= last else "   "
        text = _clean(lines[number - 1])
        shown.append(f"{number:4} | {mark} {text}".rstrip())
    return "\n".join([*shown, rule])


def _clean(line: str) -> str:
    """A line that does a terminal no harm."""
    shown = line if len(line) <= WIDTH_LIMIT_CHARACTERS else line[:WIDTH_LIMIT_CHARACTERS] + "…"
    return "".join(character if character.isprintable() or character == "\t" else "\ufffd" for character in shown)

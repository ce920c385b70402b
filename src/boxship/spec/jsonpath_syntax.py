"""kubectl's JSONPath templates as trees: `{range .items[*]}{.metadata.name}{"\n"}{end}`.

The dialect is that of client-go's jsonpath package, its quirks and texts of errors included: people's scripts rely on
them. It knows no functions, and unions and quoted keys are paths themselves (`['metadata.name', 'status']`). Reads
text, evaluates nothing.
"""

import re
from collections.abc import Sequence

import msgspec

from boxship.errors import Invalid

QUOTED_KEY = re.compile(r"'([^']*)'")
SLICE = re.compile(r"(-?[0-9]*)(:-?[0-9]*)?(:-?[0-9]*)?")
COMPARISON = re.compile(r"([^!<>=]+)([!<>=]+)(.+?)", re.DOTALL)
NUMBER = re.compile(r"[+-]?[0-9.]*")
ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
CODES = {"x": 2, "u": 4, "U": 8}
ENDS = frozenset(" \t\r\n.,[]$@{}")
LARGEST_DEPTH = 100


class Text(msgspec.Struct, frozen=True):
    """Words outside of braces or in quotes."""

    text: str


class Literal(msgspec.Struct, frozen=True):
    """A number, true or false."""

    value: int | float | bool


class Field(msgspec.Struct, frozen=True):
    name: str


class Wildcard(msgspec.Struct, frozen=True):
    pass


class Descent(msgspec.Struct, frozen=True):
    """Everything below, at any depth."""


class Slice(msgspec.Struct, frozen=True):
    """`single`: one element was asked for by its index."""

    start: int | None
    stop: int | None
    step: int | None
    single: bool = False


class Union(msgspec.Struct, frozen=True):
    paths: tuple["Path", ...]


class Filter(msgspec.Struct, frozen=True):
    """`operator` is "exists" where there is nothing to compare with."""

    left: "Path"
    operator: str
    right: "Path"


class Word(msgspec.Struct, frozen=True):
    """An identifier that means nothing here; said when it is reached, as the original does."""

    name: str


Node = Text | Literal | Field | Wildcard | Descent | Slice | Union | Filter | Word
Path = tuple[Node, ...]


class Loop(msgspec.Struct, frozen=True):
    """`{range PATH}` … `{end}`."""

    path: Path
    body: tuple["Text | Path | Loop", ...]


Block = Sequence[Text | Path | Loop]


class _Reader:
    """The inside of one pair of braces, read from left to right."""

    def __init__(self, text: str, depth: int) -> None:
        self.text = text
        self.at = 0
        self.depth = depth
        self.nodes: list[Node] = []
        if depth > LARGEST_DEPTH:
            raise Invalid("the template is nested too deeply")

    def take_until(self, ends: frozenset[str], escaped: bool = False) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in ends:
            self.at += 2 if escaped and self.text[self.at] == "\\" else 1
        self.at = min(self.at, len(self.text))
        return self.text[start : self.at]

    def path(self) -> Path:
        """Read up to the closing brace, which is passed."""
        while True:
            if self.at >= len(self.text) or self.text[self.at] in "\r\n":
                raise Invalid("unclosed action")
            if self.text[self.at] == "}":
                self.at += 1
                return tuple(self.nodes)
            self.step()

    def step(self) -> None:
        rest, char = self.text[self.at : self.at + 3], self.text[self.at]
        if rest == "[?(":
            self.filter()
        elif rest.startswith(".."):
            self.descent()
        elif char in " @$":
            self.at += 1
        elif char == "[":
            self.brackets()
        elif char in "\"'":
            self.quote(char)
        elif char == ".":
            self.at += 1
            self.field()
        elif char in "+-" or char.isdigit():
            self.number()
        elif char == "_" or char.isalpha():
            word = self.take_until(ENDS)
            self.nodes.append(Literal(word == "true") if word in ("true", "false") else Word(word))
        else:
            shown = f" '{char}'" if char.isprintable() else ""
            raise Invalid(f"unrecognized character in action: U+{ord(char):04X}{shown}")

    def descent(self) -> None:
        if self.nodes and isinstance(self.nodes[-1], Descent):
            raise Invalid("invalid multiple recursive descent")
        self.at += 2
        self.nodes.append(Descent())
        if self.at < len(self.text) and (self.text[self.at] == "_" or self.text[self.at].isalnum()):
            self.field()

    def field(self) -> None:
        name = self.take_until(ENDS, escaped=True)
        self.nodes.append(Wildcard() if name == "*" else Field(name.replace("\\", "")))

    def number(self) -> None:
        found = NUMBER.match(self.text, self.at)
        text = found.group() if found else ""
        self.at += len(text)
        try:
            self.nodes.append(Literal(int(text) if "." not in text else float(text)))
        except ValueError as error:
            raise Invalid(f"cannot parse number {text}") from error

    def quote(self, mark: str) -> None:
        start = self.at
        self.at += 1
        while self.at < len(self.text) and self.text[self.at] != "\n":
            if self.text[self.at] == mark and self.text[self.at - 1] != "\\":
                self.at += 1
                self.nodes.append(Text(unquote(self.text[start : self.at])))
                return
            self.at += 1
        raise Invalid("unterminated quoted string")

    def brackets(self) -> None:
        end = self.text.find("]", self.at)
        inside = self.text[self.at + 1 : end]
        if end < 0 or "\n" in inside:
            raise Invalid("unterminated array")
        self.at = end + 1
        parts = inside.split(",")
        if len(parts) > 1:
            self.nodes.append(Union(tuple(_read_path(f"[{part.strip(' ')}]", self.depth + 1) for part in parts)))
            return
        key = QUOTED_KEY.fullmatch(inside)
        if key:
            self.nodes += _read_path(f".{key.group(1)}", self.depth + 1)
            return
        self.nodes.append(_slice(":" if inside == "*" else inside))

    def filter(self) -> None:
        self.at += 3
        start, mark, closed = self.at, "", False
        while True:
            if self.at >= len(self.text) or self.text[self.at] == "\n":
                raise Invalid("unterminated filter")
            char = self.text[self.at]
            self.at += 1
            if char in "\"'" and not mark:
                mark = char
            elif char in "\"'" and char == mark and self.text[self.at - 2] != "\\":
                closed = True
            elif char == ")" and bool(mark) == closed:
                break
        inside = self.text[start : self.at - 1]
        if self.text[self.at : self.at + 1] != "]":
            raise Invalid("unclosed array expect ]")
        self.at += 1
        found = COMPARISON.fullmatch(inside)
        if found is None:
            self.nodes.append(Filter(_read_path(inside, self.depth + 1), "exists", ()))
            return
        left, operator, right = found.groups()
        self.nodes.append(Filter(_read_path(left, self.depth + 1), operator, _read_path(right, self.depth + 1)))


def _slice(text: str) -> Slice:
    found = SLICE.fullmatch(text)
    if found is None:
        raise Invalid(f"invalid array index {text}")
    first, second, third = found.groups()
    try:
        start = int(first) if first else None
        stop = int(second[1:]) if second and second != ":" else None
        step = int(third[1:]) if third and third != ":" else None
    except ValueError as error:
        raise Invalid(f"array index {text} is not a number") from error
    return Slice(start, stop, step, single=second is None)


def _read_path(text: str, depth: int) -> Path:
    return _Reader(text + "}", depth).path()


def unquote(text: str) -> str:
    """The value of a string in single or double quotes, with Go's escapes. Raises Invalid."""
    wrong = Invalid(f"unquote string {text} error invalid syntax")
    inside, mark = text[1:-1], text[0]
    shown, at = [], 0
    while at < len(inside):
        if inside[at] != "\\":
            if inside[at] == mark:
                raise wrong
            shown.append(inside[at])
            at += 1
            continue
        code = inside[at + 1 : at + 2]
        if code in ESCAPES or code == mark:
            shown.append(ESCAPES.get(code, mark))
            at += 2
            continue
        digits, length = (inside[at + 2 : at + 2 + CODES[code]], 2 + CODES[code]) if code in CODES else ("", 4)
        try:
            value = int(digits, 16) if digits else int(inside[at + 1 : at + 4], 8)
            complete = len(digits) == CODES.get(code, 0) and (digits or len(inside[at + 1 : at + 4]) == 3)
            if not complete:
                raise ValueError
            shown.append(chr(value))
        except (ValueError, OverflowError) as error:
            raise wrong from error
        at += length
    return "".join(shown)


def parse(text: str) -> Block:
    """The tree of a template. Raises Invalid with the original's words."""
    parts: list[Text | Path] = []
    at = 0
    while at < len(text):
        opening = text.find("{", at)
        if opening != at:
            parts.append(Text(text[at : opening if opening >= 0 else len(text)]))
            if opening < 0:
                break
        reader = _Reader(text, 0)
        reader.at = opening + 1
        parts.append(reader.path())
        at = reader.at
    return _block(parts)


def _block(parts: Sequence[Text | Path]) -> Block:
    """Put what lies between `range` and `end` below its loop; a loop without an end reaches to the last part."""
    stack: list[tuple[Path, list[Text | Path | Loop]]] = [((), [])]
    for part in parts:
        first = part[0] if isinstance(part, tuple) and part else None
        if isinstance(part, tuple) and isinstance(first, Word) and first.name == "range":
            stack.append((part[1:], []))
        elif isinstance(first, Word) and first.name == "end":
            if len(stack) == 1:
                raise Invalid("not in range, nothing to end")
            path, body = stack.pop()
            stack[-1][1].append(Loop(path, tuple(body)))
        else:
            stack[-1][1].append(part)
    while len(stack) > 1:
        path, body = stack.pop()
        stack[-1][1].append(Loop(path, tuple(body)))
    return tuple(stack[0][1])

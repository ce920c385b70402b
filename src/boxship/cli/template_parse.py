"""Reading Go templates: text to tokens, tokens to a tree of plain tuples that `template` walks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from boxship.cli.template_functions import TemplateError

KEYWORDS = frozenset({"if", "else", "end", "range", "with", "break", "continue"})
REFUSED = frozenset({"define", "template", "block"})
LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
DIGITS = frozenset("0123456789")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
DEPTH_LIMIT = 100  # nested parentheses or blocks

Value = object

# An operand is ("dot",), ("field", names), ("variable", name, names), ("literal", value), ("function", name) or
# ("group", pipeline, names); a command is a list of operands; a pipeline is (variables, is declaration, commands).
Operand = tuple[Any, ...]
Pipeline = tuple[list[str], bool, list[list[Operand]]]

# A node is ("text", text), ("show", pipeline), ("if" | "with" | "range", pipeline, nodes, nodes), ("break",) or
# ("continue",).
Node = tuple[Any, ...]


class Token:
    __slots__ = ("kind", "spaced", "text", "value")

    def __init__(self, kind: str, text: str, value: Value = None, spaced: bool = False) -> None:
        self.kind = kind  # field, variable, word, string, number, mark
        self.text = text
        self.value = value
        self.spaced = spaced  # white space stood before it


def _tokens(source: str) -> list[Token]:
    """The tokens of one action's inside."""
    found: list[Token] = []
    position, spaced = 0, True
    while position < len(source):
        letter = source[position]
        if letter in " \t\r\n":
            position, spaced = position + 1, True
            continue
        start = position
        if letter in "\"`'":
            value, position = _quoted(source, position)
            found.append(Token("string", source[start:position], value, spaced))
        elif letter in ".$" or letter in LETTERS:
            position += 1
            while position < len(source) and (source[position] in LETTERS or source[position] in DIGITS):
                position += 1
            kind = {".": "field", "$": "variable"}.get(letter, "word")
            found.append(Token(kind, source[start:position], None, spaced))
        elif letter in DIGITS or (letter in "+-" and source[position + 1 : position + 2] in DIGITS):
            position += 1
            while position < len(source) and (source[position].isalnum() or source[position] in "._"):
                position += 1
            found.append(Token("number", source[start:position], _number(source[start:position]), spaced))
        else:
            width = 2 if source.startswith(":=", position) else 1
            position += width
            if source[start:position] not in ("|", "(", ")", ",", ":=", "="):
                raise TemplateError(f"unexpected {letter!r}")
            found.append(Token("mark", source[start:position], None, spaced))
        spaced = False
    return found


def _number(text: str) -> int | float:
    try:
        return int(text, 0)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise TemplateError(f"bad number {text!r}") from None


def _quoted(source: str, position: int) -> tuple[Value, int]:
    quote = source[position]
    position += 1
    letters: list[str] = []
    while position < len(source):
        letter = source[position]
        position += 1
        if letter == quote:
            text = "".join(letters)
            return (ord(text) if len(text) == 1 else 0) if quote == "'" else text, position
        if letter == "\\" and quote != "`" and position < len(source):
            letter = source[position]
            position += 1
            width = {"x": 2, "u": 4, "U": 8}.get(letter, 0)
            if width:
                try:
                    letters.append(chr(int(source[position : position + width], 16)))
                except (ValueError, OverflowError):
                    raise TemplateError("bad escape in a string") from None
                position += width
                continue
            if letter not in ESCAPES:
                raise TemplateError(f"unknown escape \\{letter}")
            letter = ESCAPES[letter]
        letters.append(letter)
    raise TemplateError("unterminated string")


class _Parser:
    """Reads one action's tokens into a pipeline."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0

    def peek(self, text: str = "") -> bool:
        if self.position >= len(self.tokens):
            return False
        token = self.tokens[self.position]
        return not text or (token.kind == "mark" and token.text == text)

    def pipeline(self) -> Pipeline:
        names, declares = self._targets()
        commands = [self._command()]
        while self.peek("|"):
            self.position += 1
            commands.append(self._command())
        return names, declares, commands

    def _targets(self) -> tuple[list[str], bool]:
        names: list[str] = []
        at = self.position
        while at < len(self.tokens) and self.tokens[at].kind == "variable":
            names.append(self.tokens[at].text)
            at += 1
            mark = self.tokens[at] if at < len(self.tokens) else None
            if mark is not None and mark.kind == "mark" and mark.text in (":=", "="):
                self.position = at + 1
                return names, mark.text == ":="
            if mark is None or mark.kind != "mark" or mark.text != ",":
                break
            at += 1
        return [], False

    def _command(self) -> list[Operand]:
        operands: list[Operand] = []
        while self.peek() and not self.peek("|") and not self.peek(")"):
            operands.append(self._operand())
        if not operands:
            raise TemplateError("missing value")
        return operands

    def _operand(self) -> Operand:
        token = self.tokens[self.position]
        self.position += 1
        if token.kind == "field":
            if token.text == ".":
                return ("dot",)
            return ("field", [token.text[1:], *self._chain()])
        if token.kind == "variable":
            return ("variable", token.text, self._chain())
        if token.kind in ("string", "number"):
            return ("literal", token.value)
        if token.kind == "word":
            if token.text in ("true", "false", "nil"):
                return ("literal", {"true": True, "false": False, "nil": None}[token.text])
            if token.text in KEYWORDS or token.text in REFUSED:
                raise TemplateError(f"unexpected {token.text}")
            return ("function", token.text)
        if token.text == "(":
            self.depth += 1
            if self.depth > DEPTH_LIMIT:
                raise TemplateError("nested too deeply")
            inner = self.pipeline()
            if not self.peek(")"):
                raise TemplateError("unclosed parenthesis")
            self.position += 1
            self.depth -= 1
            return ("group", inner, self._chain())
        raise TemplateError(f"unexpected {token.text!r}")

    def _chain(self) -> list[str]:
        names: list[str] = []
        while self.peek():
            token = self.tokens[self.position]
            if token.kind != "field" or token.spaced or token.text == ".":
                break
            names.append(token.text[1:])
            self.position += 1
        return names


def _actions(source: str) -> Iterator[tuple[bool, str]]:
    """(False, text) and (True, inside of an action), with trim markers applied."""
    position, trim = 0, False
    while True:
        start = source.find("{{", position)
        text = source[position:] if start < 0 else source[position:start]
        if trim:
            text = text.lstrip(" \t\r\n")
        if start < 0:
            yield False, text
            return
        inside = start + 2
        if source.startswith("- ", inside) or source.startswith("-\n", inside) or source.startswith("-/*", inside):
            text = text.rstrip(" \t\r\n")
            inside += 1
        yield False, text
        end = _action_end(source, inside)
        action = source[inside:end]
        trim = action.endswith("-") and (action[-2:-1].isspace() or action.rstrip("-").endswith("*/"))
        yield True, action[:-1] if trim else action
        position = end + 2


def _action_end(source: str, position: int) -> int:
    """Where the action's "}}" stands; quotes and comments are stepped over."""
    stripped = source[position:].lstrip()
    if stripped.startswith("/*"):
        close = source.find("*/", position)
        end = source.find("}}", close)
        if close >= 0 and end >= 0:
            return end
        raise TemplateError("unclosed comment")
    while position < len(source):
        letter = source[position]
        if letter in "\"`'":
            _, position = _quoted(source, position)
            continue
        if source.startswith("}}", position):
            return position
        position += 1
    raise TemplateError("unclosed action")


class _Blocks:
    """Reads actions into nodes, block by block."""

    def __init__(self, source: str) -> None:
        self.actions = iter(list(_actions(source)))

    def body(self, ends: tuple[str, ...], depth: int, in_range: bool) -> tuple[list[Node], str, list[Token]]:
        """Nodes up to one of the end words; the word, and the tokens after it."""
        if depth > DEPTH_LIMIT:
            raise TemplateError("nested too deeply")
        nodes: list[Node] = []
        for is_action, text in self.actions:
            if not is_action:
                if text:
                    nodes.append(("text", text))
                continue
            if text.strip().startswith("/*"):
                continue
            tokens = _tokens(text)
            if not tokens:
                raise TemplateError("missing value")
            word = tokens[0].text if tokens[0].kind == "word" else ""
            if word in ends:
                return nodes, word, tokens[1:]
            if word in ("if", "with", "range"):
                nodes.append(self._block(word, tokens[1:], depth, in_range or word == "range"))
            elif word in ("break", "continue"):
                if not in_range or len(tokens) > 1:
                    raise TemplateError(f"{word} outside of range")
                nodes.append((word,))
            elif word in REFUSED:
                raise TemplateError(f"unsupported: {word}")
            elif word in KEYWORDS:
                raise TemplateError(f"unexpected {word}")
            else:
                nodes.append(("show", _pipeline(tokens)))
        if ends:
            raise TemplateError("unexpected end: {{end}} is missing")
        return nodes, "", []

    def _block(self, word: str, tokens: list[Token], depth: int, in_range: bool) -> Node:
        pipeline = _pipeline(tokens)
        nodes, stop, rest = self.body(("else", "end"), depth + 1, in_range)
        otherwise: list[Node] = []
        if stop == "else":
            if rest and rest[0].kind == "word" and rest[0].text in ("if", "with"):
                otherwise = [self._block(rest[0].text, rest[1:], depth + 1, in_range)]
            elif rest:
                raise TemplateError("unexpected words after else")
            else:
                otherwise, _, rest = self.body(("end",), depth + 1, in_range)
        return (word, pipeline, nodes, otherwise)


def _pipeline(tokens: list[Token]) -> Pipeline:
    parser = _Parser(tokens)
    pipeline = parser.pipeline()
    if parser.position < len(tokens):
        raise TemplateError(f"unexpected {tokens[parser.position].text!r}")
    return pipeline


def parse_template(source: str) -> list[Node]:
    """The tree of a whole template. Raises TemplateError."""
    return _Blocks(source).body((), 0, False)[0]

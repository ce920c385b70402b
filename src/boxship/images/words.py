"""Words of a Dockerfile instruction: quotes, escapes and variables, as Docker reads them. Pure."""

import re
from collections.abc import Mapping

from boxship.errors import Invalid

DEPTH_LIMIT = 50  # substitutions inside substitutions
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """One word: quotes taken off, $NAME, ${NAME}, ${NAME:-word}, ${NAME:+word} and ${NAME:?word} put in."""
    return _Expansion(text, variables).run()


def split(text: str) -> list[str]:
    """Words between blanks; quotes and escapes stay, and keep blanks together."""
    words: list[str] = []
    word = ""
    quote = ""
    position = 0
    inside = False
    while position < len(text):
        character = text[position]
        if character == "\\" and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            inside = True
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character.isspace():
            if inside:
                words.append(word)
            word, inside = "", False
            position += 1
            continue
        word += character
        inside = True
        position += 1
    if inside:
        words.append(word)
    return words


class _Expansion:
    """One pass over a word."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text = text
        self._variables = variables
        self._position = 0
        self._depth = 0

    def run(self, stop: str = "") -> str:
        """The expanded text up to `stop` or the end."""
        result = ""
        while self._position < len(self._text):
            character = self._text[self._position]
            if character == stop:
                return result
            self._position += 1
            if character == "'":
                result += self._single()
            elif character == '"':
                result += self._double()
            elif character == "\\":
                result += self._take() or "\\"
            elif character == "$":
                result += self._variable()
            else:
                result += character
        if stop:
            raise Invalid("syntax error: missing '}'")
        return result

    def _take(self) -> str:
        found = self._text[self._position : self._position + 1]
        self._position += 1
        return found

    def _single(self) -> str:
        end = self._text.find("'", self._position)
        if end < 0:
            raise Invalid("unexpected end of statement while looking for matching single-quote")
        found = self._text[self._position : end]
        self._position = end + 1
        return found

    def _double(self) -> str:
        result = ""
        while self._position < len(self._text):
            character = self._take()
            if character == '"':
                return result
            if character == "\\":
                following = self._take()
                result += following if following in ('"', "$", "\\") else "\\" + following
            elif character == "$":
                result += self._variable()
            else:
                result += character
        raise Invalid("unexpected end of statement while looking for matching double-quote")

    def _variable(self) -> str:
        braces = self._text[self._position : self._position + 1] == "{"
        match = _NAME.match(self._text, self._position + braces)
        if match is None:
            if braces:
                raise Invalid("syntax error: bad substitution")
            return "$"
        self._position = match.end()
        value = self._variables.get(match[0])
        if not braces:
            return value or ""
        operator = self._take()
        if operator == "}":
            return value or ""
        colon = operator == ":"
        if colon:
            operator = self._take()
        if not operator:
            raise Invalid("syntax error: missing '}'")
        if operator not in ("-", "+", "?"):
            raise Invalid(f"unsupported modifier ({operator}) in substitution")
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise Invalid("syntax error: substitutions are nested too deep")
        word = self.run("}")
        self._depth -= 1
        self._position += 1
        present = value is not None and (bool(value) or not colon)
        if operator == "+":
            return word if present else ""
        if not present and operator == "?":
            raise Invalid(f"{match[0]}: {word or 'not allowed to be empty'}")
        return (value or "") if present else word

"""Words of an instruction: quotes, escapes and variables, as BuildKit reads them. Pure.

Differences to a shell: there are no special parameters (`$$` and `$1` are variables that are never set), a word that is
empty after all disappears when words are split, and an unset variable is empty unless a modifier says otherwise.
Wildcards in modifiers are `*` and `?` alone. Work grows linearly with the text: no pattern can make it stand still.
"""

import re
from collections.abc import Callable, Mapping

import msgspec

from boxship.builder.dockerfile.blanks import BLANKS
from boxship.builder.dockerfile.globs import Glob
from boxship.errors import Invalid

DEPTH_LIMIT = 50  # substitutions inside substitutions
SIZE_LIMIT_CHARACTERS = 16 << 20  # of one result
_NAME = re.compile(r"\d+|[@*#?\-$!]|\w+|")
_SPACE = re.compile(f"[{BLANKS}]+")


class Expansion(msgspec.Struct, frozen=True):
    """What became of a text. `text` is one word with its blanks, `words` the same split at blanks that no quote or
    escape protects. `used` and `undefined` are the names of variables that were asked for and were there,
    or not (a modifier that says what an unset one stands for makes it no miss)."""

    text: str
    words: tuple[str, ...]
    used: frozenset[str] = frozenset()
    undefined: frozenset[str] = frozenset()


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How to read: `escape` is the escape token; `quotes` off leaves quotes alone (here-documents); `keep_quotes` and
    `keep_escapes` look at them but leave them in the result; `keep_unset` leaves unset variables as they stand."""

    escape: str = "\\"
    quotes: bool = True
    keep_quotes: bool = False
    keep_escapes: bool = False
    keep_unset: bool = False


def expand(text: str, variables: Mapping[str, str], escape: str = "\\") -> Expansion:
    """Quotes and escapes taken off, variables put in. Raises Invalid."""
    return read(text, variables, Reading(escape=escape))


def expand_word(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """One word."""
    return expand(text, variables, escape).text


def expand_heredoc(content: str, variables: Mapping[str, str]) -> Expansion:
    """The content of a COPY's or ADD's here-document: quotes stay, the escape token is always a backslash."""
    return read(content, variables, Reading(quotes=False))


def read(text: str, variables: Mapping[str, str], reading: Reading) -> Expansion:
    """Expand a text in the given way. Raises Invalid, naming the text."""
    run = _Run(text, variables, reading)
    try:
        pieces = run.until("", keep_escapes=reading.keep_escapes)
    except Invalid as error:
        raise Invalid(f'failed to process "{text[:200]}": {error}') from None
    return Expansion(
        "".join(piece for piece, _ in pieces), _split(pieces), frozenset(run.used), frozenset(run.undefined)
    )


_Piece = tuple[str, bool]  # a text, and whether blanks in it are protected


def _split(pieces: list[_Piece]) -> tuple[str, ...]:
    """Words between blanks that are not protected; empty ones are dropped."""
    words: list[str] = []
    current: list[str] = []
    for text, protected in pieces:
        if protected:
            current.append(text)
            continue
        first, *others = _SPACE.split(text)
        current.append(first)
        for other in others:
            words.append("".join(current))
            current = [other]
    words.append("".join(current))
    return tuple(word for word in words if word)


class _Run:
    """One pass over a text."""

    def __init__(self, text: str, variables: Mapping[str, str], reading: Reading) -> None:
        self._text = text
        self._variables = variables
        self._reading = reading
        self._position = 0
        self._depth = 0
        self._size = 0
        self.used: set[str] = set()
        self.undefined: set[str] = set()
        self._plain: dict[str, re.Pattern[str]] = {}

    def until(self, stop: str, *, keep_escapes: bool) -> list[_Piece]:
        """The expanded pieces up to `stop` (which is consumed), or up to the end where `stop` is empty."""
        pieces: list[_Piece] = []
        quotes = self._reading.quotes
        while self._position < len(self._text):
            if match := self._plain_run(stop).match(self._text, self._position):
                pieces.append((match[0], False))
                self._position = match.end()
                continue
            character = self._text[self._position]
            if character == stop:
                self._position += 1
                return pieces
            if character == "$":
                pieces.append((self._dollar(), False))
            elif quotes and character == "'":
                pieces.append((self._single(), True))
            elif quotes and character == '"':
                pieces.append((self._double(keep_escapes), True))
            else:
                pieces += self._escaped(keep_escapes)
        if stop:
            raise Invalid(f"unexpected end of statement while looking for matching {stop}")
        return pieces

    def _plain_run(self, stop: str) -> re.Pattern[str]:
        if stop not in self._plain:
            special = "$" + stop + self._reading.escape + ("'\"" if self._reading.quotes else "")
            self._plain[stop] = re.compile(f"[^{re.escape(special)}]+")
        return self._plain[stop]

    def _escaped(self, keep: bool) -> list[_Piece]:
        """The escape token and what follows it; at the end of the text it is nothing."""
        token = self._text[self._position]
        following = self._text[self._position + 1 : self._position + 2]
        self._position += 1 + len(following)
        return [((token if keep else "") + following, True)]

    def _single(self) -> str:
        end = self._text.find("'", self._position + 1)
        if end < 0:
            raise Invalid("unexpected end of statement while looking for matching single-quote")
        found = self._text[self._position : end + 1]
        self._position = end + 1
        return found if self._reading.keep_quotes else found[1:-1]

    def _double(self, keep_escapes: bool) -> str:
        quote = '"' if self._reading.keep_quotes else ""
        escape = self._reading.escape
        result = [quote]
        self._position += 1
        while self._position < len(self._text):
            character = self._text[self._position]
            if character == "$":
                result.append(self._dollar())
                continue
            self._position += 1
            if character == '"':
                return "".join(result) + quote
            if character == escape:
                if keep_escapes:
                    result.append(character)
                following = self._text[self._position : self._position + 1]
                if not following:
                    break
                if following in ('"', "$", escape):
                    character = following
                    self._position += 1
            result.append(character)
        raise Invalid("unexpected end of statement while looking for matching double-quote")

    def _name(self) -> str:
        match = _NAME.match(self._text, self._position)
        assert match is not None  # the last alternative is empty
        self._position = match.end()
        return match[0]

    def _value(self, name: str, *, may_be_unset: bool = False) -> str | None:
        value = self._variables.get(name)
        if value is None:
            if not may_be_unset:
                self.undefined.add(name)
            return None
        self.used.add(name)
        self._size += len(value)
        if self._size > SIZE_LIMIT_CHARACTERS:
            raise Invalid(f"the result is longer than {SIZE_LIMIT_CHARACTERS} characters")
        return value

    def _dollar(self) -> str:
        """What stands for `$…` at the position."""
        self._position += 1
        if self._text[self._position : self._position + 1] != "{":
            name = self._name()
            if not name:
                return "$"
            value = self._value(name)
            return f"${name}" if value is None and self._reading.keep_unset else value or ""
        self._position += 1
        following = self._text[self._position : self._position + 1]
        if not following:
            raise Invalid("syntax error: missing '}'")
        if following in "{}:":
            raise Invalid("syntax error: bad substitution")
        name = self._name()
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise Invalid(f"syntax error: more than {DEPTH_LIMIT} substitutions in each other")
        result = self._braces(name)
        self._depth -= 1
        return result

    def _braces(self, name: str) -> str:
        operator = self._text[self._position : self._position + 1]
        self._position += 1
        if operator == "}":
            value = self._value(name)
            return f"${{{name}}}" if value is None and self._reading.keep_unset else value or ""
        if operator == "/":
            return self._replaced(name)
        written = operator
        if operator == ":":
            operator = self._text[self._position : self._position + 1]
            self._position += 1
            written += operator
        if not operator:
            raise Invalid("syntax error: missing '}'")
        if operator not in MODIFIERS:
            raise Invalid(f"unsupported modifier ({written}) in substitution")
        word = self._part("}", keep_escapes=operator in "#%")
        value = self._value(name, may_be_unset=operator in "-+?")
        if value is None and self._reading.keep_unset:
            return f"${{{name}{written}{word}}}"
        return MODIFIERS[operator](name, value, word, written[0] == ":")

    def _part(self, stop: str, *, keep_escapes: bool) -> str:
        """A word inside braces."""
        try:
            return "".join(piece for piece, _ in self.until(stop, keep_escapes=keep_escapes))
        except Invalid:
            if self._position >= len(self._text):
                missing = "missing '/' in ${}" if stop == "/" else "missing '}'"
                raise Invalid(f"syntax error: {missing}") from None
            raise

    def _replaced(self, name: str) -> str:
        """${name/pattern/replacement}, with two slashes every occurrence."""
        everywhere = self._text[self._position : self._position + 1] == "/"
        self._position += everywhere
        pattern = self._part("/", keep_escapes=True)
        replacement = self._part("}", keep_escapes=True)
        value = self._value(name)
        if value is None and self._reading.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        value = value or ""
        glob = _glob(pattern)
        result: list[str] = []
        position = 0
        start = 0
        while found := glob.find(value, start):
            first, last = found
            if not (first == last == position and result):  # nothing, right behind the last find, is no new find
                result += (value[position:first], replacement)
                self._size += len(replacement)
                if self._size > SIZE_LIMIT_CHARACTERS:
                    raise Invalid(f"the result is longer than {SIZE_LIMIT_CHARACTERS} characters")
                position = last
            if not everywhere:
                break
            start = max(last, first + 1)
            if start > len(value):
                break
        return "".join(result) + value[position:]


def _glob(pattern: str) -> Glob:
    try:
        return Glob(pattern)
    except Invalid as error:
        raise Invalid(f"invalid pattern ({pattern}) in substitution: {error}") from None


def _default(name: str, value: str | None, word: str, empty_too: bool) -> str:
    return word if value is None or (empty_too and not value) else value


def _alternative(name: str, value: str | None, word: str, empty_too: bool) -> str:
    return "" if value is None or (empty_too and not value) else word


def _required(name: str, value: str | None, word: str, empty_too: bool) -> str:
    if value is None:
        raise Invalid(f"{name}: {word or 'is not allowed to be unset'}")
    if empty_too and not value:
        raise Invalid(f"{name}: {word or 'is not allowed to be empty'}")
    return value


def _without_prefix(name: str, value: str | None, word: str, empty_too: bool) -> str:
    longest = word.startswith("#")
    value = value or ""
    return value[_glob(word[longest:]).prefix(value, longest=longest) :]


def _without_suffix(name: str, value: str | None, word: str, empty_too: bool) -> str:
    longest = word.startswith("%")
    value = value or ""
    return value[: len(value) - _glob(word[longest:]).suffix(value, longest=longest)]


MODIFIERS: dict[str, Callable[[str, str | None, str, bool], str]] = {
    "-": _default,
    "+": _alternative,
    "?": _required,
    "#": _without_prefix,
    "%": _without_suffix,
}

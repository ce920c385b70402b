"""`.env` and `env_file`: lines of NAME=VALUE with quotes, comments and variables, or "raw" lines without any of these.

    NAME=value # comment       variables are put in; a comment begins with " #"
    NAME="a\\n${B}"              escapes and variables, may span lines
    NAME='as it is'            may span lines; \\' is a quote
    export NAME: value         `export` and the colon are accepted
    NAME                       the value of the surrounding environment, if it has one

It must never read a file or an environment by itself: both are handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from boxship.compose.document import FileError, Place
from boxship.compose.interpolation import Lookup as Lookup
from boxship.compose.interpolation import TemplateError, substitute

FILE_BYTES = 4 * 1024 * 1024  # size of one file
FORMATS = ("", "raw")

_EXPORT = re.compile(r"export[ \t]+(?=[^\s=:])")
_NAME = re.compile(r"[^\W]?[\w.\-\[\]]*")
_BLANKS = " \t\v\f\r\x85\xa0"
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)) | {'"': '"', "\\": "\\", "$": "$$"}


def parse(
    text: bytes,
    file: str,
    lookup: Lookup,
    format: str = "",
    missing: Callable[[str], None] = lambda name: None,
) -> dict[str, str]:
    """The variables of a file. `lookup` is the surrounding environment, which wins over the file's own earlier lines
    inside values; `missing` is told of variables that nobody has. Raises FileError."""
    if format not in FORMATS:
        raise FileError(Place(file), f"unsupported: the format {format!r} of an environment file (there is only 'raw')")
    if len(text) > FILE_BYTES:
        raise FileError(Place(file), f"the file is larger than {FILE_BYTES} bytes")
    try:
        decoded = text.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise FileError(Place(file, line, 1), f"the text is not UTF-8: {error.reason}") from None
    if "\0" in decoded:
        line = decoded.count("\n", 0, decoded.index("\0")) + 1
        raise FileError(Place(file, line, 1), "a value cannot hold the character U+0000")
    return _parse_raw(decoded, file, lookup) if format == "raw" else _Reader(decoded, file, lookup, missing).read()


def _parse_raw(text: str, file: str, lookup: Lookup) -> dict[str, str]:
    """Each line is a variable, its value everything behind the first `=`."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.lstrip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not name or re.search(r"\s", name):
            raise FileError(Place(file, number, 1), f"{name!r} is no name of a variable")
        inherited = None if equals else lookup(name)
        if equals or inherited is not None:
            found[name] = value if equals else inherited or ""
    return found


class _Reader:
    """One file being read."""

    def __init__(self, text: str, file: str, lookup: Lookup, missing: Callable[[str], None]) -> None:
        self.text = text
        self.file = file
        self.lookup = lookup
        self.missing = missing
        self.found: dict[str, str] = {}

    def read(self) -> dict[str, str]:
        for name, value in self._statements():
            if value is not None:
                self.found[name] = value
        return self.found

    def _error(self, position: int, reason: str) -> FileError:
        line = self.text.count("\n", 0, position) + 1
        return FileError(Place(self.file, line, position - self.text.rfind("\n", 0, position)), reason)

    def _skip(self, position: int, blanks: str = _BLANKS) -> int:
        while position < len(self.text) and self.text[position] in blanks:
            position += 1
        return position

    def _line_end(self, position: int) -> int:
        end = self.text.find("\n", position)
        return len(self.text) if end < 0 else end

    def _statements(self) -> Iterator[tuple[str, str | None]]:
        position = self._skip(0, _BLANKS + "\n")
        while position < len(self.text):
            if self.text[position] == "#":
                position = self._line_end(position)
            else:
                name, position, value = self._statement(position)
                yield name, value
            position = self._skip(position, _BLANKS + "\n")

    def _statement(self, position: int) -> tuple[str, int, str | None]:
        """A name, where the text goes on, and the value."""
        export = _EXPORT.match(self.text, position)
        start = export.end() if export else position
        match = _NAME.match(self.text, start)
        name = match[0] if match else ""
        after = self._skip(start + len(name))
        mark = self.text[after : after + 1]
        if name and mark in ("", "\n"):
            return name, after, self.lookup(name)
        if not name or mark not in ("=", ":"):
            line = self.text[start : self._line_end(start)]
            if name and after > start + len(name):
                raise self._error(start, f"the name of a variable cannot contain a space: {line!r}")
            raise self._error(after, f"unexpected character {mark!r} in the name of a variable: {line!r}")
        begin = self._skip(after + 1)
        quote = self.text[begin : begin + 1]
        if quote not in ("'", '"') or not quote:
            end = self._line_end(begin)
            return name, end, self._expand(self.text[begin:end].partition(" #")[0].rstrip(), begin)
        end = self._closing(begin, quote)
        value = self._quoted(self.text[begin + 1 : end], quote, begin)
        rest = self._skip(end + 1)
        if self.text[rest : rest + 1] not in ("", "\n", "#"):
            raise self._error(rest, "there is more text after the closing quote")
        return name, self._line_end(rest), value

    def _closing(self, begin: int, quote: str) -> int:
        position = begin + 1
        while position < len(self.text) and self.text[position] != quote:
            position += 2 if self.text[position] == "\\" else 1
        if position >= len(self.text):
            raise self._error(begin, f"the quote {quote} is never closed: {self.text[begin : self._line_end(begin)]}")
        return position

    def _quoted(self, value: str, quote: str, position: int) -> str:
        if quote == "'":
            return value.replace("\\'", "'")
        return self._expand(_ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[0]), value), position)

    def _expand(self, value: str, position: int) -> str:
        try:
            return substitute(value, self._value, self.missing)
        except TemplateError as error:
            raise self._error(position, str(error)) from None

    def _value(self, name: str) -> str | None:
        value = self.lookup(name)
        return self.found.get(name) if value is None else value

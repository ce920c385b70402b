"""The file's text becomes logical lines: comments gone, continued lines joined, here-documents taken out. Pure."""

import re
from collections.abc import Callable, Sequence

import msgspec

from boxship.builder.dockerfile import heredocs
from boxship.builder.dockerfile.blanks import BLANKS
from boxship.builder.dockerfile.problems import DockerfileError
from boxship.builder.dockerfile.syntax import Heredoc, Location

FILE_LIMIT_BYTES = 16 << 20
LINE_LIMIT_CHARACTERS = 65_535
INSTRUCTIONS_LIMIT = 2_000
TEXT_LIMIT_CHARACTERS = 2 << 20  # of all instructions; comments and here-documents do not count
_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}
_NOT_TEXT = re.compile("[\ud800-\udfff]")
_CONTINUED = {
    escape: re.compile(rf"(?:(?<=[^{re.escape(escape)}])|^){re.escape(escape)}[ \t]*$") for escape in ("\\", "`")
}

Fail = Callable[[str, int, int], DockerfileError]  # reason, first and last line


class Line(msgspec.Struct, frozen=True):
    """One instruction's text on one line. `empty` are the numbers of blank lines in the middle of it."""

    location: Location
    text: str
    heredocs: tuple[Heredoc, ...] = ()
    empty: tuple[int, ...] = ()


def decoded(content: bytes | str, file: str) -> str:
    """The text; bytes that are not UTF-8 stay recognisable (a comment may have them). Raises DockerfileError."""
    size = len(content)
    if size > FILE_LIMIT_BYTES:
        raise DockerfileError(f"the file is larger than {FILE_LIMIT_BYTES} bytes", Location(file, 1, 1))
    if isinstance(content, str):
        return content.removeprefix("\ufeff")
    for mark, name in _MARKS.items():
        if content.startswith(mark):
            raise DockerfileError(f"the file is {name}, not UTF-8", Location(file, 1, 1))
    return content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def physical(text: str) -> list[str]:
    """Lines with their ends."""
    lines = text.split("\n")
    ended = [line + "\n" for line in lines[:-1]]
    return [*ended, lines[-1]] if lines[-1] else ended


def readable(line: str) -> str:
    """A line as it may be shown: no end, and nothing that is not text."""
    return line.rstrip("\r\n").encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Reader:
    """Goes through the file once."""

    def __init__(self, lines: Sequence[str], escape: str, fail: Fail, file: str) -> None:
        self._lines = lines
        self._escape = escape
        self._fail = fail
        self._file = file
        self._next = 0
        self._size = 0
        self.comments: dict[int, str] = {}

    def read(self) -> list[Line]:
        """Every logical line. Raises DockerfileError."""
        found: list[Line] = []
        while self._next < len(self._lines):
            line = self._logical()
            if line is not None:
                found.append(line)
            if len(found) > INSTRUCTIONS_LIMIT:
                raise self._fail(f"the file has more than {INSTRUCTIONS_LIMIT} instructions", self._next, self._next)
        return found

    def _take(self) -> str:
        """The next physical line without its end."""
        line = self._lines[self._next]
        self._next += 1
        if len(line) > LINE_LIMIT_CHARACTERS:
            raise self._fail(f"the line is longer than {LINE_LIMIT_CHARACTERS} characters", self._next, self._next)
        return line.rstrip("\r\n")

    def _comment(self, line: str) -> bool:
        stripped = line.lstrip(BLANKS)
        if stripped.startswith("#"):
            self.comments[self._next] = readable(stripped[1:]).strip()
            return True
        return False

    def _logical(self) -> Line | None:
        """The next logical line, or None for a blank one or a comment."""
        line = self._take().lstrip(BLANKS)
        first = self._next
        if not line or self._comment(line):
            return None
        text, more = self._cut(line)
        parts = [text]
        self._count(text)
        empty: list[int] = []
        while more and self._next < len(self._lines):
            line = self._take()
            if self._comment(line):
                continue
            if not line.strip(BLANKS):
                empty.append(self._next)
                continue
            text, more = self._cut(line)
            parts.append(text)
            self._count(text)
        text = "".join(parts)
        if not text.strip(BLANKS):
            return None
        self._clean(text, first)
        documents = self._documents(text, first)
        return Line(Location(self._file, first, self._next), text, documents, tuple(empty))

    def _count(self, text: str) -> None:
        self._size += len(text)
        if self._size > TEXT_LIMIT_CHARACTERS:
            raise self._fail(
                f"the instructions are longer than {TEXT_LIMIT_CHARACTERS} characters", self._next, self._next
            )

    def _cut(self, line: str) -> tuple[str, bool]:
        """A line without its continuation mark, and whether it had one."""
        match = _CONTINUED[self._escape].search(line)
        return (line[: match.start()], True) if match else (line, False)

    def _clean(self, text: str, first: int) -> None:
        if not text.isascii() and _NOT_TEXT.search(text):
            raise self._fail("the text is not UTF-8", first, self._next)
        if "\0" in text:
            raise self._fail("the text has a NUL byte", first, self._next)

    def _documents(self, text: str, first: int) -> tuple[Heredoc, ...]:
        """The here-documents that a line announces, read from the lines behind it."""
        documents: list[Heredoc] = []
        for announced in heredocs.announced(text):
            content: list[str] = []
            while True:
                if self._next >= len(self._lines):
                    raise self._fail(f"unterminated heredoc: no line is {announced.name}", first, self._next)
                line = self._lines[self._next]
                self._next += 1
                bare = line.rstrip("\r\n")
                if (bare.lstrip("\t") if announced.chomp else bare) == announced.name:
                    break
                content.append(line)
            joined = "".join(content)
            self._clean(joined, first)
            documents.append(msgspec.structs.replace(announced, content=joined))
        return tuple(documents)

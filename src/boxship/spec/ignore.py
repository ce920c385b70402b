"""Which paths of a build context are left out: the rules of .dockerignore, and wildcards of paths. Pure.

The last rule that fits a path, or one of the folders above it, decides. Rules are compiled so that a path costs a few
dictionary look-ups, and so that no pattern, however made, makes matching stand still. The snapshots' child program uses
it: it must import nothing that is slow to load.
"""

from __future__ import annotations

import posixpath
import re

from boxship.errors import Invalid

TYPE_CHECKING = False  # the typing module would double the child's time to start
if TYPE_CHECKING:
    from collections.abc import Iterable

PATTERNS_LIMIT = 10_000
LOOSE_LIMIT = 1  # places like `a**b` in one pattern, which cannot be matched without going back
CACHE_LIMIT = 100_000  # folders remembered
_WILD = re.compile(r"[*?\[\\]")
_DEEP, _REST, _STAR = "<deep>", "<rest>", "<star>"  # longer than any token that stands for one character's text
_CLASS = re.compile(
    r"\[(\^?)((?:\\.|[^\]\\-])(?:-(?:\\.|[^\]\\-]))?(?:(?:\\.|[^\]\\-])(?:-(?:\\.|[^\]\\-]))?)*)\]", re.S
)
_RANGE = re.compile(r"\\?(.)(?:-\\?(.))?", re.S)


class BadPattern(Invalid):
    """A pattern that is none; the message says which and why."""


def lines_of(content: bytes, errors: str = "surrogateescape") -> list[str]:
    """The lines of an ignore file. Bytes that are not UTF-8 become what file names have for them, or what `errors` of
    bytes.decode says."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors)
    return [line.removesuffix("\r") for line in text.split("\n")]


def cleaned(pattern: str) -> str:
    """A pattern without `./`, doubled slashes, `x/..`, leading and trailing slashes."""
    return posixpath.normpath(pattern).lstrip("/") or "/"


def compiled(pattern: str, *, deep: bool = True) -> re.Pattern[str]:
    """A pattern for `fullmatch` of whole paths: `*` and `?` within one name, `[a-z]`, `\\x`, and with `deep` also `**`
    for any number of folders. Raises BadPattern."""
    tokens = _tokens(pattern, deep)
    if pattern.startswith("**") and not pattern.startswith("**/") and deep and not _WILD.search(pattern[2:]):
        return re.compile(".*" + re.escape(pattern[2:]), re.S)  # `**x` is any path that ends with x
    sections: list[list[str]] = [[]]
    for token in tokens:
        if token == _DEEP:
            sections.append([])
        else:
            sections[-1].append(token)
    parts = [_section(sections[0])]
    loose = 0
    for number, section in enumerate(sections[1:], 1):
        inner = f"(?:[^/]*/)*?{_section(section)}"
        last = number == len(sections) - 1
        aligned = not last and section[-1:] == ["/"]
        loose += not last and not aligned
        parts.append(f"(?>{inner})" if aligned else inner)
    if loose > LOOSE_LIMIT:
        raise BadPattern(f"cannot use pattern {pattern!r}: too many ** beside other characters")
    return re.compile("".join(parts), re.S)


def _tokens(pattern: str, deep: bool) -> list[str]:
    """The pattern as regular expressions of single characters, and the marks for stars."""
    tokens: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            if deep and pattern.startswith("*", position):
                position += 1
                position += pattern.startswith("/", position)
                token = _REST if position >= len(pattern) else _DEEP
                if token == _REST or tokens[-1:] != [_DEEP]:  # any number of folders twice is any number of folders
                    tokens.append(token)
            else:
                tokens.append(_STAR)
        elif character == "?":
            tokens.append("[^/]")
        elif character == "[":
            match = _CLASS.match(pattern, position - 1)
            if match is None:
                raise BadPattern(f"syntax error in pattern {pattern!r}")
            position = match.end()
            tokens.append(_character_class(match[1] == "^", match[2]))
        elif character == "\\":
            if position >= len(pattern):
                raise BadPattern(f"syntax error in pattern {pattern!r}")
            tokens.append(re.escape(pattern[position]))
            position += 1
        else:
            tokens.append(re.escape(character))
    return tokens


def _character_class(negated: bool, content: str) -> str:
    ranges = ""
    for match in _RANGE.finditer(content):
        first, last = match[1], match[2] or match[1]
        if first <= last:
            ranges += f"{re.escape(first)}-{re.escape(last)}"
    if negated:
        return f"[^/{ranges}]"
    return f"(?!/)[{ranges}]" if ranges else "(?!)"


def _section(tokens: list[str]) -> str:
    """What stands between two `**`. Of several stars in one name, all but the last may stop at the first fit."""
    result: list[str] = []
    fixed: list[str] = []
    starred = False
    for token in (*tokens, ""):
        if token == _STAR:
            if starred:
                result.append(f"(?>[^/]*?{''.join(fixed)})")
            else:
                result += fixed
            fixed, starred = [], True
        elif token in ("/", "", _REST):
            result.append(("[^/]*" if starred else "") + "".join(fixed))
            result.append(".*" if token == _REST else token)
            fixed, starred = [], False
        else:
            fixed.append(token)
    return "".join(result)


class _Exception:
    """A rule with `!`: the names of its path one by one, for looking whether it can fit below a folder. `open`: what
    follows them may be anything."""

    def __init__(self, index: int, pattern: str) -> None:
        self.index = index
        names = pattern.split("/")
        closed = re.search(r"\*\*|\[|\\", pattern) is None
        if not closed:
            names = names[: next(number for number, name in enumerate(names) if re.search(r"\*\*|\[|\\", name))]
        self.open = not closed
        self._names = [compiled(name) for name in names]

    def may_fit_below(self, folder: list[str]) -> bool:
        for number, name in enumerate(folder):
            if number >= len(self._names):
                return self.open
            if not self._names[number].fullmatch(name):
                return False
        return self.open or len(self._names) > len(folder)


class Ignore:
    """The rules of one ignore file, given as its lines. Raises BadPattern."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._kept: list[bool] = []  # by rule: whether it is one with `!`
        self._paths: dict[str, int] = {}  # the last rule of this very path
        self._names: dict[str, int] = {}  # the last rule `**/name`
        self._wild: list[tuple[int, re.Pattern[str]]] = []
        self._exceptions: list[_Exception] = []
        self._folders: dict[str, int] = {"": -1}
        for line in lines:
            self._add(line)
        self._wild.reverse()
        self.active = bool(self._kept)

    def _add(self, line: str) -> None:
        if line.startswith("#"):
            return
        pattern = line.strip()
        if not pattern:
            return
        kept = pattern.startswith("!")
        if kept:
            pattern = pattern[1:].strip()
            if not pattern:
                raise BadPattern('illegal exclusion pattern: "!"')
        pattern = cleaned(pattern)
        index = len(self._kept)
        if index >= PATTERNS_LIMIT:
            raise BadPattern(f"more than {PATTERNS_LIMIT} patterns")
        self._kept.append(kept)
        if not _WILD.search(pattern):
            self._paths[pattern] = index
        elif pattern.startswith("**/") and "/" not in pattern[3:] and not _WILD.search(pattern[3:]):
            self._names[pattern[3:]] = index
        else:
            self._wild.append((index, compiled(pattern)))
        if kept:
            self._exceptions.append(_Exception(index, pattern))

    def _own(self, path: str, name: str, best: int) -> int:
        """The last rule that fits this path itself, if it comes after `best`."""
        best = max(best, self._paths.get(path, -1), self._names.get(name, -1))
        for index, pattern in self._wild:
            if index <= best:
                break
            if pattern.fullmatch(path):
                return index
        return best

    def _folder(self, folder: str) -> int:
        """The last rule that fits a folder or one above it."""
        waiting: list[str] = []
        while folder not in self._folders:
            waiting.append(folder)
            folder = folder.rpartition("/")[0]
        best = self._folders[folder]
        if len(self._folders) > CACHE_LIMIT:
            self._folders = {"": -1}
        for path in reversed(waiting):
            best = self._own(path, path.rpartition("/")[2], best)
            self._folders[path] = best
        return best

    def _last(self, path: str, is_dir: bool) -> int:
        if is_dir:
            return self._folder(path)
        folder, _, name = path.rpartition("/")
        return self._own(path, name, self._folders[folder] if folder in self._folders else self._folder(folder))

    def excludes(self, path: str, is_dir: bool = False) -> bool:
        """Whether the path, relative to the context and without a leading slash, is left out."""
        last = self._last(path, is_dir)
        return last >= 0 and not self._kept[last]

    def may_descend(self, folder: str) -> bool:
        """Whether anything below the folder may be wanted; False lets a walk skip it."""
        last = self._folder(folder)
        if last < 0 or self._kept[last]:
            return True
        names = folder.split("/")
        return any(rule.index > last and rule.may_fit_below(names) for rule in self._exceptions)

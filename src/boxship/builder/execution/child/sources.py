"""The tree that a step reads: a folder of this machine, or an image's files. Selections are resolved here, the same for
a checksum and for the copy itself.

Every name is opened below the tree's own descriptor. A folder is entered by its last name and never through a link;
links in the path of a selection are followed by openat2 inside the tree. Nothing here writes.
"""

from __future__ import annotations

import errno
import os
import stat

from boxship.builder.execution.child.wildcards import compile_pattern, has_wildcard, unescape
from boxship.errors import Invalid, NotFound
from boxship.sys.path import open_in_root, resolve_in_root

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from boxship.spec.ignore import Ignore

    Names = list[tuple[str, os.stat_result]]

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DEPTH_LIMIT = 800  # folders within folders


class Match:
    """One file or folder that a selection names. `path` is where it is in the tree, `name` its last name as it was
    written (a link's own); `relative` is its path below the pivot for --parents."""

    __slots__ = ("info", "name", "path", "relative")

    def __init__(self, path: str, name: str, relative: str, info: os.stat_result) -> None:
        self.path = path
        self.name = name
        self.relative = relative
        self.info = info


class SourceTree:
    """A tree by its open root. `origin` names it in messages; `ignore` are the lines of its ignore file."""

    def __init__(self, root: int, origin: str, ignore: list[str]) -> None:
        self.root = root
        self.origin = origin
        self.excludes: Callable[[str, bool], bool] | None = None
        self._may_hold: Callable[[str], bool] = lambda path: False
        if ignore:
            rules = make_rules(ignore)
            self.excludes = rules.excludes
            self._may_hold = rules.may_descend

    def open_folder(self, path: str) -> int:
        """A folder by its path in the tree, which has no links in it."""
        return open_in_root(self.root, path, FOLDER)

    def look(self, path: str) -> os.stat_result | None:
        """What stands at a path; a link in its last part is not followed."""
        try:
            descriptor = open_in_root(self.root, path, os.O_PATH | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def names(self, folder: int, path: str) -> Names:
        """What an open folder holds, by name, without what is ignored and without sockets."""
        found: Names = []
        prefix = path + "/" if path else ""
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    info = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISSOCK(info.st_mode) or (self.excludes and self._hidden(prefix + entry.name, info)):
                    continue
                found.append((entry.name, info))
        found.sort()
        return found

    def _hidden(self, path: str, info: os.stat_result) -> bool:
        """Whether the ignore file leaves a path out; a folder only where nothing in it is wanted."""
        assert self.excludes is not None
        if not stat.S_ISDIR(info.st_mode):
            return self.excludes(path, False)
        if not self.excludes(path, True):
            return False
        return not (self._may_hold(path) and self._holds_something(path))

    def _holds_something(self, path: str) -> bool:
        """Whether an ignored folder has something in it that is not ignored."""
        try:
            folder = self.open_folder(path)
        except OSError:
            return False
        try:
            return bool(self.names(folder, path))
        finally:
            os.close(folder)

    def matches(self, selection: dict[str, Any], *, parents: bool) -> Iterator[Match]:
        """What a selection names, in the order of its paths. NotFound for a path without wildcards that is missing."""
        for written in selection["paths"]:
            if parents:
                yield from self._with_parents(written)
            else:
                yield from self._of(written, selection)

    def _of(self, written: str, selection: dict[str, Any]) -> Iterator[Match]:
        parts = clean(written)
        wild = next((at for at, part in enumerate(parts) if has_wildcard(part)), len(parts))
        if wild == len(parts) or not selection["wildcards"]:
            plain = [unescape(part) for part in parts] if selection["wildcards"] else parts
            yield self._single("/".join(plain), written, selection["follow"])
            return
        base = self._resolve("/".join(unescape(part) for part in parts[:wild]), True)
        for found in self._glob(base, parts[wild:]):
            yield self._single(found, found, selection["follow"])

    def _single(self, path: str, written: str, follow: bool) -> Match:
        place = self._resolve(path, follow)
        info = self.look(place)
        if info is None or self._left_out(place, info):
            raise NotFound(f"cannot find {'/' + written.strip('/')} in the {self.origin}")
        return Match(place, path.rpartition("/")[2], path, info)

    def _left_out(self, path: str, info: os.stat_result) -> bool:
        """Whether a path, or a folder above it, is ignored."""
        if not path or self.excludes is None:
            return False
        return self._hidden(path, info)

    def _resolve(self, path: str, follow: bool) -> str:
        """The path without links in it, as text."""
        if not path:
            return ""
        above, _, last = path.rpartition("/")
        try:
            if follow:
                return resolve_in_root(self.root, path).strip("/")
            return f"{resolve_in_root(self.root, above)}/{last}".strip("/")
        except OSError as error:
            raise Invalid(f"cannot follow the links of /{path} in the {self.origin}: {error.strerror}") from error

    def _glob(self, base: str, parts: list[str]) -> Iterator[str]:
        """Paths below `base` whose names match one pattern each; links on the way are not followed."""
        for path, info in self._matching(base, compile_pattern(parts[0])):
            if len(parts) == 1:
                yield path
            elif stat.S_ISDIR(info.st_mode):
                yield from self._glob(path, parts[1:])

    def _matching(self, base: str, matches: Callable[[str], object]) -> Iterator[tuple[str, os.stat_result]]:
        """What is in a folder under a name that matches, by its path; nothing where that is no folder."""
        try:
            folder = self.open_folder(base)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return
            raise
        try:
            names = self.names(folder, base)
        finally:
            os.close(folder)
        for name, info in names:
            if matches(name):
                yield (f"{base}/{name}" if base else name), info

    def _with_parents(self, written: str) -> Iterator[Match]:
        """--parents: paths below the pivot ("/./"), each with its way from there."""
        before, pivot, after = written.partition("/./")
        if not pivot:
            before, after = "", written
        base = self._resolve("/".join(unescape(part) for part in clean(before)), True)
        parts = clean(after)
        found = False
        for path in self._deep_glob(base, parts) if parts else [base]:
            info = self.look(path)
            if info is not None:
                found = True
                relative = path[len(base) :].lstrip("/")
                yield Match(path, path.rpartition("/")[2], relative, info)
        if not found and not any(has_wildcard(part) for part in parts):
            raise NotFound(f"cannot find {'/' + written.strip('/')} in the {self.origin}")

    def _deep_glob(self, base: str, parts: list[str], depth: int = 0) -> Iterator[str]:
        """As `_glob`, and "**" stands for any number of folders. A folder that matches is one match with all in it."""
        if depth > DEPTH_LIMIT:
            raise Invalid(f"cannot read /{base} in the {self.origin}: folders nested deeper than {DEPTH_LIMIT}")
        if parts[0] == "**" and len(parts) > 1:
            yield from self._deep_glob(base, parts[1:], depth + 1)
        any_depth = parts[0] == "**"
        for path, info in self._matching(base, _any if any_depth else compile_pattern(parts[0])):
            if len(parts) == 1:
                yield path
            elif stat.S_ISDIR(info.st_mode):
                yield from self._deep_glob(path, parts if any_depth else parts[1:], depth + 1)


def _any(name: str) -> bool:
    return True


def make_rules(lines: list[str]) -> Ignore:
    """Patterns as rules. Invalid for one that is none."""
    from boxship.spec.ignore import BadPattern, Ignore

    try:
        return Ignore(lines)
    except BadPattern as error:
        raise Invalid(str(error)) from error


def clean(path: str) -> list[str]:
    """The parts of a path from the tree's root; ".." cannot lead above it."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts

"""Walks through what a selection names, in one order for the checksum and for the copy."""

from __future__ import annotations

import errno
import os
import stat

from boxship.builder.execution.child.sources import DEPTH_LIMIT, FOLDER, Match, SourceTree, make_rules
from boxship.errors import Conflict, Invalid

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Walker:
    """Visits the files of one source. What a subclass does with each is in `enter`, `leave` and `file`; `target` is its
    own value for the folder above."""

    def __init__(self, tree: SourceTree, selection: dict[str, Any], *, parents: bool) -> None:
        self.tree = tree
        self.selection = selection
        self.parents = parents
        self._excludes: Callable[[str, bool], bool] | None = None
        self._may_hold: Callable[[str], bool] = lambda path: False
        if selection["exclude"]:
            rules = make_rules(list(selection["exclude"]))
            self._excludes, self._may_hold = rules.excludes, rules.may_descend

    def enter(self, folder: int, name: str, relative: str, info: os.stat_result, target: Any) -> Any:
        """A folder, opened as `folder`, before what is in it; the target for what is in it."""
        raise NotImplementedError

    def leave(self, folder: int, name: str, info: os.stat_result, target: Any) -> None:
        """The same folder when all in it was visited; `target` is what `enter` gave."""

    def file(self, folder: int, path: str, name: str, relative: str, info: os.stat_result, target: Any) -> None:
        """Anything but a folder; `path` is that of its folder, which is open as `folder`."""
        raise NotImplementedError

    def excluded(self, relative: str, *, is_folder: bool) -> bool:
        """Whether --exclude leaves a path out, relative to what is copied."""
        if self._excludes is None or not self._excludes(relative, is_folder):
            return False
        return not (is_folder and self._may_hold(relative))

    def excluded_match(self, match: Match) -> bool:
        """A file that was named itself is left out by its name as well as by its path."""
        is_folder = stat.S_ISDIR(match.info.st_mode)
        if is_folder and not self.parents:
            return False
        return self.excluded(match.name, is_folder=is_folder) or self.excluded(match.relative, is_folder=is_folder)

    def contents(self, folder: int, path: str, relative: str, target: Any, depth: int = 0) -> None:
        """All that is in an open folder. `relative` is "" or ends with a slash."""
        if depth > DEPTH_LIMIT:
            raise Invalid(f"cannot read /{path}: folders nested deeper than {DEPTH_LIMIT}")
        for name, info in self.tree.names(folder, path):
            below = relative + name
            is_folder = stat.S_ISDIR(info.st_mode)
            if self._excludes is not None and self.excluded(below, is_folder=is_folder):
                continue
            if is_folder:
                self.folder(folder, f"{path}/{name}" if path else name, name, below, info, target, depth)
            else:
                self.file(folder, path, name, below, info, target)

    def folder(
        self, above: int, path: str, name: str, relative: str, info: os.stat_result, target: Any, depth: int
    ) -> None:
        """One folder with all that is in it; `above` is open, and `path` the folder's own."""
        try:
            folder = os.open(name, FOLDER, dir_fd=above)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise changed(path) from None
            raise
        try:
            inner = self.enter(folder, name, relative, info, target)
            self.contents(folder, path, relative + "/", inner, depth + 1)
            self.leave(folder, name, info, inner)
        finally:
            os.close(folder)


def changed(path: str) -> Conflict:
    """The error for a file that is no longer what it was a moment ago."""
    return Conflict(f"cannot copy /{path}: it changed while the build read it")

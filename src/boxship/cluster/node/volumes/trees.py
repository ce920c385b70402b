"""Trees that containers may have made, looked at and removed: however deep they are, and whatever is moved in them
meanwhile. Python's own walks call themselves for each level, so a pod could end them by making folders in folders.

No link is followed and no other filesystem entered. Blocking: for a thread.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Identity = tuple[int, int]


class _Level(msgspec.Struct):
    """A folder that is being looked at, and those of its folders that are still to come."""

    identity: Identity
    files: Sequence[str]
    folders: Sequence[str]
    left: list[str]


def folders(root: Path) -> Iterator[tuple[int, Sequence[str], Sequence[str]]]:
    """Each folder after all that are in it: an open descriptor, which counts until the next step, and the names of
    what is no folder and of what is one. Raises OSError where the root is none, and where the way back is lost because
    somebody has moved the folder."""
    here = os.open(root, OPEN)
    try:
        levels = [_level(here)]
        while True:
            level = levels[-1]
            inner = _enter(here, level) if level.left else -1
            if inner >= 0:
                os.close(here)
                here = inner
                levels.append(_level(here))
            elif not level.left:
                yield here, level.files, level.folders
                levels.pop()
                if not levels:
                    return
                outer = os.open("..", OPEN, dir_fd=here)
                os.close(here)
                here = outer
                if _identity(here) != levels[-1].identity:
                    raise OSError(errno.ESTALE, "a folder was moved while it was looked at", str(root))
    finally:
        os.close(here)


def remove(root: Path) -> None:
    """The whole tree. Raises OSError for what cannot be removed."""
    for here, files, inner in folders(root):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=here)
        for name in inner:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(name, dir_fd=here)
    os.rmdir(root)


def _enter(here: int, level: _Level) -> int:
    """The next folder of a level, opened; -1 for one that is gone or another filesystem's."""
    try:
        inner = os.open(level.left.pop(), OPEN, dir_fd=here)
    except OSError:
        return -1
    if os.fstat(inner).st_dev == level.identity[0]:
        return inner
    os.close(inner)
    return -1


def _level(here: int) -> _Level:
    files: list[str] = []
    inner: list[str] = []
    with os.scandir(here) as entries:
        for entry in entries:
            (inner if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
    return _Level(_identity(here), files, inner, list(inner))


def _identity(here: int) -> Identity:
    status = os.fstat(here)
    return status.st_dev, status.st_ino

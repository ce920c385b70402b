"""How much a tree takes: bytes on the device and inodes, as du counts: a file with several names once, holes not,
folders as well.

The tree may be a container's, which goes on changing it: however deep it is, few descriptors are open at any time, and
what vanishes meanwhile is left out. Where a folder that is being looked at is moved there is no way back from it: then
the tree is looked at again, a few times, and the most that was seen counts.
"""

from __future__ import annotations

import os
import stat

_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LOOKS = 3  # at a tree that is moved about
_DISK_BLOCK = 512  # bytes, as st_blocks counts


class _Level:
    """A folder on the way down: who it is, and its folders that are still to be seen."""

    __slots__ = ("identity", "left")

    def __init__(self, identity: tuple[int, int], left: list[str]) -> None:
        self.identity = identity
        self.left = left


class _Count:
    """What was seen so far."""

    def __init__(self) -> None:
        self.blocks = 0
        self.inodes = 0
        self._several: set[tuple[int, int]] = set()

    def enter(self, folder: int) -> _Level:
        """Count an open folder and its files."""
        own = os.fstat(folder)
        self.blocks += own.st_blocks
        self.inodes += 1
        below = []
        for name in os.listdir(folder):
            try:
                info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(info.st_mode):
                below.append(name)
                continue
            if info.st_nlink > 1:
                identity = (info.st_dev, info.st_ino)
                if identity in self._several:
                    continue
                self._several.add(identity)
            self.blocks += info.st_blocks
            self.inodes += 1
        return _Level((own.st_dev, own.st_ino), below)


def measure(root: int) -> tuple[int, int]:
    """Bytes and inodes of an open folder with all that is in it; other filesystems in it are left out."""
    found = [(0, 0)]
    for _ in range(LOOKS):
        count = _Count()
        whole = _look(root, count)
        found.append((count.blocks * _DISK_BLOCK, count.inodes))
        if whole:
            return found[-1]
    return max(found)


def _look(root: int, count: _Count) -> bool:
    """Whether all was seen."""
    here = os.dup(root)
    try:
        levels = [count.enter(here)]
        while True:
            level = levels[-1]
            if level.left:
                inner = _enter(here, level)
                if inner >= 0:
                    os.close(here)
                    here = inner
                    levels.append(count.enter(here))
                continue
            levels.pop()
            if not levels:
                return True
            outer = os.open("..", _LOOK, dir_fd=here)
            os.close(here)
            here = outer
            own = os.fstat(here)
            if (own.st_dev, own.st_ino) != levels[-1].identity:
                return False  # it was moved: there is no way back
    except OSError:
        return False
    finally:
        os.close(here)


def _enter(here: int, level: _Level) -> int:
    """The next folder of a level, opened; -1 for one that is gone or another filesystem's."""
    try:
        inner = os.open(level.left.pop(), _LOOK, dir_fd=here)
    except OSError:
        return -1
    if os.fstat(inner).st_dev == level.identity[0]:
        return inner
    os.close(inner)
    return -1

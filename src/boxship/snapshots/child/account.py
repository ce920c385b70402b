"""Disk usage of a tree, told apart as finely as was asked: each byte is in exactly one account.

As du counts: blocks on the device, a file with several names once, holes not, folders as well. Few descriptors are open
at any time, however wide a folder is.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from collections.abc import Mapping

_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DISK_BLOCK = 512  # bytes, as st_blocks counts


class _Level:
    """A folder on the way down: open, with the names of its folders that are still to be seen."""

    __slots__ = ("account", "below", "deeper", "folder", "path")

    def __init__(self, folder: int, path: str, account: str, deeper: int) -> None:
        self.folder = folder
        self.path = path
        self.account = account
        self.deeper = deeper  # levels below that have accounts of their own
        self.below: list[str] = []


def accounts(root: int, depths: Mapping[str, int]) -> dict[str, int]:
    """Bytes by path relative to the open folder `root`. `depths` says of folders how many levels below them have an
    account for each entry; what lies deeper counts to the entry that it is in. The root's own account is ""."""
    blocks: dict[str, int] = {}
    seen: set[tuple[int, int]] = set()
    blocks[""] = os.fstat(root).st_blocks
    levels = [_enter(os.dup(root), "", "", depths.get("", 0), blocks, seen)]
    while levels:
        level = levels[-1]
        if not level.below:
            os.close(level.folder)
            levels.pop()
            continue
        name = level.below.pop()
        try:
            folder = os.open(name, _LOOK, dir_fd=level.folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        path, account, deeper = level.path, level.account, 0
        if level.deeper:
            path = account = f"{path}/{name}" if path else name
            deeper = depths.get(path, level.deeper - 1)
        blocks[account] = blocks.get(account, 0) + os.fstat(folder).st_blocks
        levels.append(_enter(folder, path, account, deeper, blocks, seen))
    return {path: count * _DISK_BLOCK for path, count in blocks.items()}


def _enter(
    folder: int, path: str, account: str, deeper: int, blocks: dict[str, int], seen: set[tuple[int, int]]
) -> _Level:
    """Count the files of a folder, and note the folders in it."""
    level = _Level(folder, path, account, deeper)
    for name in os.listdir(folder):
        try:
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(info.st_mode):
            level.below.append(name)
            continue
        if info.st_nlink > 1:
            if (info.st_dev, info.st_ino) in seen:
                continue
            seen.add((info.st_dev, info.st_ino))
        owner = account if not deeper else f"{path}/{name}" if path else name
        blocks[owner] = blocks.get(owner, 0) + info.st_blocks
    return level

"""--chown: "user[:group]" by names of the root's own /etc/passwd and /etc/group, or by numbers.

A user's name stands for its group too; a number alone stands for the group of the same number (BuildKit's rules). The
files are an image's and not trusted: they are read up to a limit, and broken lines are skipped.
"""

from __future__ import annotations

import os
import stat

from boxship.errors import Invalid
from boxship.sys.path import open_in_root

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from collections.abc import Iterator

_FILE_LIMIT = 1 << 20  # bytes of /etc/passwd and /etc/group
_LARGEST_ID = (1 << 32) - 2


def resolve_owner(root: int, text: str) -> tuple[int, int]:
    """The numbers behind "user[:group]", by the files below `root`. Invalid for a name that they lack."""
    user, colon, group = text.partition(":")
    uid, gid = 0, 0
    if user:
        number = _number(user)
        if number is not None:
            uid = gid = number
        else:
            uid, gid = _account(root, user)
    if colon and group:
        number = _number(group)
        gid = number if number is not None else _group(root, group)
    return uid, gid


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > 12 or int(text) > _LARGEST_ID:
        raise Invalid(f"cannot use owner {text}: ids go up to {_LARGEST_ID}")
    return int(text)


def _account(root: int, name: str) -> tuple[int, int]:
    for fields in _lines(root, "etc/passwd", 4):
        if fields[0] == name and fields[2].isdigit() and fields[3].isdigit():
            return int(fields[2]), int(fields[3])
    raise Invalid(f"unable to find user {name}: no matching entries in passwd file")


def _group(root: int, name: str) -> int:
    for fields in _lines(root, "etc/group", 3):
        if fields[0] == name and fields[2].isdigit():
            return int(fields[2])
    raise Invalid(f"unable to find group {name}: no matching entries in group file")


def _lines(root: int, path: str, fields: int) -> Iterator[list[str]]:
    try:
        found = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            return
        text = b""
        while len(text) <= _FILE_LIMIT and (part := os.read(found, _FILE_LIMIT)):
            text += part
    finally:
        os.close(found)
    for line in text.decode("utf-8", "surrogateescape").split("\n"):
        parts = line.strip().split(":")
        if len(parts) >= fields and not line.startswith("#"):
            yield parts

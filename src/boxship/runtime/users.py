"""Finds out who a container's process runs as, from the container's own /etc/passwd and /etc/group.

The files belong to the image and may be anything: they are opened inside the container's root, only regular files are
read, and only up to a limit. This module never looks at the machine's own users.
"""

import os
import stat
from collections.abc import Iterator, Sequence

from boxship.errors import Internal, Invalid
from boxship.runtime.plan import Identity
from boxship.sys.path import open_in_root

FILE_LIMIT = 4 << 20  # bytes
LARGEST_ID = (1 << 31) - 1  # as Docker: the kernel's -1 and its neighbours are no ids

_Row = list[str]


def resolve_user(root: str, user: str, groups: Sequence[str]) -> Identity:
    """Who "user[:group]" is in the container at `root`, with further groups by name or number.

    An empty user is root. Supplementary groups come from the group file unless a group was named. Raises Invalid with
    Docker's texts for names that aren't there.
    """
    name, colon, group = user.strip().partition(":")
    passwd, group_rows = _read(root, "/etc/passwd"), _read(root, "/etc/group")
    row = _find_user(passwd, name)
    if row is not None:
        login, uid, gid, home = row
    else:
        number = _given_number(name or "0")
        if number is None:
            raise Invalid(f"unable to find user {name}: no matching entries in passwd file")
        login, uid, gid, home = "", number, 0, "/"
    supplementary: list[int] = []
    if colon and group:
        gid = _group_id(group_rows, group)
    elif login:
        supplementary = [number for number, members in _members(group_rows) if login in members]
    supplementary += [_group_id(group_rows, extra) for extra in groups]
    # The first is the process's own group, so that a file which shuts its group out does so for this process too.
    return Identity(uid, gid, tuple(dict.fromkeys((gid, *supplementary))), home or "/")


def _find_user(rows: Sequence[_Row], name: str) -> tuple[str, int, int, str] | None:
    """(login, uid, gid, home) of a name or, where no name fits first, a number. No name means uid 0."""
    number = _number(name or "0")
    for row in rows:
        if len(row) < 4:
            continue
        uid, gid = _number(row[2] or "0"), _number(row[3] or "0")
        if uid is None or gid is None:
            continue
        if (name and row[0] == name) or (number is not None and uid == number):
            return row[0], uid, gid, row[5] if len(row) > 5 else ""
    return None


def _group_id(rows: Sequence[_Row], name: str) -> int:
    number = _given_number(name)
    for row in rows:
        if len(row) < 3:
            continue
        gid = _number(row[2] or "0")
        if gid is not None and (row[0] == name or gid == number):
            return gid
    if number is None:
        raise Invalid(f"unable to find group {name}: no matching entries in group file")
    return number


def _members(rows: Sequence[_Row]) -> Iterator[tuple[int, list[str]]]:
    for row in rows:
        if len(row) >= 4:
            gid = _number(row[2] or "0")
            if gid is not None:
                yield gid, row[3].split(",")


def _number(text: str) -> int | None:
    """The id that a text of digits names; None for any other text and for ids out of range."""
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        return None
    number = int(text)
    return number if number <= LARGEST_ID else None


def _given_number(text: str) -> int | None:
    """As `_number`, but raises Invalid for an id out of range, because the user asked for it."""
    number = _number(text)
    if number is None and text.isascii() and text.isdigit():
        raise Invalid(f"uids and gids must be in range 0-{LARGEST_ID}")
    return number


def _read(root: str, path: str) -> list[_Row]:
    """The file's rows; none where there is no such regular file. Raises Invalid where it is too large."""
    try:
        root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Internal(f"cannot open the root {root}: {error.strerror}") from error
    try:
        found = open_in_root(root_fd, path, os.O_PATH)
    except OSError:
        return []
    finally:
        os.close(root_fd)
    try:
        # looked at before it is opened for reading: opening a device or a pipe may do something
        if not stat.S_ISREG(os.fstat(found).st_mode):
            return []
        with open(f"/proc/self/fd/{found}", "rb") as file:
            content = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise Internal(f"cannot read {path} of the container: {error.strerror}") from error
    finally:
        os.close(found)
    if len(content) > FILE_LIMIT:
        raise Invalid(f"cannot read {path} of the container: it has more than {FILE_LIMIT} bytes")
    lines = (line.strip() for line in content.decode("utf-8", "surrogateescape").split("\n"))
    return [line.split(":") for line in lines if line and not line.startswith("#")]

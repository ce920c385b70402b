"""Who "user[:group]" is, by the container's own /etc/passwd and /etc/group.

The files are opened inside the container's root (no symlink leads out), read up to a limit, and broken lines are
skipped: an image's content is not trusted.
"""

import os
import stat
from collections.abc import Iterator

from boxship.errors import Internal, Invalid
from boxship.runtime.plan import Identity
from boxship.sys.path import open_in_root

FILE_LIMIT = 1 << 20  # bytes read of passwd and group
MAXIMUM_ID = (1 << 31) - 1


def resolve_user(root: str, user: str, groups: tuple[str, ...] = (), policy: str = "") -> Identity:
    """The numbers behind a user and further groups, each a name or a number.

    The groups that the container's files give the user count where no group was given (Docker's rule), always with the
    policy "merge", never with "strict".

    A name that the files lack raises Invalid with Docker's text; a number that they lack stands for itself.
    """
    name, _, group = user.partition(":")
    try:
        folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Internal(f"cannot look up user {user}: {root}: {error.strerror}") from error
    try:
        accounts = list(_lines(folder, "/etc/passwd", 7))
        known = list(_lines(folder, "/etc/group", 4))
    finally:
        os.close(folder)
    uid, gid, home, account = _account(name, accounts)
    named: list[int] = []
    if group:
        gid = _group(group, known)
    if account and (policy == "merge" or not (group or policy)):
        named = [number for fields in known if account in fields[3].split(",") and (number := _id(fields[2])) >= 0]
    extra = [_group(each, known) for each in groups]
    return Identity(uid=uid, gid=gid, groups=tuple(dict.fromkeys((*named, *extra))), home=home)


def _account(name: str, accounts: list[list[str]]) -> tuple[int, int, str, str]:
    """uid, gid, home and login name."""
    wanted = name or "0"
    number = _number(wanted)
    for fields in accounts:
        uid, gid = _id(fields[2]), _id(fields[3])
        if uid >= 0 and gid >= 0 and (fields[0] == wanted or (number is not None and uid == number)):
            return uid, gid, fields[5] or "/", fields[0]
    if number is None:
        raise Invalid(f"unable to find user {name}: no matching entries in passwd file")
    return number, 0, "/root" if number == 0 and not accounts else "/", ""


def _group(name: str, known: list[list[str]]) -> int:
    number = _number(name)
    for fields in known:
        gid = _id(fields[2])
        if gid >= 0 and (fields[0] == name or gid == number):
            return gid
    if number is None:
        raise Invalid(f"unable to find group {name}: no matching entries in group file")
    return number


def _number(text: str) -> int | None:
    """A number that a user wrote. Raises Invalid beyond the kernel's range."""
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > 20 or int(text) > MAXIMUM_ID:
        raise Invalid(f"uids and gids must be in range 0-{MAXIMUM_ID}")
    return int(text)


def _id(text: str) -> int:
    """A number in a file; -1 for a broken one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAXIMUM_ID else -1


def _lines(folder: int, path: str, fields: int) -> Iterator[list[str]]:
    try:
        # Looked at before it is opened for reading: an image may have a device there, and to open one may do something.
        found = open_in_root(folder, path, os.O_PATH)
    except OSError:
        return
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            return
        with open(f"/proc/self/fd/{found}", "rb") as file:
            text = file.read(FILE_LIMIT + 1)
    except OSError:
        return
    finally:
        os.close(found)
    if len(text) > FILE_LIMIT:
        raise Invalid(f"cannot read {path} of the container: it has more than {FILE_LIMIT} bytes")
    for line in text.decode(errors="surrogateescape").split("\n"):
        parts = line.strip().split(":")
        if len(parts) >= fields and parts[0] and not parts[0].startswith("#"):
            yield parts

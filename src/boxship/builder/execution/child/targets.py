"""Folders of the root that is written: opened, made where they are missing, and what stands in the way there."""

from __future__ import annotations

import errno
import os
import stat

from boxship.builder.execution.child.sources import FOLDER
from boxship.errors import Invalid
from boxship.sys.path import resolve_in_root

_DEFAULT_ACL = "system.posix_acl_default"


class Place:
    """A folder that is written to. `plain`: what is made in it inherits neither group nor access list; `fresh`: made
    by us; `path` is its path from the root."""

    __slots__ = ("descriptor", "fresh", "path", "plain")

    def __init__(self, descriptor: int, path: str, *, fresh: bool) -> None:
        self.descriptor = descriptor
        self.path = path
        self.fresh = fresh
        self.plain = not os.fstat(descriptor).st_mode & stat.S_ISGID and not _has_default_acl(descriptor)


def resolve(destination: str) -> str:
    """The absolute path, without links in it, that a destination in the root leads to; what is missing is kept."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return resolve_in_root(root, destination)
    except OSError as error:
        raise Invalid(f"cannot copy to {destination}: {error.strerror}") from error
    finally:
        os.close(root)


def make_folders(path: str, owner: tuple[int, int] | None, mode: int) -> int:
    """Open a folder of the root by a path without links; what is missing is made. Invalid where a file is in it."""
    current = os.open("/", FOLDER)
    done = ""
    for part in path.split("/"):
        if part in ("", "."):
            continue
        done += "/" + part
        try:
            below = os.open(part, FOLDER, dir_fd=current)
        except FileNotFoundError:
            os.mkdir(part, 0o755, dir_fd=current)
            below = os.open(part, FOLDER, dir_fd=current)
            os.fchown(below, *(owner or (0, 0)))
            os.fchmod(below, mode)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise Invalid(f"cannot copy to non-directory: {done}") from None
            raise
        os.close(current)
        current = below
    return current


def make_room(target: Place, name: str) -> None:
    """Take away the file that stands at a name; a folder stays, and is an error."""
    try:
        info = os.stat(name, dir_fd=target.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(info.st_mode):
        raise Invalid(f"cannot replace to directory {target.path}/{name} with file")
    os.unlink(name, dir_fd=target.descriptor)


def is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path, follow_symlinks=False).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _has_default_acl(descriptor: int) -> bool:
    try:
        return _DEFAULT_ACL in os.listxattr(descriptor)
    except OSError:
        return False

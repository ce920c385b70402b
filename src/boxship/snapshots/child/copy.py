"""The Docker archive API inside one root: look at a path, read it as an archive, unpack an archive into a folder.

Paths are resolved by openat2 inside the root, so a container that swaps folders and links meanwhile gains nothing, and
the magic links of a /proc that it sees are refused.
"""

from __future__ import annotations

import errno
import os
import stat

from boxship.errors import Invalid, NotFound
from boxship.snapshots.child.jobs import confine, mount_view
from boxship.snapshots.child.pack import Packer
from boxship.snapshots.child.source import open_source
from boxship.snapshots.child.tarwrite import Writer
from boxship.snapshots.child.unpack import Unpacker, refusal
from boxship.sys.path import open_in_root, resolve_in_root

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from typing import Any

_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def _enter(job: dict[str, Any]) -> int:
    """Go into the job's root; a descriptor of it."""
    mount_view(job["mounts"])
    confine(job["root"], job["users"])
    return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _failed(error: OSError, path: str) -> Exception:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(path)
    return refusal(error, f"cannot open {path!r}")


def _open(root: int, path: str) -> int:
    """The file that a path names: its last part is not followed, unless "/" or "/." stands behind it."""
    follow = path.endswith(("/", "/.")) or path in ("", ".")
    try:
        descriptor = open_in_root(root, path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))
    except OSError as error:
        raise _failed(error, path) from error
    if follow and path.strip("/.") and not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise NotFound(path)
    return descriptor


def base_name(path: str) -> str:
    """The last part of a path as the archive API names it: "." behind "/.", "/" for the root."""
    if path.endswith("/.") and path.strip("/.") and not path.endswith("/.."):
        return "."
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts[-1] if parts else "/"


def stat_path(job: dict[str, Any]) -> dict[str, Any]:
    """Name, size, mode, mtime (nanoseconds) and, for a link, where it leads inside the root."""
    root = _enter(job)
    path = job["path"]
    descriptor = _open(root, path)
    info = os.fstat(descriptor)
    target = ""
    if stat.S_ISLNK(info.st_mode):
        try:
            target = resolve_in_root(root, path)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            target = os.readlink("", dir_fd=descriptor)
    return {
        "name": base_name(path),
        "size": info.st_size,
        "mode": info.st_mode,
        "mtime": info.st_mtime_ns,
        "link_target": target,
    }


def get(job: dict[str, Any]) -> None:
    """Write the archive of a path; its top entry has the path's last part as its name."""
    root = _enter(job)
    path = job["path"]
    descriptor = _open(root, path)
    info = os.fstat(descriptor)
    name = job["name"] or base_name(path)
    writer = Writer(1)
    packer = Packer(writer)
    if stat.S_ISDIR(info.st_mode):
        folder = os.open(".", _LOOK, dir_fd=descriptor)
        packer.folder(folder, "/" if name == "/" else name + "/", named=True)
    else:
        parent, _, last = path.rstrip("/").rpartition("/")
        try:
            folder = open_in_root(root, parent, os.O_PATH | os.O_DIRECTORY)
            os.fchdir(folder)
            packer.file(last, name, os.lstat(last))
        except OSError as error:
            raise _failed(error, path) from error
    writer.close()


class _ArchiveUnpacker(Unpacker):
    """Unpacks into a root whose owner may be changing it meanwhile."""

    def __init__(self, root: int, base: str, *, strict_kinds: bool, owner: tuple[int, int] | None) -> None:
        super().__init__(base, strict_kinds=strict_kinds, owner=owner)
        self._root = root

    def open_folder(self, path: str) -> int:
        return open_in_root(self._root, path, os.O_PATH | os.O_DIRECTORY)


class _Allowance:
    """Counts the plain bytes of an archive, which may be compressed to nearly nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit

    def take(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            raise Invalid(f"cannot unpack the archive: longer than {self._limit} bytes")


def put(job: dict[str, Any]) -> None:
    """Unpack the archive on descriptor 0 into an existing folder of the root."""
    source = open_source(0, _Allowance(job["limit"]).take if job["limit"] else None)
    root = _enter(job)
    path = job["path"]
    try:
        descriptor = open_in_root(root, path, os.O_PATH)
        base = resolve_in_root(root, path)
    except OSError as error:
        raise _failed(error, path) from error
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise Invalid("extraction point is not a directory")
    try:
        writable = os.open(".", _LOOK, dir_fd=descriptor)
        os.utime(writable, ns=(os.fstat(writable).st_atime_ns, os.fstat(writable).st_mtime_ns))
    except OSError as error:
        raise refusal(error, f"cannot write to {path!r}") from error
    owner = job["owner"]
    unpacker = _ArchiveUnpacker(root, base, strict_kinds=job["strict"], owner=tuple(owner) if owner else None)
    unpacker.run(source)

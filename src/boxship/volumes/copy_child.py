"""A program of its own: copies a folder of an image into a volume, with everything that belongs to a file.

Runs as `python3 -I -S`, job on stdin (marshal), answer on stdout (JSON). The source is resolved inside the root by
openat2; the target is reached through open folders alone, because a container may be changing it. It must never follow
a link, open a device, or overwrite what is there.
"""

from __future__ import annotations

import errno
import marshal
import os
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from boxship.sys.path import open_in_root

_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20


class Copy:
    """One run; remembers files that have several names, by their path from the target."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._seen: dict[tuple[int, int], str] = {}

    def folder(self, source: int, target: int, path: str = "") -> None:
        """Everything in one open folder into another, then the folder's own attributes."""
        for name in os.listdir(source):
            info = os.stat(name, dir_fd=source, follow_symlinks=False)
            kind = stat.S_IFMT(info.st_mode)
            if kind == stat.S_IFDIR:
                below = os.open(name, _LOOK, dir_fd=source)
                os.mkdir(name, 0o700, dir_fd=target)
                made = os.open(name, _LOOK, dir_fd=target)
                self.folder(below, made, f"{path}{name}/")
                os.close(below)
                os.close(made)
            elif kind != stat.S_IFSOCK:
                self._file(source, target, name, path, info)
        _copy_attributes(source, target, os.fstat(source))

    def _file(self, source: int, target: int, name: str, path: str, info: os.stat_result) -> None:
        if info.st_nlink > 1:
            first = self._seen.setdefault((info.st_dev, info.st_ino), path + name)
            if first != path + name:
                folder, _, last = first.rpartition("/")
                origin = open_in_root(self._target, folder, os.O_PATH | os.O_DIRECTORY)
                os.link(last, name, src_dir_fd=origin, dst_dir_fd=target, follow_symlinks=False)
                os.close(origin)
                return
        if stat.S_ISREG(info.st_mode):
            _copy_regular(source, target, name)
            return
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        else:
            os.mknod(name, info.st_mode, info.st_rdev, dir_fd=target)
        os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
        os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def _copy_regular(source: int, target: int, name: str) -> None:
    old = os.open(name, _READ, dir_fd=source)
    new = os.open(name, _NEW_FILE, 0o600, dir_fd=target)
    try:
        info = os.fstat(old)
        _copy_data(old, new, info.st_size)
        _copy_attributes(old, new, info)
    finally:
        os.close(old)
        os.close(new)


def _copy_data(old: int, new: int, size: int) -> None:
    """The data, holes left as holes."""
    at = 0
    while at < size:
        try:
            at = os.lseek(old, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break  # nothing but a hole is left
            raise
        end = os.lseek(old, at, os.SEEK_HOLE)
        os.lseek(new, at, os.SEEK_SET)
        while at < end:
            sent = os.sendfile(new, old, at, min(end - at, _CHUNK_BYTES))
            if not sent:
                end = at
                break
            at += sent
    os.ftruncate(new, size)


def _copy_attributes(old: int, new: int, info: os.stat_result) -> None:
    os.fchown(new, info.st_uid, info.st_gid)
    for name in os.listxattr(old):
        if not name.startswith("trusted.") and name != "security.selinux":
            try:
                os.setxattr(new, name, os.getxattr(old, name))
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.ENODATA):
                    raise
    os.fchmod(new, stat.S_IMODE(info.st_mode))
    os.utime(new, ns=(info.st_atime_ns, info.st_mtime_ns))


def run(job: dict[str, str]) -> bool:
    """Whether there was a folder to copy and an empty one to take it."""
    root = os.open(job["root"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        source = open_in_root(root, job["source"], os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise
    target = os.open(job["target"], _LOOK)
    if os.listdir(target):
        return False
    os.umask(0)
    Copy(target).folder(source, target)
    return True


def main() -> None:
    try:
        copied = run(marshal.loads(sys.stdin.buffer.read()))
        answer = f'{{"copied":{str(copied).lower()}}}'
    except OSError as error:
        text = (error.strerror or "failed").replace('"', "'")
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        answer = f'{{"error":"{text}","full":{str(full).lower()}}}'
    os.write(1, answer.encode())
    os._exit(0)


if __name__ == "__main__":
    main()

"""Open and name files inside a root that somebody else may be changing at the same time (openat2, syncfs).

The kernel resolves the path with RESOLVE_IN_ROOT ("..", absolute names and symlinks stay inside the root) or with
RESOLVE_BENEATH (what leads out is refused), and magic links of /proc are refused, so there is no moment between a check
and a use. It must never open a path by any other way. It imports the standard library alone, because short-lived child
programs use it without site-packages.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_OPENAT2 = 437  # the same number on every processor that Linux knows since 5.6
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_RESOLVE_IN_ROOT = 0x10
_RACE_RETRIES = 32  # openat2 answers EAGAIN when a rename elsewhere makes ".." uncertain
_MAXIMUM_LINKS = 40  # as the kernel's own limit

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def call(number: int, *arguments: object) -> int:
    """Make a system call by its number; OSError where it fails."""
    result = int(libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def open_in_root(root_fd: int, path: str | bytes, flags: int, mode: int = 0) -> int:
    """Open `path` as a process would that has `root_fd` as its root folder; close-on-exec. Raises OSError.

    Magic links (/proc/PID/root, /proc/PID/fd/N) answer ELOOP.
    """
    return _open(root_fd, path, _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS))


def open_beneath(root_fd: int, path: str, flags: int) -> int:
    """The same for a path that must not lead out: one that does, by an absolute link too, answers EXDEV."""
    return _open(root_fd, path, _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS))


def _open(root_fd: int, path: str | bytes, how: _OpenHow) -> int:
    name = os.fsencode(path) or b"."
    if b"\0" in name:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    for attempt in range(_RACE_RETRIES):
        try:
            return call(
                _OPENAT2,
                ctypes.c_int(root_fd),
                ctypes.c_char_p(name),
                ctypes.byref(how),
                ctypes.c_size_t(ctypes.sizeof(how)),
            )
        except OSError as error:
            if error.errno != errno.EAGAIN or attempt == _RACE_RETRIES - 1:
                raise
    raise AssertionError("unreachable")


def resolve_in_root(root_fd: int, path: str) -> str:
    """The absolute path inside the root that `path` leads to, every symlink followed.

    What does not exist is kept as text, so the target of a dangling link can be named. OSError (ELOOP) where links
    go round in a circle. The answer is for showing; use open_in_root to act.
    """
    return "/" + follow_links(path, lambda part: _link_target(root_fd, part))


def follow_links(path: str, target_of: Callable[[str], str | None]) -> str:
    """Where a path leads in a tree, without a leading slash. `target_of` says what the symlink at a path without links
    on the way says, None where there is no symlink."""
    rest = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    done: list[str] = []
    links = 0
    while rest:
        part = rest.pop()
        if part == "..":
            del done[-1:]
            continue
        target = target_of("/".join((*done, part)))
        if target is None:
            done.append(part)
            continue
        links += 1
        if links > _MAXIMUM_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            done = []
        rest.extend(part for part in reversed(target.split("/")) if part not in ("", "."))
    return "/".join(done)


def _link_target(root_fd: int, path: str) -> str | None:
    """What the symlink says; None for anything that is no symlink, also what is missing."""
    try:
        descriptor = open_in_root(root_fd, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
    try:
        if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
            return None
        return os.readlink("", dir_fd=descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(descriptor: int) -> None:
    """Write everything of the filesystem that the open file lies on to its device (syncfs). Raises OSError."""
    if libc.syncfs(ctypes.c_int(descriptor)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def unshare(flags: int) -> None:
    """unshare(2) for the calling thread. OSError."""
    if libc.unshare(ctypes.c_int(flags)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))

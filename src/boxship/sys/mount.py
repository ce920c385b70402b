"""Mounts: make them, take them away, list them, and give the daemon a mount namespace of its own.

Overlay mounts and bind mounts use the new mount interface (fsopen, open_tree, move_mount), which has no limit on the
length of options and changes flags before a mount can be seen; older kernels get mount(2). Errors are Internal,
"cannot mount X on Y: why". It must never unmount anything in the machine's own mount namespace on its own account.
It imports the standard library alone, because short-lived child programs use it without site-packages.
"""

import ctypes
import errno
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from boxship.errors import Internal, Invalid, Unsupported
from boxship.sys.mountinfo import MountInfo, filesystem_of, mounted_under, parse_mountinfo, read_mountinfo
from boxship.sys.overlay import attach, overlay
from boxship.sys.path import call, libc, open_in_root, unshare

if TYPE_CHECKING:
    from boxship.spec.mount import Mount

__all__ = [
    "MountInfo",
    "attach",
    "bind",
    "enter_private_namespace",
    "join_mount_namespace",
    "mount",
    "mounted_under",
    "open_in_root",
    "overlay",
    "parse_mountinfo",
    "read_mountinfo",
    "unmount",
]

_OPEN_TREE, _MOUNT_SETATTR = 428, 442
_MAPPED = 0x100000  # MOUNT_ATTR_IDMAP
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE, _OPEN_TREE_CLONE = -100, 0x1000, 0x8000, 1
_CLONE_NEWNS, _CLONE_FS = 0x20000, 0x200
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE, _MS_SLAVE = 1, 0x20, 0x1000, 0x4000, 1 << 18, 1 << 19

# mount(8) words -> (flag to set, flag to clear) of mount(2)
_FLAGS: dict[str, tuple[int, int]] = {
    "defaults": (0, 0),
    "ro": (_MS_RDONLY, 0),
    "rw": (0, _MS_RDONLY),
    "nosuid": (2, 0),
    "suid": (0, 2),
    "nodev": (4, 0),
    "dev": (0, 4),
    "noexec": (8, 0),
    "exec": (0, 8),
    "sync": (16, 0),
    "async": (0, 16),
    "remount": (_MS_REMOUNT, 0),
    "mand": (64, 0),
    "nomand": (0, 64),
    "dirsync": (128, 0),
    "nosymfollow": (256, 0),
    "noatime": (1024, 0),
    "atime": (0, 1024),
    "nodiratime": (2048, 0),
    "diratime": (0, 2048),
    "relatime": (1 << 21, 0),
    "norelatime": (0, 1 << 21),
    "strictatime": (1 << 24, 0),
    "nostrictatime": (0, 1 << 24),
}
_BIND_WORDS = {"bind": _MS_BIND, "rbind": _MS_BIND | _MS_REC}
# words -> (attributes to set, to clear) of mount_setattr
_ATTRIBUTES: dict[str, tuple[int, int]] = {
    "ro": (0x01, 0),
    "rw": (0, 0x01),
    "nosuid": (0x02, 0),
    "suid": (0, 0x02),
    "nodev": (0x04, 0),
    "dev": (0, 0x04),
    "noexec": (0x08, 0),
    "exec": (0, 0x08),
    "relatime": (0, 0x70),
    "noatime": (0x10, 0x70),
    "strictatime": (0x20, 0x70),
    "nodiratime": (0x80, 0),
    "nosymfollow": (0x200000, 0),
}
_PROPAGATION = {"private": _MS_PRIVATE, "slave": _MS_SLAVE, "shared": 1 << 20, "unbindable": 1 << 17}


class _Attributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace"))


def split_options(options: Iterable[str]) -> tuple[int, str]:
    """mount(8) words -> flags and data of mount(2); words that are no flags are the filesystem's own."""
    flags = 0
    data = []
    for word in options:
        if word in _FLAGS:
            wanted, unwanted = _FLAGS[word]
            flags = flags & ~unwanted | wanted
        elif word in _BIND_WORDS:
            flags |= _BIND_WORDS[word]
        elif word:
            data.append(word)
    return flags, ",".join(data)


def mount(request: "Mount", *, owner: int = 0) -> None:
    """Make one mount. Kind "bind" and "overlay" take the words described at `bind` and `overlay`; `owner` is for the
    latter."""
    if request.kind == "bind":
        bind(request.source, request.target, request.options)
    elif request.kind == "overlay":
        layers = [word.partition("=")[2] for word in request.options if word.startswith("lowerdir+=")]
        named = dict(word.split("=", 1) for word in request.options if word.startswith(("upperdir=", "workdir=")))
        rest = [word for word in request.options if not word.startswith(("lowerdir+=", "upperdir=", "workdir=", "ro"))]
        overlay(
            layers,
            named.get("upperdir"),
            named.get("workdir"),
            request.target,
            read_only="ro" in request.options,
            options=rest,
            owner=owner,
        )
    else:
        flags, data = split_options(request.options)
        _mount(request.source, request.target, request.kind, flags, data)


def _mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    """mount(2)."""
    result = libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), os.fsencode(data)
    )
    if result != 0:
        error = OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        raise Internal(f"cannot mount {source or kind} on {target}: {error.strerror}") from error


def unmount(path: str | os.PathLike[str], *, detach: bool = True) -> bool:
    """Take the topmost mount at `path` away, symlinks not followed; False where nothing is mounted there.

    `detach` takes it out of sight at once and lets its users finish; without it a mount in use raises Internal.
    """
    flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if detach else 0)
    if libc.umount2(os.fsencode(path), ctypes.c_int(flags)) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
        return False
    raise Internal(f"cannot unmount {os.fspath(path)}: {os.strerror(code)}")


def detach_held(path: str | os.PathLike[str]) -> int | None:
    """Unmount as with detach, but keep the filesystem alive by the returned descriptor; None where nothing is mounted.

    Closing it ends an overlay, and that waits for its upper filesystem to be synced: do it away from the loop.
    """
    try:
        descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        gone = unmount(path)
    except BaseException:
        os.close(descriptor)
        raise
    if not gone:
        os.close(descriptor)
        return None
    return descriptor


def bind(source: str | int, target: str | int, options: Iterable[str] = ("rbind",), *, users: str = "") -> None:
    """Show `source` (a path, or an open file) at `target` (the same). Internal where it fails.

    Words: "bind" (this mount alone) or "rbind" (with the mounts below it); "ro" (the top mount alone) or "rro" (all of
    them); nosuid, nodev, noexec, noatime, …; a propagation word ("private", "rslave", …). With `users`, the path of a
    user namespace, an id on the disk stands for what it means in there, in the top mount alone; Unsupported where the
    filesystem cannot do that.
    """
    words = [word for word in options if word]
    where = f"cannot mount {source} on {target}"
    recursive = "bind" not in words
    try:
        tree = _open_tree(source, recursive)
    except OSError as error:
        raise Internal(f"{where}: {error.strerror}") from error
    try:
        _set_bind_attributes(tree, words)
        if users:
            _map_users(tree, users, str(source))
        attach(tree, target)
    except OSError as error:
        raise Internal(f"{where}: {error.strerror}") from error
    finally:
        os.close(tree)


def view_without_mounts(path: str) -> int:
    """A folder as it is below everything that is mounted in it, open for reading; nobody else sees this view."""
    try:
        tree = _open_tree(path, recursive=False)
    except OSError as error:
        raise Internal(f"cannot look into {path}: {error.strerror}") from error
    try:
        return os.open(f"/proc/self/fd/{tree}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(tree)


def _open_tree(source: str | int, recursive: bool) -> int:
    """A detached copy of the mount at `source`, cut at that folder or file."""
    folder, path, flags = (_AT_FDCWD, source, 0) if isinstance(source, str) else (source, "", _AT_EMPTY_PATH)
    flags |= _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return call(_OPEN_TREE, ctypes.c_int(folder), ctypes.c_char_p(os.fsencode(path)), ctypes.c_uint(flags))


def _set_bind_attributes(tree: int, words: Sequence[str]) -> None:
    top, deep, propagation, deep_propagation = [0, 0], [0, 0], 0, 0
    for word in words:
        if word in ("bind", "rbind", "defaults"):
            continue
        if word in _PROPAGATION:
            propagation = _PROPAGATION[word]
        elif word[:1] == "r" and word[1:] in _PROPAGATION:
            deep_propagation = _PROPAGATION[word[1:]]
        elif word in _ATTRIBUTES:
            top[0] = top[0] & ~_ATTRIBUTES[word][1] | _ATTRIBUTES[word][0]
            top[1] |= _ATTRIBUTES[word][1]
        elif word[:1] == "r" and word[1:] in _ATTRIBUTES:
            deep[0] |= _ATTRIBUTES[word[1:]][0]
            deep[1] |= _ATTRIBUTES[word[1:]][1]
        else:
            raise Invalid(f"unknown option of a bind mount: {word}")
    _set_attributes(tree, deep[0], deep[1], deep_propagation, recursive=True)
    _set_attributes(tree, top[0], top[1], propagation, recursive=False)


def can_map_users(source: str, users: str) -> None:
    """Unsupported where `bind` with these users could not show `source`; Internal where it is not there."""
    try:
        tree = _open_tree(source, recursive=False)
    except OSError as error:
        raise Internal(f"cannot look at {source}: {error.strerror}") from error
    try:
        _map_users(tree, users, source)
    finally:
        os.close(tree)


def _map_users(tree: int, users: str, source: str) -> None:
    descriptor = os.open(users, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set_attributes(tree, _MAPPED, 0, 0, recursive=False, users=descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP):
            raise
        kind = filesystem_of(source)
        why = f"the kernel cannot map the owners of files on {kind or 'this filesystem'} ({source})"
        raise Unsupported(f"unsupported: user namespaces: {why}") from error
    finally:
        os.close(descriptor)


def _set_attributes(
    tree: int, wanted: int, unwanted: int, propagation: int, *, recursive: bool, users: int = 0
) -> None:
    """mount_setattr(2) on an open mount."""
    if not (wanted or unwanted or propagation):
        return
    attributes = _Attributes(wanted, unwanted, propagation, users)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    call(_MOUNT_SETATTR, ctypes.c_int(tree), ctypes.c_char_p(b""), ctypes.c_uint(flags), ctypes.byref(attributes), size)


def enter_private_namespace() -> None:
    """Give this process a mount namespace of its own; call it before any thread starts.

    Mounts of the machine go on arriving in it, ours do not leave it. On hosts with a cgroup2 mount among version 1
    hierarchies that mount is taken away inside the new namespace alone, because crun refuses such a mix.
    """
    before = os.readlink("/proc/self/ns/mnt")
    try:
        unshare(_CLONE_NEWNS)
    except OSError as error:
        raise Internal(f"cannot make a mount namespace: {error.strerror}") from error
    if os.readlink("/proc/self/ns/mnt") == before:
        raise Internal("cannot make a mount namespace: the process has several threads")
    set_propagation("/", "rslave")
    mounts = read_mountinfo()
    if any(info.kind == "cgroup" for info in mounts):
        for info in mounts:
            if info.kind == "cgroup2" and info.target.startswith("/sys/fs/cgroup/"):
                unmount(info.target)


def set_propagation(target: str, word: str) -> None:
    """Set the propagation of the mount at `target`: "private", "rslave", …"""
    recursive = word[:1] == "r" and word[1:] in _PROPAGATION
    flag = _PROPAGATION[word[1:] if recursive else word]
    if libc.mount(None, os.fsencode(target), None, ctypes.c_ulong(flag | (_MS_REC if recursive else 0)), None) != 0:
        raise Internal(f"cannot make {target} {word}: {os.strerror(ctypes.get_errno())}")


def join_mount_namespace(pid: int) -> None:
    """Enter the mount namespace of a process; call it before any thread starts. Internal where it cannot be entered."""
    try:
        descriptor = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Internal(f"cannot join the mount namespace of process {pid}: {error.strerror}") from error
    try:
        unshare(_CLONE_FS)  # setns refuses while the working folder is shared with another thread
        if libc.setns(ctypes.c_int(descriptor), ctypes.c_int(_CLONE_NEWNS)) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    except OSError as error:
        raise Internal(f"cannot join the mount namespace of process {pid}: {error.strerror}") from error
    finally:
        os.close(descriptor)

"""Mounts of one short job in a mount namespace of its own: whatever happens to the program, nothing stays mounted."""

from __future__ import annotations

import errno
import os
import stat

from boxship.sys.mount import bind, overlay, set_propagation
from boxship.sys.path import open_in_root, unshare

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from collections.abc import Sequence

_CLONE_NEWNS = 0x20000


def make(mounts: Sequence[tuple[str, str, str, Sequence[str]]]) -> None:
    """Mounts as (kind, source, target, options). The first one's target is a path of the machine and becomes the root
    of what follows, if it is an overlay or a bind; the targets of further binds are names inside that root."""
    unshare(_CLONE_NEWNS)
    set_propagation("/", "rprivate")
    root = -1
    for kind, source, target, options in mounts:
        if kind == "overlay":
            _make_overlay(target, options)
            root = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        elif kind == "bind" and root < 0:
            bind(source, target, options)
            root = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        elif kind == "bind":
            place = _place(root, target, is_folder=os.path.isdir(source))
            bind(source, place, options)
            os.close(place)
    if root >= 0:
        os.close(root)


def _make_overlay(target: str, options: Sequence[str]) -> None:
    layers = [word.partition("=")[2] for word in options if word.startswith("lowerdir+=")]
    named = dict(word.split("=", 1) for word in options if word.startswith(("upperdir=", "workdir=")))
    rest = [word for word in options if not word.startswith(("lowerdir+=", "upperdir=", "workdir="))]
    read_only = "ro" in rest
    rest = [word for word in rest if word not in ("ro", "rw")]
    overlay(layers, named.get("upperdir"), named.get("workdir"), target, read_only=read_only, options=rest)


def _place(root: int, target: str, *, is_folder: bool) -> int:
    """Where a bind goes, inside the root, made where it is missing."""
    parts = [part for part in target.split("/") if part not in ("", ".")]
    for count in range(1, len(parts) + 1):
        path = "/".join(parts[:count])
        try:
            descriptor = open_in_root(root, path, os.O_PATH)
        except FileNotFoundError:
            parent = open_in_root(root, "/".join(parts[: count - 1]), os.O_PATH | os.O_DIRECTORY)
            if is_folder or count < len(parts):
                os.mkdir(parts[count - 1], 0o755, dir_fd=parent)
            else:
                os.mknod(parts[count - 1], stat.S_IFREG | 0o644, dir_fd=parent)
            os.close(parent)
            descriptor = open_in_root(root, path, os.O_PATH)
        if count == len(parts):
            return descriptor
        os.close(descriptor)
    raise OSError(errno.EINVAL, f"a mount cannot take the place of the root: {target!r}")

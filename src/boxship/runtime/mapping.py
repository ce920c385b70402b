"""Bind mounts as a container with users of its own gets them: an id on the disk is the same id inside.

Each is shown once more at a place of the container's, mapped, and bound from there by the runtime, whose own way to do
it depends on its version. The root is shown there too, for it has to be on a path that the container's root, who is
nobody outside, may walk. Short blocking work, for a thread. It must never act outside of the folder that it is given.
"""

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from boxship.errors import Unsupported
from boxship.runtime.host import kernel_version
from boxship.spec.mount import Mount
from boxship.spec.users import AS_IS, UserMap
from boxship.sys.mount import bind, can_map_users, unmount

ROOT = "root"
LEAST_KERNEL = (5, 19)
KEPT_FLAGS = {os.ST_NOSUID: "nosuid", os.ST_NODEV: "nodev", os.ST_NOEXEC: "noexec", os.ST_NOATIME: "noatime"}


def check_kernel(release: str) -> None:
    """Raises Unsupported where overlayfs does not take mapped layers."""
    if kernel_version(release) < LEAST_KERNEL:
        least = ".".join(str(number) for number in LEAST_KERNEL)
        raise Unsupported(f"unsupported: user namespaces: they need Linux {least}, this is {release}")


def check_reachable(folder: Path) -> None:
    """Raises Unsupported where somebody without rights cannot walk to a folder, which may not be there yet."""
    for above in reversed(folder.parents):
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IMODE(above.stat().st_mode)
            if not mode & stat.S_IXOTH:
                raise Unsupported(f"unsupported: user namespaces: {above} is closed to others (mode {mode:04o})")


def show_root(folder: Path, root: str) -> str:
    """Where a container's root, which has its owners already, is shown in `folder`, which is made."""
    place = folder / ROOT
    _make_folder(folder)
    _clear(place)
    place.mkdir(mode=0o700)
    bind(root, str(place), ("rbind",))
    return str(place)


def _make_folder(folder: Path) -> None:
    for place in (folder.parent, folder):
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o711)


def show_mapped(folder: Path, mounts: Sequence[Mount], users: UserMap) -> tuple[Mount, ...]:
    """The same mounts, those of the machine's folders and files by way of places in `folder`, which is made. Raises
    Unsupported where a filesystem cannot be mapped."""
    found = []
    for index, mount in enumerate(mounts):
        if mount.kind == "bind" and AS_IS not in mount.options:
            place = folder / str(index)
            _show(mount, place, users)
            mount = msgspec.structs.replace(mount, source=str(place))
        found.append(_with_kept_flags(plain(mount)) if mount.kind == "bind" else mount)
    return tuple(found)


def _with_kept_flags(mount: Mount) -> Mount:
    """With the flags of what is bound: in a user namespace they cannot be taken off, and without the words the runtime
    would try to."""
    flags = os.statvfs(mount.source).f_flag
    words = tuple(word for flag, word in KEPT_FLAGS.items() if flags & flag and word not in mount.options)
    return msgspec.structs.replace(mount, options=(*mount.options, *words)) if words else mount


def _show(mount: Mount, place: Path, users: UserMap) -> None:
    _make_folder(place.parent)
    _clear(place)
    if os.path.isdir(mount.source):
        place.mkdir(mode=0o700)
    else:
        place.touch(mode=0o600)
    bind(mount.source, str(place), ("bind" if "bind" in mount.options else "rbind",), users=users.path)


def plain(mount: Mount) -> Mount:
    """Without the word that is ours."""
    if AS_IS not in mount.options:
        return mount
    return msgspec.structs.replace(mount, options=tuple(word for word in mount.options if word != AS_IS))


def check_source(source: str, users: UserMap) -> None:
    """Raises Unsupported where a folder or file could not be shown."""
    can_map_users(source, users.path)


def clear_mapped(folder: Path) -> None:
    """Take away all that was shown; nothing there is fine. Nothing is removed through a mount."""
    with contextlib.suppress(FileNotFoundError):
        for entry in list(os.scandir(folder)):
            _clear(Path(entry.path))
        folder.rmdir()


def _clear(place: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        while unmount(place):
            pass
        place.rmdir() if place.is_dir() else place.unlink()

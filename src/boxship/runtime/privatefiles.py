"""Files for one process's time in memory alone: a tmpfs in the daemon's mount namespace, out of which single files are
bound into the process's root. Nothing of it is ever written to a disk (swap aside). It must never follow a link."""

import contextlib
import os
import shutil
from pathlib import Path

from boxship.spec.mount import Mount
from boxship.sys.mount import mount, mounted_under, unmount


def mount_private(place: Path, size: int) -> None:
    """An empty place for files of `size` bytes together."""
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    mount(Mount("tmpfs", "tmpfs", str(place), ("nosuid", "noexec", "nodev", "mode=700", f"size={size}")))


def write_private(path: Path, content: bytes, *, uid: int, gid: int, mode: int) -> None:
    """A new file of that owner and mode."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def clear_folder(folder: Path) -> None:
    """Take away every mount below a folder of ours, and then the folder itself; what is not there is fine."""
    for info in reversed(mounted_under(folder)):
        unmount(info.target)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)

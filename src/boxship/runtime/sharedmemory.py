"""A /dev/shm that several containers share, mounted in the daemon's mount namespace: the kernel lets no mount that was
made inside one container be taken into another. It must never follow a link: its place is the daemon's alone."""

import contextlib
from pathlib import Path

from boxship.spec.mount import Mount
from boxship.sys.mount import mount, unmount


def mount_shared_memory(place: Path, size: int, owner: int = 0) -> None:
    """A fresh one of `size` bytes, whatever a crash may have left there. `owner` is the user and the group that it
    belongs to."""
    unmount_shared_memory(place)
    place.mkdir(parents=True, exist_ok=True)
    options = ("mode=1777", f"size={size}", f"uid={owner}", f"gid={owner}")
    mount(Mount("tmpfs", "shm", str(place), ("nosuid", "noexec", "nodev", *options)))


def unmount_shared_memory(place: Path) -> None:
    """Containers that hold it keep it. Does nothing where it is gone."""
    with contextlib.suppress(FileNotFoundError):
        while unmount(place):
            pass
        place.rmdir()

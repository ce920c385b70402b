"""A snapshot's overlay for a user namespace: on the disk are the ids as the container knows them, so that layers are
shared and diffs are right, and outside they look as the machine's ids behind the namespace.

Overlayfs cannot be mapped itself, but its layers can: while it is mounted, the whole of our folder is shown mapped at a
place of its own, which goes at once. Needs Linux 5.19. Nothing may be deleted below such a place: it is the real thing.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from boxship.snapshots.layout import Layout
from boxship.snapshots.making import OPTIONS
from boxship.snapshots.showing import hide
from boxship.spec.mount import Mount
from boxship.spec.users import UserMap
from boxship.sys.mount import bind, can_map_users, unmount
from boxship.sys.mount import mount as make_mount


def mount_mapped(layout: Layout, request: Mount, users: UserMap) -> None:
    """Make the overlay mount whose layers lie in the layout. Blocks. Unsupported where the filesystem can't do it."""
    place = layout.unique(layout.mapped, "view")
    place.mkdir(mode=0o700)
    try:
        bind(str(layout.root), str(place), ("bind",), users=users.path)
        make_mount(_moved(request, str(layout.root), str(place)), owner=users.first)
    finally:
        clear(place)


def show_mapped(layout: Layout, folders: Sequence[str], target: Path, users: UserMap) -> None:
    """As `showing.show`, to the users of a namespace."""
    hide(target)
    target.mkdir(parents=True, exist_ok=True, mode=0o755)
    if len(folders) > 1:
        layers = tuple(f"lowerdir+={folder}" for folder in folders)
        mount_mapped(layout, Mount("overlay", "overlay", str(target), (*layers, *OPTIONS, "ro")), users)
    elif folders:
        bind(folders[0], str(target), ("bind", "ro"), users=users.path)


def _moved(request: Mount, root: str, place: str) -> Mount:
    """The same overlay with its layers taken from another place."""
    words = [word.partition("=") for word in request.options]
    options = (
        f"{name}={place}{value.removeprefix(root)}" if value.startswith(f"{root}/") else name + equals + value
        for name, equals, value in words
    )
    return msgspec.structs.replace(request, options=tuple(options))


def clear(place: Path) -> None:
    """Take a view away; one that is gone is fine. What is mounted keeps what it has."""
    while unmount(place):
        pass
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(place)


def clear_all(layout: Layout) -> None:
    """Take away the views that a crash left."""
    for entry in list(os.scandir(layout.mapped)):
        clear(Path(entry.path))


def check(layout: Layout, users: UserMap) -> None:
    """Unsupported where no overlay can be shown to these users."""
    can_map_users(str(layout.root), users.path)

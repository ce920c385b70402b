"""The files of finished layers, shown read-only at a folder elsewhere: nothing can be written there, nothing is copied.

Mounts live in the daemon's own mount namespace. Whoever has bound such a folder keeps seeing it after it was hidden.
"""

from collections.abc import Sequence
from pathlib import Path

from boxship.snapshots.making import OPTIONS
from boxship.spec.mount import Mount
from boxship.sys.mount import mount as make_mount
from boxship.sys.mount import unmount


def show(folders: Sequence[str], target: Path) -> None:
    """Show layers' folders, topmost first, as one tree. What was shown there before goes. Blocking."""
    hide(target)
    target.mkdir(parents=True, exist_ok=True, mode=0o755)
    if len(folders) > 1:  # an overlay that is only read has two layers at least
        layers = tuple(f"lowerdir+={folder}" for folder in folders)
        make_mount(Mount("overlay", "overlay", str(target), (*layers, *OPTIONS, "ro")))
    elif folders:
        make_mount(Mount("bind", folders[0], str(target), ("bind", "ro")))


def hide(target: Path) -> None:
    """Take the tree away; none there is fine. Blocking."""
    if not target.is_dir():
        return
    while unmount(target):
        pass
    target.rmdir()

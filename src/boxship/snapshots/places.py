"""The layer between an image and a container's own: the mount points that every container needs and an image may lack.

Without it the runtime would make /etc/hosts, /proc and the like in the container's own layer, where `docker diff` and a
commit would show them. It is made once for an image, from what the image has; nothing that the image has is replaced.
"""

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from boxship.snapshots.child.layer import LowerLayers

FOLDER, FILE = "folder", "file"
# (path, what is made there: a folder, an empty file, or else a symlink with that target)
MOUNT_POINTS: tuple[tuple[str, str], ...] = (
    ("dev", FOLDER),
    ("dev/pts", FOLDER),
    ("dev/shm", FOLDER),
    ("dev/mqueue", FOLDER),
    ("dev/console", FILE),
    ("proc", FOLDER),
    ("sys", FOLDER),
    ("etc", FOLDER),
    ("etc/hostname", FILE),
    ("etc/hosts", FILE),
    ("etc/resolv.conf", FILE),
    ("etc/mtab", "/proc/mounts"),
    (".dockerenv", FILE),
)


def make_places(
    folder: Path, lower: Sequence[str], wanted: Sequence[tuple[str, str]], seeds: Sequence[tuple[str, str]] = ()
) -> None:
    """Fill the empty `folder` with what of `wanted` the layers (topmost first) lack, and with `seeds` (path, a file of
    the machine), which hide what the layers have. OSError where the disk fails."""
    descriptors = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in lower]
    made: dict[str, os.stat_result | None] = {}  # folders of ours, and what they look like below
    try:
        layers = LowerLayers(descriptors)
        for path, source in seeds:
            below = layers.find(path)
            if below is not None and stat.S_ISDIR(below[0].st_mode):
                continue
            if _make_parent(folder, path.rpartition("/")[0], layers, made) and not os.path.lexists(folder / path):
                shutil.copyfile(source, folder / path)
                os.chmod(folder / path, 0o644)
        for path, kind in wanted:
            parent = path.rpartition("/")[0]
            if path in made or os.path.lexists(folder / path):
                continue
            if layers.find(path) is None and _make_parent(folder, parent, layers, made):
                _make(folder / path, kind)
                if kind == FOLDER:
                    made[path] = None
        for path, info in reversed(made.items()):
            if info is not None:
                os.chown(folder / path, info.st_uid, info.st_gid)
                os.chmod(folder / path, stat.S_IMODE(info.st_mode))
                os.utime(folder / path, ns=(info.st_mtime_ns, info.st_mtime_ns))
        top = os.stat(lower[0])  # the root of what a container sees looks as the image's
        os.chown(folder, top.st_uid, top.st_gid)
        os.chmod(folder, stat.S_IMODE(top.st_mode))
        os.utime(folder, ns=(top.st_mtime_ns, top.st_mtime_ns))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def find_missing(lower: Sequence[str], wanted: Sequence[tuple[str, str]]) -> tuple[list[str], list[tuple[str, str]]]:
    """The wanted paths with the layers' links followed (absolute), and those that no layer has. OSError where links go
    round in a circle."""
    descriptors = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in lower]
    try:
        layers = LowerLayers(descriptors)
        resolved = [layers.resolve(path) for path, _ in wanted]
        missing = [
            (path, kind) for path, (_, kind) in zip(resolved, wanted, strict=True) if path and layers.find(path) is None
        ]
        return ["/" + path for path in resolved], sorted(set(missing))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _make_parent(folder: Path, parent: str, layers: LowerLayers, made: dict[str, os.stat_result | None]) -> bool:
    """Make sure of the folders above; False where the image has something else than a folder there."""
    if not parent or parent in made:
        return True
    below = layers.find(parent)
    if below is not None and not stat.S_ISDIR(below[0].st_mode):
        return False
    if not _make_parent(folder, parent.rpartition("/")[0], layers, made):
        return False
    os.mkdir(folder / parent, 0o755)
    made[parent] = below[0] if below is not None else None
    return True


def _make(path: Path, kind: str) -> None:
    if kind == FOLDER:
        path.mkdir(mode=0o755)
        path.chmod(0o755)
    elif kind == FILE:
        path.touch()
        path.chmod(0o755 if path.name == ".dockerenv" else 0o644)
    else:
        path.symlink_to(kind)

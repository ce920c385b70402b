"""Files that appear in a folder all at once, as the original's volumes do it, because programs watch for exactly that:

    ..2026_11_22_18_00_00.123456789/   the files
    ..data → ..2026_…                  renamed over the old link in one step
    NAME → ..data/NAME                 what users open

Everything may be done again after a kill: what `..data` does not name is left over and goes. Blocking: for a thread.
"""

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

LINK, NEXT = "..data", "..data_tmp"


class File(msgspec.Struct, frozen=True):
    """`owner` is a uid, -1 for root."""

    data: bytes
    mode: int = 0o644
    owner: int = -1


class Owners(msgspec.Struct, frozen=True):
    """`group` is the pod's fsGroup, -1 for none; `first` the machine's id of root in a pod with users of its own."""

    group: int = -1
    first: int = 0

    def user_of(self, file: File) -> int:
        return self.first + max(file.owner, 0)

    @property
    def group_id(self) -> int:
        return self.first + max(self.group, 0)


def write(folder: Path, files: Mapping[str, File], *, group: int = -1, first: int = 0) -> bool:
    """Make the folder hold exactly these files (by their paths in it); True where something changed. `group` and
    `first` are as in `Owners`."""
    owners = Owners(group, first)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder.chmod(0o755)
    _give(folder, owners)
    current = _current(folder)
    changed = current is None or not _holds(folder / current, files, owners)
    if changed:
        current = _write_all(folder, files, owners)
        with contextlib.suppress(FileNotFoundError):
            (folder / NEXT).unlink()
        _link(current, folder / NEXT, owners)
        os.rename(folder / NEXT, folder / LINK)
    _show(folder, files, owners)
    for entry in list(os.scandir(folder)):
        if entry.name.startswith("..") and entry.name not in (current, LINK):
            _remove(Path(entry.path))
    return changed


def _current(folder: Path) -> str | None:
    """The folder that holds the files now."""
    try:
        name = os.readlink(folder / LINK)
    except OSError:
        return None
    return name if (folder / name).is_dir() else None


def _holds(folder: Path, files: Mapping[str, File], owners: Owners) -> bool:
    found = {
        os.path.relpath(os.path.join(place, name), folder) for place, _, names in os.walk(folder) for name in names
    }
    if found != set(files):
        return False
    for path, file in files.items():
        status = (folder / path).stat()
        if stat.S_IMODE(status.st_mode) != _mode(file, owners.group) or status.st_uid != owners.user_of(file):
            return False
        if status.st_size != len(file.data) or (folder / path).read_bytes() != file.data:
            return False
    return True


def _mode(file: File, group: int) -> int:
    return file.mode & 0o777 | (0o440 if group >= 0 else 0)


def _write_all(folder: Path, files: Mapping[str, File], owners: Owners) -> str:
    now = time.time_ns()
    stamp = time.strftime("..%Y_%m_%d_%H_%M_%S", time.gmtime(now // 10**9))
    name = f"{stamp}.{now % 10**9:09d}"
    place = folder / name
    place.mkdir(mode=0o755)
    place.chmod(0o755)
    made = {place}
    for path, file in files.items():
        target = place / path
        for parent in reversed(target.relative_to(place).parents[:-1]):
            if place / parent not in made:
                (place / parent).mkdir(mode=0o755)
                (place / parent).chmod(0o755)
                made.add(place / parent)
        target.write_bytes(file.data)
        os.chown(target, owners.user_of(file), owners.group_id)
        target.chmod(_mode(file, owners.group))
    for parent in made:
        _give(parent, owners)
    return name


def _give(folder: Path, owners: Owners) -> None:
    os.chown(folder, owners.first, owners.group_id)
    if owners.group >= 0:
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o2550)


def _show(folder: Path, files: Mapping[str, File], owners: Owners) -> None:
    """The links that users see: one for the first part of each path, none for what is gone."""
    wanted = {path.partition("/")[0] for path in files}
    there = {entry.name for entry in os.scandir(folder) if not entry.name.startswith("..")}
    for name in wanted - there:
        _link(f"{LINK}/{name}", folder / name, owners)
    for name in wanted & there:
        if (folder / name).lstat().st_uid != owners.first:
            os.chown(folder / name, owners.first, owners.group_id, follow_symlinks=False)
    for name in there - wanted:
        _remove(folder / name)


def _link(target: str, place: Path, owners: Owners) -> None:
    os.symlink(target, place)
    os.chown(place, owners.first, owners.group_id, follow_symlinks=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

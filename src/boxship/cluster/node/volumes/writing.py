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


def write(folder: Path, files: Mapping[str, File], *, group: int = -1) -> bool:
    """Make the folder hold exactly these files (by their paths in it); True where something changed. `group` is the
    pod's fsGroup, -1 for none."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder.chmod(0o755)
    if group >= 0:
        _give(folder, group, folder=True)
    current = _current(folder)
    changed = current is None or not _holds(folder / current, files, group)
    if changed:
        current = _write_all(folder, files, group)
        with contextlib.suppress(FileNotFoundError):
            (folder / NEXT).unlink()
        os.symlink(current, folder / NEXT)
        os.rename(folder / NEXT, folder / LINK)
    _show(folder, files)
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


def _holds(folder: Path, files: Mapping[str, File], group: int) -> bool:
    found = {
        os.path.relpath(os.path.join(place, name), folder) for place, _, names in os.walk(folder) for name in names
    }
    if found != set(files):
        return False
    for path, file in files.items():
        status = (folder / path).stat()
        owner = file.owner if file.owner >= 0 else 0
        if stat.S_IMODE(status.st_mode) != _mode(file, group) or status.st_uid != owner:
            return False
        if status.st_size != len(file.data) or (folder / path).read_bytes() != file.data:
            return False
    return True


def _mode(file: File, group: int) -> int:
    return file.mode & 0o777 | (0o440 if group >= 0 else 0)


def _write_all(folder: Path, files: Mapping[str, File], group: int) -> str:
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
        if file.owner >= 0 or group >= 0:
            os.chown(target, file.owner, group)
        target.chmod(_mode(file, group))
    if group >= 0:
        for parent in made:
            _give(parent, group, folder=True)
    return name


def _give(path: Path, group: int, *, folder: bool) -> None:
    os.chown(path, -1, group)
    path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o440 | (0o2110 if folder else 0))


def _show(folder: Path, files: Mapping[str, File]) -> None:
    """The links that users see: one for the first part of each path, none for what is gone."""
    wanted = {path.partition("/")[0] for path in files}
    there = {entry.name for entry in os.scandir(folder) if not entry.name.startswith("..")}
    for name in wanted - there:
        os.symlink(f"{LINK}/{name}", folder / name)
    for name in there - wanted:
        _remove(folder / name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

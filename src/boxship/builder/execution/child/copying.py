"""COPY and ADD into a root, by BuildKit's rules.

The root that is written is this program's own root folder, so that no link in it leads outside. What the operation
names as destination is resolved through links; below it nothing is followed: a link where a folder should come is an
error, and a file takes the place of whatever file stood there. What is read may be changing: each file is looked at
again after it was read, and a difference is a Conflict.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from boxship.builder.execution.child.counting import (
    READ,
    Count,
    Digests,
    add_attributes,
    count_parents,
    detail_of,
    new_hash,
    read_digest,
    same,
)
from boxship.builder.execution.child.data import copy_data, set_attributes
from boxship.builder.execution.child.modes import ModeChange
from boxship.builder.execution.child.sources import FOLDER, Match, SourceTree
from boxship.builder.execution.child.targets import Place, is_folder, make_folders, make_room, resolve
from boxship.builder.execution.child.walking import Walker, changed
from boxship.errors import Invalid
from boxship.snapshots.child.pack import xattrs_of

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from typing import Any

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL_BITS = 0o7000


class Look:
    """What files get: an owner (None keeps theirs), a change of modes."""

    def __init__(self, owner: tuple[int, int] | None, mode: ModeChange | None) -> None:
        self.owner = owner
        self._mode = mode

    def owner_of(self, info: os.stat_result) -> tuple[int, int]:
        return self.owner or (info.st_uid, info.st_gid)

    def mode_of(self, info: os.stat_result) -> int:
        mode = stat.S_IMODE(info.st_mode)
        return self._mode.apply(mode, is_folder=stat.S_ISDIR(info.st_mode)) if self._mode else mode


class Copier(Walker):
    """Copies one source. With a count and a table of digests, what was copied is counted on the way."""

    def __init__(
        self,
        tree: SourceTree,
        selection: dict[str, Any],
        look: Look,
        *,
        parents: bool,
        counted: tuple[Count, Digests] | None = None,
    ) -> None:
        super().__init__(tree, selection, parents=parents)
        self._look = look
        self._count: Count | None = counted[0] if counted else None
        self._digests: Digests | None = counted[1] if counted else None
        self._links: dict[tuple[int, int], str] = {}

    def copy(self, match: Match, destination: str) -> None:
        """Copy one file or folder; `destination` ends with a slash where it must be a folder."""
        if self.excluded_match(match):
            return
        above, _, last = match.path.rpartition("/")
        folder = self.tree.open_folder(above)
        try:
            if self.parents:
                self._with_parents(match, folder, last, destination)
            elif stat.S_ISDIR(match.info.st_mode):
                if self._count:
                    self._count.mark()
                self._contents_of(match, destination)
            else:
                target, name = self._target(match, destination)
                try:
                    self._file(folder, above, last, (match.name, name), match.info, target)
                finally:
                    os.close(target.descriptor)
        finally:
            os.close(folder)

    def count_only(self, match: Match) -> None:
        """Count a regular file that is not copied as it is."""
        if self._count is None or self._digests is None:
            return
        above, _, last = match.path.rpartition("/")
        digest = self._digests.find(above, last, match.info)
        if digest is None:
            folder = self.tree.open_folder(above)
            try:
                digest = read_digest(folder, above, last, match.info)[1]
            finally:
                os.close(folder)
        if self.parents:
            count_parents(self._count, self.tree, match)
        self._count.add(match.relative if self.parents else match.name, match.info, digest)

    def _contents_of(self, match: Match, destination: str) -> None:
        place = resolve(destination)
        target = self._open(place)
        inner = self.tree.open_folder(match.path)
        try:
            self.contents(inner, match.path, "", target)
        finally:
            os.close(inner)
            os.close(target.descriptor)

    def _target(self, match: Match, destination: str) -> tuple[Place, str]:
        """Where a single file goes: an open folder and a name in it."""
        place = resolve(destination)
        if destination.endswith("/") or is_folder(place):
            return self._open(place), match.name
        above, _, name = place.rpartition("/")
        return self._open(above or "/"), name

    def _with_parents(self, match: Match, folder: int, last: str, destination: str) -> None:
        if self._count:
            count_parents(self._count, self.tree, match)
        target = self._open(resolve(destination))
        opened = [target.descriptor]
        try:
            base = match.path[: len(match.path) - len(match.relative)]
            parts = match.relative.split("/")
            for depth in range(1, len(parts)):
                way = base + "/".join(parts[:depth])
                source = self.tree.open_folder(way)
                opened.append(source)
                target = self.enter_quietly(parts[depth - 1], os.fstat(source), target)
                opened.append(target.descriptor)
                if target.fresh:
                    self._finish(source, os.fstat(source), target)
            if not stat.S_ISDIR(match.info.st_mode):
                above = match.path.rpartition("/")[0]
                self._file(folder, above, last, (match.relative, last), match.info, target)
            elif match.relative:
                self.folder(folder, match.path, last, match.relative, match.info, target, 0)
            else:
                inner = self.tree.open_folder(match.path)
                opened.append(inner)
                self.contents(inner, match.path, "", target)
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _open(self, path: str) -> Place:
        """A folder of the root, with what is missing of it made (0755, for the owner that is asked for)."""
        return Place(make_folders(path, self._look.owner, 0o755), path.rstrip("/"), fresh=False)

    # what is visited

    def enter(self, folder: int, name: str, relative: str, info: os.stat_result, target: Any) -> Any:
        if self._count:
            self._count.add(relative, info, b"")
        return self.enter_quietly(name, info, target)

    def enter_quietly(self, name: str, info: os.stat_result, target: Place) -> Place:
        """A folder below `target`, made where it is missing."""
        path = f"{target.path}/{name}"
        fresh = True
        try:
            os.mkdir(name, 0o700, dir_fd=target.descriptor)
        except FileExistsError:
            fresh = False
        try:
            descriptor = os.open(name, FOLDER, dir_fd=target.descriptor)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise Invalid(f"cannot copy to non-directory: {path}") from None
            raise
        return Place(descriptor, path, fresh=fresh)

    def leave(self, folder: int, name: str, info: os.stat_result, target: Any) -> None:
        try:
            self._finish(folder, info, target)
        finally:
            os.close(target.descriptor)

    def _finish(self, source: int, info: os.stat_result, target: Place) -> None:
        """A folder's owner, attributes, mode and time, after its files."""
        os.fchown(target.descriptor, *self._look.owner_of(info))
        set_attributes(target.descriptor, xattrs_of(source))
        os.fchmod(target.descriptor, self._look.mode_of(info))
        os.utime(target.descriptor, ns=(info.st_mtime_ns, info.st_mtime_ns))

    def file(self, folder: int, path: str, name: str, relative: str, info: os.stat_result, target: Any) -> None:
        self._file(folder, path, name, (relative, name), info, target)

    def _file(
        self, folder: int, path: str, name: str, names: tuple[str, str], info: os.stat_result, target: Place
    ) -> None:
        """One file that is no folder: `names` are what it is counted as, and its new name."""
        relative, new = names
        if stat.S_ISREG(info.st_mode):
            digest = self._regular(folder, path, name, new, info, target)
            if self._count:
                self._count.add(relative, info, digest)
            return
        if self._count:
            self._count.add(relative, info, detail_of(folder, name, info))
        make_room(target, new)
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=folder), new, dir_fd=target.descriptor)
        else:
            mode = self._look.mode_of(info)
            os.mknod(new, stat.S_IFMT(info.st_mode) | mode, info.st_rdev, dir_fd=target.descriptor)
            os.chmod(new, mode, dir_fd=target.descriptor)
        os.chown(new, *self._look.owner_of(info), dir_fd=target.descriptor, follow_symlinks=False)
        os.utime(new, ns=(info.st_mtime_ns, info.st_mtime_ns), dir_fd=target.descriptor, follow_symlinks=False)

    def _regular(self, folder: int, path: str, name: str, new: str, info: os.stat_result, target: Place) -> bytes:
        """Copy a regular file; its digest, b"" where nothing is counted."""
        digest = self._digests.find(path, name, info) if self._digests else None
        counted = new_hash() if self._digests and digest is None else None
        at = time.time_ns() if counted else 0
        linked = info.st_nlink > 1 and self._link(info, new, target)
        if linked and counted is None:
            return digest or b""
        try:
            source = os.open(name, READ, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                raise changed(f"{path}/{name}".lstrip("/")) from None
            raise
        try:
            if linked:
                copy_data(source, -1, info, counted)
            else:
                self._new_file(source, new, info, target, counted)
            if counted:
                add_attributes(counted, source)
            if not same(os.fstat(source), info):
                raise changed(f"{path}/{name}".lstrip("/"))
        finally:
            os.close(source)
        if counted:
            digest = counted.digest()
            assert self._digests is not None
            self._digests.add(path, name, info, at, digest)
        return digest or b""

    def _new_file(self, source: int, new: str, info: os.stat_result, target: Place, counted: Any) -> None:
        mode = self._look.mode_of(info)
        try:
            descriptor = os.open(new, _NEW, mode & 0o777, dir_fd=target.descriptor)
        except FileExistsError:
            make_room(target, new)
            descriptor = os.open(new, _NEW, mode & 0o777, dir_fd=target.descriptor)
        try:
            copy_data(source, descriptor, info, counted)
            owner = self._look.owner_of(info)
            if owner != (0, 0) or not target.plain:
                os.fchown(descriptor, *owner)
            set_attributes(descriptor, xattrs_of(source))
            if mode & _SPECIAL_BITS or not target.plain:
                os.fchmod(descriptor, mode)
            os.utime(descriptor, ns=(info.st_mtime_ns, info.st_mtime_ns))
        finally:
            os.close(descriptor)
        if info.st_nlink > 1:
            self._links.setdefault((info.st_dev, info.st_ino), f"{target.path}/{new}")

    def _link(self, info: os.stat_result, new: str, target: Place) -> bool:
        """Make a further name of a file that was copied before; False where it was not."""
        first = self._links.get((info.st_dev, info.st_ino))
        if first is None or first == f"{target.path}/{new}":
            return False
        make_room(target, new)
        try:
            os.link(first, new, dst_dir_fd=target.descriptor, follow_symlinks=False)
        except OSError:
            return False  # replaced meanwhile, or too many names: a copy of its own then
        return True

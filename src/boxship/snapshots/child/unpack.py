"""Archive entries to files below the root that this program is confined to.

Every entry is made by its last name in a folder that was opened before (fchdir), never through a path that a link
could bend; what stood there goes first. Folders get owner, mode and times at the end, so that neither a read-only
folder nor an inherited access list disturbs what comes into it. Nothing here knows layers: see `layer`.
"""

import errno
import os
import stat

from boxship.errors import BoxshipError, Denied, Exhausted, Internal, Invalid
from boxship.snapshots.child.source import Source, Truncated
from boxship.snapshots.child.tarread import Entry, Reader

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLE_BYTES = 1 << 16
_ZEROS = bytes(_HOLE_BYTES)
_ENTRY_LIMIT = 3_000_000  # of one archive
_FOLDER_LIMIT = 500_000  # of one archive: they are kept in memory to the end
_FOLDER_BYTES = 256 << 20  # of their names and attributes
_DEPTH_LIMIT = 800  # folders within folders that are removed at once
_USER_ERROR_NAMES = "EEXIST ENOENT ENOTDIR EISDIR EINVAL ENAMETOOLONG ELOOP EPERM ENOTEMPTY EMLINK EXDEV EBUSY EFBIG"
_USER_ERRORS = frozenset(getattr(errno, name) for name in _USER_ERROR_NAMES.split())


def refusal(error: OSError, what: str) -> BoxshipError:
    """The kind of error that a failed call stands for, with `what` ("cannot unpack x") in front."""
    text = f"{what}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Exhausted(text)
    if error.errno in (errno.EROFS, errno.EACCES):
        return Denied(text)
    return Invalid(text) if error.errno in _USER_ERRORS else Internal(text)


def clean_name(name: str) -> str:
    """The entry's place relative to where the archive is unpacked, without "." and ".."; "" is that place itself.

    Absolute names lose their slash. Invalid where ".." leads out.
    """
    parts: list[str] = []
    for part in name.split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            if not parts:
                raise Invalid(f"cannot unpack {name!r}: the name leads out of the archive's folder")
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


class Unpacker:
    """Unpacks below the folder `base` of the root ("" for the root itself)."""

    def __init__(
        self,
        base: str = "",
        *,
        strict_kinds: bool = False,
        owner: tuple[int, int] | None = None,
        limit_bytes: int = 0,
    ) -> None:
        self._base = base.strip("/")
        self._strict = strict_kinds
        self._owner = owner
        self._current: str | None = None  # the folder, from the root, that we stand in
        self.folders: dict[str, Entry] = {}  # finished at the end
        self._folder_bytes = 0
        self._allowance = _Allowance(limit_bytes)

    # what subclasses and the archive job decide

    def open_folder(self, path: str) -> int:
        """Open a folder by its path from the root; symlinks on the way stay inside it."""
        return os.open("/" + path, _FOLDER)

    def make_missing(self, path: str) -> None:
        """Make the folders of `path` that are missing."""
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            try:
                os.close(self.open_folder("/".join(parts[:count])))
            except FileNotFoundError:
                self.stand_in("/".join(parts[: count - 1]))
                os.mkdir(parts[count - 1], 0o755)

    def place(self, entry: Entry, name: str, reader: Reader) -> None:
        """Put one entry, whose clean name is given, into place."""
        self.make(entry, name, reader)

    # the work

    def run(self, source: Source) -> None:
        """Unpack the whole stream. Errors name the entry."""
        os.umask(0)
        reader = Reader(source)
        name = ""
        try:
            for count, entry in enumerate(reader):
                name = entry.name
                if count >= _ENTRY_LIMIT:
                    raise Invalid(f"cannot unpack the archive: it has more than {_ENTRY_LIMIT} entries")
                if entry.kind == "5":
                    self._count_folder(entry)
                self.place(entry, clean_name(name), reader)
                reader.finish()
            name = ""
            source.drain()
        except Truncated:
            where = f" within {name!r}" if name else ""
            raise Invalid(f"cannot unpack the archive: it ends too early{where}") from None
        except OSError as error:
            raise refusal(error, f"cannot unpack {name!r}" if name else "cannot read the archive") from error
        self._finish_folders()

    def _count_folder(self, entry: Entry) -> None:
        self._folder_bytes += len(entry.name) + sum(map(len, entry.xattrs.values()))
        if len(self.folders) >= _FOLDER_LIMIT or self._folder_bytes > _FOLDER_BYTES:
            raise Invalid(f"cannot unpack the archive: it has too many folders (at {entry.name!r})")

    def full(self, name: str) -> str:
        """A clean name as a path from the root."""
        return f"{self._base}/{name}".strip("/") if self._base else name

    def stand_in(self, path: str) -> None:
        """Make the folder `path` (from the root) the working folder, with what is missing of it."""
        if path == self._current:
            return
        try:
            descriptor = self.open_folder(path)
        except (FileNotFoundError, NotADirectoryError):
            self.make_missing(path)
            descriptor = self.open_folder(path)
        os.fchdir(descriptor)
        os.close(descriptor)
        self._current = path

    def look(self, name: str) -> os.stat_result | None:
        """What stands at a name of the working folder."""
        try:
            return os.lstat(name)
        except FileNotFoundError:
            return None

    def clear(self, name: str, found: os.stat_result | None) -> None:
        """Take away what stands at a name of the working folder."""
        if found is None:
            return
        if stat.S_ISDIR(found.st_mode):
            here = os.open(".", _FOLDER)
            try:
                remove_tree(name)
            finally:
                os.fchdir(here)
                os.close(here)
            self._current = None
        else:
            os.unlink(name)
            if stat.S_ISLNK(found.st_mode):
                self._current = None  # a path through it leads elsewhere now

    def make(self, entry: Entry, name: str, reader: Reader) -> None:
        """Make the file of an entry at its clean name."""
        path = self.full(name)
        if not name:
            if entry.kind == "5":
                self.stand_in(path)
                if not self._base:
                    self.folders[path] = entry
            return
        parent, _, last = path.rpartition("/")
        self.stand_in(parent)
        found = self.look(last)
        if entry.kind == "5":
            self.make_folder(entry, path, last, found)
            return
        if self._strict and found is not None and stat.S_ISDIR(found.st_mode):
            raise Invalid(f'cannot overwrite directory "/{path}" with non-directory "{entry.name}"')
        if entry.kind == "1":
            self._make_link(entry, parent, last, found)
            return
        self.clear(last, found)
        self.stand_in(parent)
        if entry.kind == "0":
            self._make_file(entry, last, reader)
        else:
            self._make_special(entry, last)

    def make_folder(self, entry: Entry, path: str, last: str, found: os.stat_result | None) -> bool:
        """A folder, or the one that is there; whether it is new."""
        new = found is None or not stat.S_ISDIR(found.st_mode)
        if new:
            if found is not None and self._strict:
                raise Invalid(f'cannot overwrite non-directory "/{path}" with directory "{entry.name.rstrip("/")}"')
            self.clear(last, found)
            self.stand_in(path.rpartition("/")[0])
            os.mkdir(last, 0o700)
        self.folders.pop(path, None)
        self.folders[path] = entry
        return new

    def owner_of(self, entry: Entry) -> tuple[int, int]:
        return self._owner or (entry.uid, entry.gid)

    def _make_file(self, entry: Entry, last: str, reader: Reader) -> None:
        descriptor = os.open(last, _NEW_FILE, 0o600)
        try:
            if entry.sparse is not None:
                _write_sparse(descriptor, entry, reader, self._allowance)
            else:
                _write_plain(descriptor, entry, reader, self._allowance)
            os.fchown(descriptor, *self.owner_of(entry))
            if entry.xattrs:
                _set_xattrs(descriptor, entry.xattrs)
            os.fchmod(descriptor, entry.mode)
            os.utime(descriptor, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(descriptor)

    def _make_special(self, entry: Entry, last: str) -> None:
        """A symlink, device or fifo. mknod sets the mode (our umask is 0), so no call follows a name."""
        if entry.kind == "2":
            os.symlink(entry.link, last)
            self._current = None
        elif entry.kind in "34":
            kind = stat.S_IFCHR if entry.kind == "3" else stat.S_IFBLK
            os.mknod(last, kind | entry.mode & 0o777, os.makedev(entry.major, entry.minor))
        elif entry.kind == "6":
            os.mkfifo(last, entry.mode & 0o777)
        os.chown(last, *self.owner_of(entry), follow_symlinks=False)
        if entry.xattrs:
            _set_xattrs(last, entry.xattrs)
        os.utime(last, ns=(entry.mtime, entry.mtime), follow_symlinks=False)

    def _make_link(self, entry: Entry, parent: str, last: str, found: os.stat_result | None) -> None:
        """A hard link to a file of the same root; the name of its target is relative to where we unpack."""
        try:
            target = self.full(clean_name(entry.link))
        except Invalid:
            raise Invalid(f"cannot unpack {entry.name!r}: hard link to {entry.link!r} leads out") from None
        folder, _, target_last = target.rpartition("/")
        try:
            descriptor = self.open_folder(folder)
            try:
                info = os.stat(target_last, dir_fd=descriptor, follow_symlinks=False)
                if found is not None and (found.st_ino, found.st_dev) == (info.st_ino, info.st_dev):
                    return
                self.clear(last, found)
                self.stand_in(parent)
                os.link(target_last, last, src_dir_fd=descriptor, follow_symlinks=False)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise refusal(error, f"cannot unpack {entry.name!r}: hard link to {entry.link!r}") from error

    def _finish_folders(self) -> None:
        """Owner, attributes, mode and times of folders, the deepest first."""
        for path, entry in reversed(self.folders.items()):
            parent, _, last = path.rpartition("/")
            try:
                self.stand_in(parent)
                descriptor = os.open(last or ".", _LOOK)
            except (FileNotFoundError, NotADirectoryError):
                continue  # a later entry took it away
            except OSError as error:
                if error.errno == errno.ELOOP:
                    continue
                raise refusal(error, f"cannot unpack {entry.name!r}") from error
            try:
                os.fchown(descriptor, *self.owner_of(entry))
                _set_xattrs(descriptor, entry.xattrs)
                os.fchmod(descriptor, entry.mode)
                os.utime(descriptor, ns=(entry.mtime, entry.mtime))
            except OSError as error:
                raise refusal(error, f"cannot unpack {entry.name!r}") from error
            finally:
                os.close(descriptor)


def _set_xattrs(target: int | str, xattrs: dict[str, bytes]) -> None:
    """Extended attributes, but never trusted.*: overlayfs believes those."""
    for name, value in xattrs.items():
        if name.startswith("trusted.") or name == "security.selinux":
            continue
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise


class _Allowance:
    """Counts what is written, without holes, against a limit (0: none): an archive may be compressed to nearly
    nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit

    def take(self, size: int) -> None:
        self._left -= size
        if self._limit and self._left < 0:
            raise Invalid(f"cannot unpack the archive: its files have more than {self._limit} bytes")


def _write_plain(descriptor: int, entry: Entry, reader: Reader, allowance: _Allowance) -> None:
    """The data, with holes where it has 64 KiB of zeros."""
    if entry.size < _HOLE_BYTES:
        allowance.take(entry.size)
        for piece in reader.data():
            _write(descriptor, piece)
        return
    hole = False
    for piece in reader.data():
        for at in range(0, len(piece), _HOLE_BYTES):
            part = piece[at : at + _HOLE_BYTES]
            hole = len(part) == _HOLE_BYTES and part[0] == 0 and part == _ZEROS
            if hole:
                os.lseek(descriptor, _HOLE_BYTES, os.SEEK_CUR)
            else:
                allowance.take(len(part))
                _write(descriptor, part)
    if hole:
        os.ftruncate(descriptor, entry.size)


def _write(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _write_sparse(descriptor: int, entry: Entry, reader: Reader, allowance: _Allowance) -> None:
    allowance.take(entry.stored)
    pieces = iter(entry.sparse or ())
    left = 0
    for data in reader.data():
        while data:
            while not left:
                offset, left = next(pieces)
                os.lseek(descriptor, offset, os.SEEK_SET)
            part = data[:left]
            _write(descriptor, part)
            data = data[len(part) :]
            left -= len(part)
    os.ftruncate(descriptor, entry.size)


def remove_tree(name: str) -> None:
    """Remove a folder of the working folder with all that is in it; changes the working folder on the way.

    No link is followed: each level is entered by its last name. OSError where something resists.
    """
    levels: list[tuple[int, str, list[str]]] = []  # the folder above, our name in it, folders still to remove

    def enter(last: str) -> None:
        above = os.open(".", _FOLDER)
        descriptor = os.open(last, _LOOK)
        os.fchdir(descriptor)
        os.close(descriptor)
        below = []
        with os.scandir(".") as entries:
            for found in entries:
                if found.is_dir(follow_symlinks=False):
                    below.append(found.name)
                else:
                    os.unlink(found.name)
        levels.append((above, last, below))

    enter(name)
    while levels:
        above, last, below = levels[-1]
        if below:
            if len(levels) >= _DEPTH_LIMIT:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
            enter(below.pop())
            continue
        os.fchdir(above)
        os.close(above)
        os.rmdir(last)
        levels.pop()

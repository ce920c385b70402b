"""Trees of files to archives: a whole root (export), a writable layer with its whiteouts (commit), one path (docker
cp). Links are not followed, devices are not opened, sockets are left out; a file that changes meanwhile is cut or
filled to the size that its header says."""

import os
import stat

from boxship.errors import Invalid
from boxship.snapshots.child.layer import OPAQUE, OPAQUE_XATTR, WHITEOUT, is_whiteout
from boxship.snapshots.child.tarwrite import Writer, bytes_of, make_header

_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DEPTH_LIMIT = 800  # folders within folders
_KEPT_XATTRS = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")
_KINDS = {stat.S_IFDIR: b"5", stat.S_IFLNK: b"2", stat.S_IFCHR: b"3", stat.S_IFBLK: b"4", stat.S_IFIFO: b"6"}


def xattrs_of(target: int | str) -> dict[str, bytes]:
    """The extended attributes that belong into an archive."""
    try:
        names = os.listxattr(target) if isinstance(target, int) else os.listxattr(target, follow_symlinks=False)
    except OSError:
        return {}
    found = {}
    for name in names:
        if name.startswith("user.") or name in _KEPT_XATTRS:
            try:
                if isinstance(target, int):
                    found[name] = os.getxattr(target, name)
                else:
                    found[name] = os.getxattr(target, name, follow_symlinks=False)
            except OSError:
                continue  # taken away meanwhile
    return found


class Packer:
    """Packs trees, in name order. With `layer`, overlayfs's whiteouts become entries of an image layer."""

    def __init__(self, writer: Writer, *, layer: bool = False) -> None:
        self._writer = writer
        self._layer = layer
        self._seen: dict[tuple[int, int], str] = {}  # files with several names

    def folder(self, descriptor: int, prefix: str, *, named: bool) -> None:
        """An open folder, as `prefix` ("" or ending with a slash); `named` gives the folder itself an entry."""
        if named:
            self._folder_entry(descriptor, prefix)
        self._inside(descriptor, prefix, 0)

    def _folder_entry(self, descriptor: int, name: str) -> None:
        self._writer.entry(name, b"5", os.fstat(descriptor), xattrs=xattrs_of(descriptor))

    def _inside(self, descriptor: int, prefix: str, depth: int) -> None:
        """What is in the folder; the working folder is the one that is read, so that attributes are read by name."""
        if depth > _DEPTH_LIMIT:
            raise Invalid(f"cannot pack {prefix!r}: folders nested deeper than {_DEPTH_LIMIT}")
        os.fchdir(descriptor)
        for name in sorted(os.listdir(descriptor)):
            info = self.look(name, prefix)
            if info is None:
                continue
            if not stat.S_ISDIR(info.st_mode):
                self.file(name, prefix + name, info)
                continue
            try:
                below = os.open(name, _LOOK)
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                self._folder_entry(below, f"{prefix}{name}/")
                if self._layer and _is_opaque(below):
                    self._whiteout(f"{prefix}{name}/{OPAQUE}")
                self._inside(below, f"{prefix}{name}/", depth + 1)
            finally:
                os.close(below)
            os.fchdir(descriptor)

    def look(self, last: str, prefix: str) -> os.stat_result | None:
        """What stands at a name of the working folder; None leaves it out."""
        try:
            return os.lstat(last)
        except FileNotFoundError:
            return None

    def file(self, last: str, name: str, info: os.stat_result) -> None:
        """One file of the working folder that is no folder, as `name`."""
        if self._layer and is_whiteout(info):
            parent, slash, hidden = name.rpartition("/")
            self._whiteout(f"{parent}{slash}{WHITEOUT}{hidden}")
            return
        if info.st_nlink > 1:
            first = self._seen.setdefault((info.st_dev, info.st_ino), name)
            if first != name:
                self._writer.entry(name, b"1", info, link=first)
                return
        kind = stat.S_IFMT(info.st_mode)
        if kind == stat.S_IFREG:
            self._regular(last, name)
        elif kind == stat.S_IFLNK:
            self._writer.entry(name, b"2", info, link=os.readlink(last), xattrs=xattrs_of(last))
        elif kind in _KINDS:
            self._writer.entry(name, _KINDS[kind], info, xattrs=xattrs_of(last))

    def _regular(self, last: str, name: str) -> None:
        try:
            descriptor = os.open(last, _READ)
        except (FileNotFoundError, OSError) as error:
            if isinstance(error, FileNotFoundError):
                return
            raise
        try:
            info = os.fstat(descriptor)
            if stat.S_ISREG(info.st_mode):
                self._writer.entry(name, b"0", info, size=info.st_size, xattrs=xattrs_of(descriptor))
                self._writer.content(descriptor, info.st_size)
        finally:
            os.close(descriptor)

    def _whiteout(self, name: str) -> None:
        self._writer.add(make_header(bytes_of(name), b"0", 0))


def _is_opaque(descriptor: int) -> bool:
    try:
        return os.getxattr(descriptor, OPAQUE_XATTR) == b"y"
    except OSError:
        return False

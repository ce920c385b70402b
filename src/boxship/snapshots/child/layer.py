"""Image layers to what overlayfs wants below a layer's folder: whiteouts and opaque folders, and parents that the
layer does not name made as the layers below have them."""

import os
import stat

from boxship.errors import Conflict, Invalid
from boxship.snapshots.child.tarread import Entry, Reader
from boxship.snapshots.child.unpack import Unpacker
from boxship.sys.path import follow_links

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
OPAQUE_XATTR = "trusted.overlay.opaque"
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def is_whiteout(info: os.stat_result) -> bool:
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def is_opaque(path: str | int) -> bool:
    try:
        return os.getxattr(path, OPAQUE_XATTR) == b"y"
    except OSError:
        return False


class LowerLayers:
    """The layers below, topmost first, as descriptors of their folders. Links are never followed here. A byte from
    `signal_from` (-1: nothing to wait for) says that they are whole; nothing is looked up before."""

    def __init__(self, descriptors: list[int], signal_from: int = -1) -> None:
        self._descriptors = descriptors
        self._signal_from = signal_from

    def find(self, path: str) -> tuple[os.stat_result, str] | None:
        """What the merged layers have at `path` (no link on the way), with the target of a symlink; None if nothing."""
        if self._signal_from >= 0:
            if not os.read(self._signal_from, 1):
                raise Conflict(f"cannot unpack {path!r}: the layer below was not unpacked")
            self._signal_from = -1
        for layer in self._descriptors:
            outcome = self._in_layer(layer, path.split("/"))
            if outcome == "hidden":
                return None
            if isinstance(outcome, tuple):
                return outcome
        return None

    def resolve(self, path: str) -> str:
        """Where a path leads when its links are followed, as text without a leading slash; what is missing is kept.
        OSError where links go round."""
        return follow_links(path, self._target_of)

    def _target_of(self, path: str) -> str | None:
        found = self.find(path)
        return found[1] if found is not None and stat.S_ISLNK(found[0].st_mode) else None

    @staticmethod
    def _in_layer(layer: int, parts: list[str]) -> tuple[os.stat_result, str] | str | None:
        """What one layer says of a path: the file, "hidden", or None where it says nothing."""
        folder = os.dup(layer)
        hidden = False
        try:
            for count, part in enumerate(parts, 1):
                try:
                    below = os.open(part, _LOOK, dir_fd=folder)
                except (FileNotFoundError, NotADirectoryError):
                    return "hidden" if hidden else None
                os.close(folder)
                folder = below
                info = os.fstat(folder)
                if is_whiteout(info):
                    return "hidden"
                if count == len(parts):
                    target = os.readlink("", dir_fd=folder) if stat.S_ISLNK(info.st_mode) else ""
                    return info, target
                if not stat.S_ISDIR(info.st_mode):
                    return "hidden"
                reading = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
                hidden = hidden or is_opaque(reading)
                os.close(reading)
        finally:
            os.close(folder)
        return None


class LayerUnpacker(Unpacker):
    """Unpacks one layer into its own, empty folder, which is our root."""

    def __init__(self, lower: list[int], signal_from: int = -1, limit_bytes: int = 0) -> None:
        super().__init__(limit_bytes=limit_bytes)
        self._lower = LowerLayers(lower, signal_from)

    def place(self, entry: Entry, name: str, reader: Reader) -> None:
        last = name.rpartition("/")[2]
        if not last.startswith(WHITEOUT):
            self.make(entry, name, reader)
        elif last == OPAQUE:
            self.stand_in(name.rpartition("/")[0])
            os.setxattr(".", OPAQUE_XATTR, b"y")
        elif not last.startswith(WHITEOUT + WHITEOUT):  # others of those are an older filesystem's own notes
            self._hide(entry, name)

    def make_folder(self, entry: Entry, path: str, last: str, found: os.stat_result | None) -> bool:
        new = super().make_folder(entry, path, last, found)
        if new and found is not None and is_whiteout(found):
            os.setxattr(last, OPAQUE_XATTR, b"y")  # what the layers below have there stays hidden
        return new

    def _hide(self, entry: Entry, name: str) -> None:
        """A whiteout: overlayfs knows it as a character device 0:0. It hides nothing of its own layer."""
        parent, _, last = name.rpartition("/")
        hidden = last[len(WHITEOUT) :]
        if hidden in ("", ".", ".."):
            raise Invalid(f"cannot unpack {entry.name!r}: a whiteout of nothing")
        self.stand_in(parent)
        found = self.look(hidden)
        if found is None:
            os.mknod(hidden, stat.S_IFCHR, 0)
        elif stat.S_ISDIR(found.st_mode):
            os.setxattr(hidden, OPAQUE_XATTR, b"y")

    def make_missing(self, path: str) -> None:
        """Folders that the layer goes through without naming them: with the owner and mode that they have below, and
        through the links that they are below."""
        follow_links(path, self._step)

    def _step(self, path: str) -> str | None:
        """Make sure of one folder; the target of the link, where a link stands there."""
        parent, _, part = path.rpartition("/")
        self.stand_in(parent)
        found = self.look(part)
        if found is not None and stat.S_ISLNK(found.st_mode):
            return os.readlink(part)
        if found is not None and not is_whiteout(found):
            return None  # a folder, or something whose opening will say what it is
        below = None if found is not None else self._lower.find(path)
        if below is not None and stat.S_ISLNK(below[0].st_mode):
            info, target = below
            os.symlink(target, part)
            os.chown(part, info.st_uid, info.st_gid, follow_symlinks=False)
            os.utime(part, ns=(info.st_mtime_ns, info.st_mtime_ns), follow_symlinks=False)
            return target
        if found is not None:
            os.unlink(part)
        os.mkdir(part, 0o755)
        if found is not None:
            os.setxattr(part, OPAQUE_XATTR, b"y")
        elif below is not None and stat.S_ISDIR(below[0].st_mode):
            self.folders[path] = _entry_of(below[0])
        return None


def _entry_of(info: os.stat_result) -> Entry:
    """What a folder below would be as an entry."""
    entry = Entry()
    entry.kind, entry.uid, entry.gid = "5", info.st_uid, info.st_gid
    entry.mode, entry.mtime, entry.xattrs = stat.S_IMODE(info.st_mode), info.st_mtime_ns, {}
    return entry

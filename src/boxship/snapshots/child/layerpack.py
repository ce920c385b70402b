"""The upper folder of a writable snapshot becomes a layer: what must not be in one is taken out of it, late times are
set back, and its archive is written on the way. So folder and archive are the same layer, and stay the same."""

from __future__ import annotations

import os
import stat

from boxship.errors import Invalid
from boxship.snapshots.child.layer import WHITEOUT, LowerLayers, is_whiteout
from boxship.snapshots.child.pack import Packer
from boxship.snapshots.child.tarwrite import Writer

_SECOND = 1_000_000_000
_DISK_BLOCK = 512  # bytes, as st_blocks counts
_ORIGIN = "trusted.overlay.origin"  # overlayfs marks with it what it copied up


class LayerPacker(Packer):
    """Packs the folder that is our root. `lower` are the layers of the image below, topmost first."""

    def __init__(self, writer: Writer, lower: list[int], epoch: int | None) -> None:
        super().__init__(writer, layer=True)
        self._lower = LowerLayers(lower)
        self._latest = None if epoch is None else epoch * _SECOND
        self.entries = 0
        self._blocks = 0
        self._counted: set[tuple[int, int]] = set()

    @property
    def size(self) -> int:
        """Bytes on the device of what was packed, the root folder included; a file with several names counts once."""
        return (self._blocks + os.lstat("/").st_blocks) * _DISK_BLOCK

    def look(self, last: str, prefix: str) -> os.stat_result | None:
        info = super().look(last, prefix)
        if info is None:
            return None
        if last.startswith(WHITEOUT):
            raise Invalid(f"cannot make a layer with /{prefix}{last} in it: such a name takes another file away")
        if stat.S_ISDIR(info.st_mode) and self._is_leftover(last, prefix + last):
            _take_out(last)
            return None
        # A whiteout of nothing hid a mount point that the image lacks; a socket is something that no archive holds.
        if stat.S_ISSOCK(info.st_mode) or (is_whiteout(info) and self._lower.find(prefix + last) is None):
            _take_out(last)
            return None
        if self._latest is not None and info.st_mtime_ns > self._latest:
            os.utime(last, ns=(self._latest, self._latest), follow_symlinks=False)
            info = os.lstat(last)
        self.entries += 1
        if info.st_nlink == 1 or stat.S_ISDIR(info.st_mode) or (info.st_dev, info.st_ino) not in self._counted:
            self._blocks += info.st_blocks
            if info.st_nlink > 1:
                self._counted.add((info.st_dev, info.st_ino))
        return info

    def _is_leftover(self, last: str, path: str) -> bool:
        """Whether a folder is one of the mount points that the image lacks, in which something was deleted."""
        try:
            os.getxattr(last, _ORIGIN, follow_symlinks=False)
        except OSError:
            return False  # it did not come from below
        return self._lower.find(path) is None and all(
            is_whiteout(os.lstat(f"{last}/{name}")) and self._lower.find(f"{path}/{name}") is None
            for name in os.listdir(last)
        )


def _take_out(last: str) -> None:
    """Delete a file, or a folder with only files, of the working folder, whose own time stays."""
    folder = os.stat(".")
    if stat.S_ISDIR(os.lstat(last).st_mode):
        for name in os.listdir(last):
            os.unlink(f"{last}/{name}")
        os.rmdir(last)
    else:
        os.unlink(last)
    os.utime(".", ns=(folder.st_atime_ns, folder.st_mtime_ns))

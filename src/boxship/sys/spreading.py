"""Where ext4 puts the inodes of a folder's subfolders.

ext4 puts a new file's inode near its folder's, and looks at every inode nearby that was deleted within the last minutes
before it takes one. Where many trees come and go side by side, each new file costs hundreds of microseconds (measured:
15,000 files 6 to 8 s instead of 0.7 to 1.2). A folder marked as the top of hierarchies has its subfolders spread over
the disk, so that each tree begins where nothing was deleted.
"""

import contextlib
import fcntl
import os
import struct

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
_TOP_OF_HIERARCHIES = 0x00020000


def spread_subfolders(folder: str | os.PathLike[str]) -> None:
    """Mark a folder; filesystems that have no such mark do without."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            (flags,) = struct.unpack("i", fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("i", 0)))
            if not flags & _TOP_OF_HIERARCHIES:
                fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("i", flags | _TOP_OF_HIERARCHIES))
        finally:
            os.close(descriptor)

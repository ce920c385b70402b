"""The content of files from one descriptor to another: in the kernel where nobody counts it, and without the holes."""

from __future__ import annotations

import errno
import os

from boxship.builder.execution.child.counting import SMALL_BYTES

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from typing import Any

_PIECE_BYTES = 4 << 20
_BLOCK_BYTES = 512  # the unit of st_blocks


def set_attributes(descriptor: int, attributes: dict[str, bytes]) -> None:
    """Extended attributes, as far as the filesystem takes them."""
    for name, value in attributes.items():
        try:
            os.setxattr(descriptor, name, value)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise


def copy_data(source: int, target: int, info: os.stat_result, counted: Any) -> None:
    """The content, in the kernel where nobody counts it; `target` -1 only counts."""
    size = info.st_size
    if size <= SMALL_BYTES:
        data = os.read(source, SMALL_BYTES + 1)
        if target >= 0 and data:
            _write(target, data)
        if counted:
            counted.update(data)
    elif counted:
        while data := os.read(source, _PIECE_BYTES):
            counted.update(data)
            if target >= 0:
                _write(target, data)
    elif info.st_blocks * _BLOCK_BYTES < size:
        _copy_sparse(source, target, size)
    else:
        _send(source, target, 0, size)


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


def _copy_sparse(source: int, target: int, size: int) -> None:
    """Only what is not a hole."""
    at = 0
    while at < size:
        try:
            begin = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        at = min(os.lseek(source, begin, os.SEEK_HOLE), size)
        _send(source, target, begin, at)
    os.ftruncate(target, size)


def _send(source: int, target: int, begin: int, end: int) -> None:
    """A piece of a file at its place; shared with the source where the filesystem can do that."""
    at = begin
    while at < end:
        try:
            sent = os.copy_file_range(source, target, end - at, at, at)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            break
        if not sent:
            return
        at += sent
    os.lseek(target, at, os.SEEK_SET)
    while at < end:
        sent = os.sendfile(target, source, at, min(end - at, _PIECE_BYTES))
        if not sent:
            return  # shorter than it was: seen by whoever looks at it again
        at += sent

"""The files of one container's log: the one being written and its older generations, by their names.

`path` is being written; `path.1` is the last that was put aside, `path.2` the one before it, and so on; compressed ones
end in ".gz". A file keeps its identity, the number of its inode, when it is renamed; a compressed one names in its
header the inode whose content it has, so that a reader who was in the middle of it finds its place again.
"""

import gzip
import os
import re
import zlib
from pathlib import Path

import msgspec

from boxship.errors import Internal

_SUFFIX = re.compile(r"\.([1-9]\d{0,5})(\.gz)?")
_ATTEMPTS = 100
_HEADER_LIMIT = 256  # bytes of a compressed file in which its name stands
_NAME_FOLLOWS = 0x08  # flag of a compressed file's header
_BLOCK = 1 << 20  # bytes
# No log is a link: containers may have the folder to write, and must not have us show them any file of the machine.
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW


class Generation(msgspec.Struct, frozen=True):
    """One file. `number` is 0 for the one being written; times in nanoseconds since the epoch."""

    path: str
    number: int
    compressed: bool
    inode: int
    changed_at: int


def generations(path: str) -> list[Generation]:
    """Those that exist, newest first. Of a file that lies there both plain and compressed, the plain one."""
    folder, name = os.path.split(path)
    found: dict[int, Generation] = {}
    try:
        entries = os.listdir(folder or ".")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Internal(f"cannot read the log {path}: {error.strerror}") from error
    for entry in entries:
        if not entry.startswith(name):
            continue
        match = _SUFFIX.fullmatch(entry[len(name) :])
        if match is None and entry != name:
            continue
        full = os.path.join(folder, entry)
        try:
            status = os.stat(full)
        except FileNotFoundError:  # renamed just now
            continue
        number = int(match[1]) if match else 0
        compressed = bool(match and match[2])
        if not compressed or number not in found:
            found[number] = Generation(full, number, compressed, status.st_ino, status.st_mtime_ns)
    return [found[number] for number in sorted(found)]


class Source:
    """An open file of a log, read from a place onwards. Blocking; close it."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.offset = 0  # of the next byte; in a compressed file, of its content
        self._descriptor = os.open(generation.path, READ)
        self._stream: gzip.GzipFile | None = None
        self.inode = os.fstat(self._descriptor).st_ino
        self.identity = self.inode
        if generation.compressed:
            self.identity = _named_inode(os.pread(self._descriptor, _HEADER_LIMIT, 0))
            self._stream = gzip.GzipFile(fileobj=open(self._descriptor, "rb", closefd=False))  # noqa: SIM115  # `close` does

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end. A damaged compressed file ends where the damage is."""
        if self._stream is None:
            data = os.pread(self._descriptor, size, self.offset)
        else:
            try:
                data = self._stream.read(size)
            except (OSError, EOFError, zlib.error):
                data = b""
        self.offset += len(data)
        return data

    def read_at(self, offset: int, size: int) -> bytes:
        """Of a plain file, without moving the place."""
        return os.pread(self._descriptor, size, offset)

    def seek(self, offset: int) -> None:
        """Go on from another place. In a compressed file this reads up to there."""
        if self._stream is not None:
            self._stream.seek(offset)
        self.offset = offset

    def size(self) -> int:
        """Of the file as it is now."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Safe to call twice."""
        if self._descriptor >= 0:
            if self._stream is not None:
                self._stream.close()
            os.close(self._descriptor)
            self._descriptor = -1


def open_all(path: str) -> list[Source]:
    """Every generation, oldest first, each once, even while they are being renamed.

    Blocking. Raises Internal where a file can't be opened.
    """
    for _ in range(_ATTEMPTS):
        before = generations(path)
        opened: list[Source] = []
        try:
            for generation in before:
                opened.append(Source(generation))
        except FileNotFoundError:
            close_all(opened)
            continue
        except OSError as error:
            close_all(opened)
            raise Internal(f"cannot read the log {path}: {error.strerror}") from error
        names = [(each.generation.path, each.inode) for each in opened]
        if names == [(each.path, each.inode) for each in generations(path)]:
            return opened[::-1]
        close_all(opened)
    raise Internal(f"cannot read the log {path}: its files are renamed all the time")


def close_all(sources: list[Source]) -> None:
    """Close every one of them."""
    for source in sources:
        source.close()


def compress(generation: Generation, target: str) -> None:
    """Write a generation's content to a compressed file that appears at once and whole, then take the plain one away.

    Blocking. Raises OSError.
    """
    partial = f"{target}.tmp"
    with (
        open(os.open(generation.path, READ), "rb") as source,
        open(partial, "wb", opener=_private) as file,
        gzip.GzipFile(str(generation.inode), "wb", compresslevel=5, fileobj=file, mtime=0) as packed,
    ):
        while block := source.read(_BLOCK):
            packed.write(block)
    os.utime(partial, ns=(generation.changed_at, generation.changed_at))
    os.rename(partial, target)
    remove(generation.path)


def remove(path: str) -> None:
    """Take a file away; a missing one is fine. Raises OSError."""
    Path(path).unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _named_inode(header: bytes) -> int:
    """The number that `compress` wrote as the file's name; 0 where there is none."""
    if len(header) < 10 or header[:2] != b"\x1f\x8b" or header[3] != _NAME_FOLLOWS:
        return 0
    name = header[10:].partition(b"\0")[0]
    return int(name) if name.isdigit() and len(name) < 21 else 0

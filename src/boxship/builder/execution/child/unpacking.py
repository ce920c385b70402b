"""ADD of archives: a file that is a tar archive, also a compressed one, is unpacked where it would have been copied.

Sources are opened before the program goes into its root, because a decompressor may be a program of the machine.
"""

from __future__ import annotations

import os
import stat

from boxship.builder.execution.child.counting import READ
from boxship.builder.execution.child.sources import Match, SourceTree
from boxship.builder.execution.child.targets import make_folders, resolve
from boxship.errors import BoxshipError, Exhausted, Invalid, Unsupported
from boxship.snapshots.child.source import Source, Truncated, open_source
from boxship.snapshots.child.tarread import Entry, Reader
from boxship.snapshots.child.unpack import Unpacker
from boxship.sys.path import open_in_root

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from typing import Any

_BLOCK_BYTES = 512
_ENTRY_LIMIT = 5_000_000  # of one archive
_BYTE_LIMIT = 64 << 30  # that one archive may unpack to


class Archives:
    """The archives among what the sources of a step name, by (tree's number, path)."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str], Source] = {}

    def look(self, number: int, tree: SourceTree, selection: dict[str, Any], *, parents: bool) -> None:
        """Open the archives of one selection."""
        try:
            matches = list(tree.matches(selection, parents=parents))
        except (BoxshipError, OSError):
            return  # the copy will say what is wrong
        for match in matches:
            if not stat.S_ISREG(match.info.st_mode) or (number, match.path) in self._found:
                continue
            source = _open_archive(tree, match)
            if source is not None:
                self._found[number, match.path] = source

    def take(self, number: int, match: Match) -> Source | None:
        """The archive at a path, once."""
        return self._found.pop((number, match.path), None)


def _open_archive(tree: SourceTree, match: Match) -> Source | None:
    """The plain stream of a file that begins with a valid entry; None for any other file."""
    descriptor = open_in_root(tree.root, match.path, READ)
    try:
        source = open_source(descriptor)
        block = source.peek(_BLOCK_BYTES)
        if len(block) == _BLOCK_BYTES and any(block) and _is_header(block):
            return source
    except Unsupported:  # it may well be one: to copy it as it is would be wrong
        raise
    except (BoxshipError, Truncated, OSError):
        pass
    os.close(descriptor)
    return None


def _is_header(block: bytes) -> bool:
    """Whether a block has the checksum of a tar header."""
    digits = block[148:156].replace(b"\0", b" ").strip()
    if not digits or digits.strip(b"01234567"):
        return False
    return int(digits, 8) == sum(block) - sum(block[148:156]) + 8 * 32


def unpack_archive(source: Source, name: str, destination: str, owner: tuple[int, int] | None) -> None:
    """Unpack into the folder `destination`, made where it is missing."""
    place = resolve(destination)
    os.close(make_folders(place, owner, 0o755))
    try:
        _LimitedUnpacker(place, owner=owner).run(source)
    except BoxshipError as error:
        raise type(error)(f"cannot add {name}: {error}") from error


class _LimitedUnpacker(Unpacker):
    """Unpacks no more than one archive may be."""

    _entries = 0
    _bytes = 0

    def place(self, entry: Entry, name: str, reader: Reader) -> None:
        self._entries += 1
        self._bytes += entry.stored
        if self._entries > _ENTRY_LIMIT:
            raise Exhausted(f"cannot unpack the archive: it has more than {_ENTRY_LIMIT} entries")
        if self._bytes > _BYTE_LIMIT:
            raise Exhausted(f"cannot unpack the archive: it has more than {_BYTE_LIMIT} bytes")
        if not name and entry.kind != "5":
            raise Invalid(f"cannot unpack {entry.name!r}: a file cannot take the place of the folder")
        super().place(entry, name, reader)

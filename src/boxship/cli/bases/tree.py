"""A small root filesystem as values, and its tar stream.

The same entries give the same bytes, on any day and machine: sorted names, one fixed time, no names of local users.
"""

import io
import tarfile
from collections.abc import Iterable, Iterator

from boxship.errors import Invalid

MODIFIED = 0  # seconds since the epoch, for every entry
BLOCK = 1 << 20  # bytes of a piece of the stream


class Entry:
    """One folder (`kind` "folder"), file or symbolic link ("link", its target in `text`) by its relative path."""

    __slots__ = ("data", "group", "kind", "mode", "path", "text")

    def __init__(
        self, path: str, kind: str, mode: int = 0o755, *, data: bytes = b"", text: str = "", group: int = 0
    ) -> None:
        if not path or path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
            raise Invalid(f"cannot put {path!r} into an image: not a plain relative path")
        self.path = path
        self.kind = kind
        self.mode = mode
        self.data = data
        self.text = text
        self.group = group


def folder(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, "folder", mode)


def file(path: str, data: bytes, mode: int = 0o644, group: int = 0) -> Entry:
    return Entry(path, "file", mode, data=data, group=group)


def link(path: str, target: str) -> Entry:
    return Entry(path, "link", 0o777, text=target)


def with_parents(entries: Iterable[Entry]) -> list[Entry]:
    """The entries by path, with every folder above them that is not among them. The last one of a path counts."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found[entry.path] = entry
    for path in list(found):
        while "/" in path:
            path = path.rpartition("/")[0]
            found.setdefault(path, folder(path))
    return [found[path] for path in sorted(found)]


def tar_stream(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The entries as an uncompressed tar stream, in pieces."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in with_parents(entries):
            information = tarfile.TarInfo(entry.path)
            information.mode = entry.mode
            information.mtime = MODIFIED
            information.gid = entry.group
            if entry.kind == "folder":
                information.type = tarfile.DIRTYPE
            elif entry.kind == "link":
                information.type = tarfile.SYMTYPE
                information.linkname = entry.text
            information.size = len(entry.data)
            archive.addfile(information, io.BytesIO(entry.data))
            if buffer.tell() >= BLOCK:
                yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.BytesIO) -> bytes:
    data = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return data

"""Entries to a tar stream: ustar headers, with a pax header where a value does not fit (long names, big numbers, times
below a second, extended attributes). Any tar program reads it. Nothing here follows a link or opens a name."""

import os
import stat

BLOCK_BYTES = 512
_BUFFER_BYTES = 1 << 18
_OCTAL_ID = 0o7777777
_OCTAL_SIZE = 0o77777777777
_SEND_BYTES = 1 << 20
_TAILS = 1000  # parts of headers that are kept


def bytes_of(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _record(key: bytes, value: bytes) -> bytes:
    """One pax record, whose length counts its own digits."""
    body = len(key) + len(value) + 3
    size = body + len(str(body))
    size = body + len(str(size))
    return b"%d %s=%s\n" % (size, key, value)


def format_time(nanoseconds: int) -> bytes:
    """A pax time: decimal seconds without trailing zeros."""
    sign = "-" if nanoseconds < 0 else ""
    seconds, rest = divmod(abs(nanoseconds), 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{sign}{seconds}{fraction}".encode()


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """The name as (prefix, name) of a ustar header, or None where it does not fit."""
    if len(name) <= 100:
        return b"", name
    if len(name) > 256:
        return None
    at = name.find(b"/", len(name) - 101, len(name) - 1)
    return (name[:at], name[at + 1 :]) if 0 < at <= 155 else None


def make_header(
    name: bytes,
    kind: bytes,
    mode: int,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    xattrs: dict[str, bytes] | None = None,
) -> bytes:
    """The header blocks of one entry; `mtime` in nanoseconds."""
    records = []
    parts = _split(name)
    if parts is None or not name.isascii():
        records.append(_record(b"path", name))
        parts = parts or (b"", name[:100])
    if len(link) > 100 or not link.isascii():
        records.append(_record(b"linkpath", link))
    for key, value, largest in ((b"uid", uid, _OCTAL_ID), (b"gid", gid, _OCTAL_ID), (b"size", size, _OCTAL_SIZE)):
        if value > largest:
            records.append(_record(key, b"%d" % value))
    seconds, fraction = divmod(mtime, 1_000_000_000)
    if fraction or not 0 <= seconds <= _OCTAL_SIZE:
        records.append(_record(b"mtime", format_time(mtime)))
        seconds = min(max(seconds, 0), _OCTAL_SIZE)
    for attribute, content in sorted((xattrs or {}).items()):
        records.append(_record(b"SCHILY.xattr." + bytes_of(attribute), content))
    head = b""
    if records:
        data = b"".join(records)
        head = _pax_block(len(data)) + data + bytes(-len(data) % BLOCK_BYTES)
    uid, gid = (value if value <= _OCTAL_ID else 0 for value in (uid, gid))
    size = size if size <= _OCTAL_SIZE else 0
    return head + _block(*parts, kind, mode, uid, gid, size, seconds, link[:100], device)


def _block(
    prefix: bytes,
    name: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    seconds: int,
    link: bytes,
    device: tuple[int, int],
) -> bytes:
    before = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, uid, gid, size, seconds)
    known = _tails.get((kind, prefix)) if not link and device == (0, 0) else None
    after, total = known or _tail(kind, link, device, prefix)
    return b"%s%06o\0 %s" % (before, sum(before) + total, after)


def _tail(kind: bytes, link: bytes, device: tuple[int, int], prefix: bytes) -> tuple[bytes, int]:
    """What follows the checksum of a header, and what it adds to it; nearly all files of an archive have the same."""
    major, minor = (value if value <= _OCTAL_ID else 0 for value in device)
    after = b"%s%sustar\x0000%s%07o\0%07o\0%s" % (
        kind,
        link.ljust(100, b"\0"),
        bytes(64),
        major,
        minor,
        prefix.ljust(167, b"\0"),
    )
    found = after, sum(after) + 8 * 32
    if not link and device == (0, 0) and len(_tails) < _TAILS:
        _tails[kind, prefix] = found
    return found


_tails: dict[tuple[bytes, bytes], tuple[bytes, int]] = {}


def _pax_block(size: int) -> bytes:
    """The header of a pax header of that many bytes; its name means nothing to anybody."""
    known = _pax_blocks.get(size)
    if known is None:
        known = _block(b"", b"PaxHeaders.0/entry", b"x", 0o644, 0, 0, size, 0, b"", (0, 0))
        if len(_pax_blocks) < _TAILS:
            _pax_blocks[size] = known
    return known


_pax_blocks: dict[int, bytes] = {}


class Writer:
    """Writes entries to a descriptor (a pipe, as a rule)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        self._buffer.append(data)
        self._size += len(data)
        if self._size >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        view = memoryview(b"".join(self._buffer))
        self._buffer, self._size = [], 0
        while view:
            view = view[os.write(self._descriptor, view) :]

    def entry(
        self,
        name: str,
        kind: bytes,
        info: os.stat_result,
        *,
        size: int = 0,
        link: str = "",
        xattrs: dict[str, bytes] | None = None,
    ) -> None:
        """The header of a file that was looked at; its data, if any, comes next."""
        device = (os.major(info.st_rdev), os.minor(info.st_rdev)) if kind in (b"3", b"4") else (0, 0)
        self.add(
            make_header(
                bytes_of(name),
                kind,
                stat.S_IMODE(info.st_mode),
                info.st_uid,
                info.st_gid,
                size,
                info.st_mtime_ns,
                bytes_of(link),
                device,
                xattrs,
            )
        )

    def content(self, descriptor: int, size: int) -> None:
        """`size` bytes out of an open file; zeros for what it lost since its header was written."""
        left = size
        if size > 1 << 14:
            self.flush()
            while left:
                try:
                    sent = os.sendfile(self._descriptor, descriptor, None, min(left, _SEND_BYTES))
                except OSError:
                    break  # a filesystem that cannot: read below
                if not sent:
                    break
                left -= sent
        while left:
            data = os.read(descriptor, min(left, _SEND_BYTES))
            if not data:
                break
            self.add(data)
            left -= len(data)
        while left:
            zeros = bytes(min(left, _SEND_BYTES))
            self.add(zeros)
            left -= len(zeros)
        if size % BLOCK_BYTES:
            self.add(bytes(-size % BLOCK_BYTES))

    def close(self) -> None:
        """The two empty blocks that end an archive."""
        self.add(bytes(2 * BLOCK_BYTES))
        self.flush()

"""Tar streams to entries: ustar, GNU (long names, sparse, base-256 numbers) and pax, as any tar program writes them.

Everything that a header says is checked here; nothing touches a file. Invalid names the entry.
"""

from __future__ import annotations

from boxship.errors import Invalid, Unsupported
from boxship.snapshots.child.source import Source

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 512
META_LIMIT_BYTES = 4 << 20  # of one pax header or long name
_SPARSE_LIMIT = 1 << 20  # pieces of one file
_ZERO_BLOCK = bytes(BLOCK_BYTES)
_REGULAR = frozenset("07\0S")
_KNOWN = frozenset("01234567\0SDxgXLKVNM")
_XATTR = "SCHILY.xattr."
_LARGEST_SIZE = 1 << 62
_LARGEST_ID = (1 << 32) - 2


class Entry:
    """One member of an archive. `kind` is a tar type letter, all regular files "0"; `mtime` in nanoseconds;
    `sparse` are (offset, length) pieces of a file of `size` bytes, `stored` how many bytes the stream has of it."""

    __slots__ = (
        "gid",
        "kind",
        "link",
        "major",
        "minor",
        "mode",
        "mtime",
        "name",
        "size",
        "sparse",
        "stored",
        "uid",
        "xattrs",
    )

    name: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    stored: int
    mtime: int
    link: str
    major: int
    minor: int
    sparse: list[tuple[int, int]] | None
    xattrs: dict[str, bytes]


def text_of(data: bytes) -> str:
    """A name as the os module takes it."""
    return data.decode("utf-8", "surrogateescape")


def _field(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(data: bytes, what: str, name: str) -> int:
    """An octal or base-256 field."""
    if data[0] & 0x80:
        value = int.from_bytes(data, "big", signed=False) & ((1 << (len(data) * 8 - 1)) - 1)
        return value - (1 << (len(data) * 8 - 1)) if data[0] & 0x40 else value
    digits = data.split(b"\0", 1)[0].strip(b" ")
    if not digits:
        return 0
    try:
        if digits.strip(b"01234567"):
            raise ValueError
        return int(digits, 8)
    except ValueError:
        raise Invalid(f"cannot read the archive at {name!r}: {what} is no number") from None


def _decimal(data: bytes, what: str, name: str) -> int:
    if not data.isdigit() or len(data) > 24:
        raise Invalid(f"cannot read the archive at {name!r}: {what} is no number")
    return int(data)


def parse_time(data: bytes, name: str) -> int:
    """A pax time, "123.456" or "-1.5", in nanoseconds."""
    negative = data[:1] == b"-"
    whole, _, fraction = data[negative:].partition(b".")
    if not (whole.isdigit() and len(whole) < 20) or (fraction and not fraction.isdigit()):
        raise Invalid(f"cannot read the archive at {name!r}: mtime is no time")
    value = int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -value if negative else value


def parse_pax(data: bytes, records: dict[str, bytes], name: str) -> list[tuple[str, bytes]]:
    """Add the records of one pax header to `records`; the list has them all in order, for old sparse maps."""
    at = 0
    found = []
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        digits = data[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        equals = data.find(b"=", space, end)
        if end <= space or end > len(data) or data[end - 1 : end] != b"\n" or equals < 0:
            if not data[at:].strip(b"\0"):
                break
            raise Invalid(f"cannot read the archive at {name!r}: its extended header is malformed")
        key = text_of(data[space + 1 : equals])
        value = data[equals + 1 : end - 1]
        found.append((key, value))
        if value:
            records[key] = value
        else:
            records.pop(key, None)
        at = end
    return found


class Reader:
    """Walks through an archive. After each entry, its data may be read with `data`; what is left is skipped."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._globals: dict[str, bytes] = {}
        self._left = 0  # bytes of the current entry, padding included
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        records: dict[str, bytes] = {}
        ordered: list[tuple[str, bytes]] = []
        long_name = long_link = b""
        while block := self._next_header():
            kind = chr(block[156])
            name = self._name(block)
            if kind not in _KNOWN:
                raise Unsupported(f"unsupported: entry {name!r} of type {kind!r} in an archive")
            size = _number(block[124:136], "size", name)
            if size < 0 or size > _LARGEST_SIZE:
                raise Invalid(f"cannot read the archive at {name!r}: size out of range")
            if kind in "xXgLK":
                data = self._meta(size, name)
                if kind == "g":
                    parse_pax(data, self._globals, name)
                elif kind in "xX":
                    records = dict(self._globals)
                    ordered = parse_pax(data, records, name)
                elif kind == "L":
                    long_name = data.split(b"\0", 1)[0]
                else:
                    long_link = data.split(b"\0", 1)[0]
                continue
            if kind in "VNM":
                if kind == "M":
                    raise Unsupported(f"unsupported: archive of several volumes at {name!r}")
                self._begin(size)
                self.finish()
                continue
            entry = self._entry(block, kind, size, long_name, long_link, records or self._globals, ordered)
            records, ordered, long_name, long_link = {}, [], b"", b""
            yield entry
            self.finish()

    def _next_header(self) -> bytes:
        """The next header block; b"" at the end of the archive."""
        block = self._source.read(BLOCK_BYTES)
        if not block or block == _ZERO_BLOCK:
            return b""
        try:
            stored = _number(block[148:156], "checksum", "")
        except Invalid:
            stored = -1
        signed = unsigned = sum(block) - sum(block[148:156]) + 8 * 32
        if stored != unsigned:
            signed -= 256 * sum(1 for byte in block[:148] + block[156:] if byte > 127)
            if stored != signed:
                raise Invalid("cannot read the archive: a header's checksum is wrong, or this is no tar archive")
        return block

    @staticmethod
    def _name(block: bytes) -> str:
        name = _field(block[:100])
        if block[257:263] == b"ustar\0" and block[345]:
            return f"{_field(block[345:500])}/{name}"
        return name

    def _begin(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK_BYTES

    def _meta(self, size: int, name: str) -> bytes:
        if size > META_LIMIT_BYTES:
            raise Invalid(f"cannot read the archive at {name!r}: extended header of {size} bytes")
        data = self._source.read(size) if size else b""
        self._source.skip(size - len(data) + -size % BLOCK_BYTES)
        return data

    def data(self) -> Iterator[memoryview]:
        """The stored bytes of the current entry."""
        left, self._left = self._left, 0
        return self._source.pieces(left)

    def finish(self) -> None:
        """Skip what is left of the current entry."""
        self._source.skip(self._left + self._padding)
        self._left = self._padding = 0

    def _entry(
        self,
        block: bytes,
        kind: str,
        size: int,
        long_name: bytes,
        long_link: bytes,
        records: dict[str, bytes],
        ordered: list[tuple[str, bytes]],
    ) -> Entry:
        entry = Entry()
        entry.name = name = text_of(long_name) if long_name else self._name(block)
        entry.link = text_of(long_link) if long_link else _field(block[157:257])
        entry.mode = _number(block[100:108], "mode", name) & 0o7777
        entry.uid = _number(block[108:116], "uid", name)
        entry.gid = _number(block[116:124], "gid", name)
        entry.mtime = _number(block[136:148], "mtime", name) * 1_000_000_000
        entry.major = entry.minor = 0
        if kind in "34":
            entry.major = _number(block[329:337], "device", name)
            entry.minor = _number(block[337:345], "device", name)
        entry.size, entry.sparse, entry.xattrs = size, None, {}
        if records:
            self._apply_records(entry, records)
        if kind in _REGULAR and entry.name.endswith("/") and kind != "S":
            kind = "5"  # as the first tar programs wrote folders
        entry.kind = "0" if kind in _REGULAR else "5" if kind == "D" else kind
        for value in (entry.uid, entry.gid):
            if not 0 <= value <= _LARGEST_ID:
                raise Invalid(f"cannot read the archive at {entry.name!r}: owner {value} is out of range")
        if not entry.name or "\0" in entry.name or "\0" in entry.link:
            raise Invalid(f"cannot read the archive at {entry.name!r}: a name is empty or has a zero byte")
        entry.stored = entry.size if kind in _REGULAR or kind == "D" else 0
        self._begin(entry.stored)
        if kind == "S":
            self._old_sparse(entry, block)
        elif records and entry.kind == "0":
            self._pax_sparse(entry, records, ordered)
        if entry.kind != "0":
            entry.size = 0
        return entry

    @staticmethod
    def _apply_records(entry: Entry, records: dict[str, bytes]) -> None:
        name = entry.name = text_of(records["path"]) if "path" in records else entry.name
        for key, value in records.items():
            if key == "linkpath":
                entry.link = text_of(value)
            elif key == "size":
                entry.size = _decimal(value, "size", name)
                if entry.size > _LARGEST_SIZE:
                    raise Invalid(f"cannot read the archive at {name!r}: size out of range")
            elif key == "uid":
                entry.uid = _decimal(value, "uid", name)
            elif key == "gid":
                entry.gid = _decimal(value, "gid", name)
            elif key == "mtime":
                entry.mtime = parse_time(value, name)
            elif key.startswith(_XATTR):
                entry.xattrs[key[len(_XATTR) :]] = value

    def _pax_sparse(self, entry: Entry, records: dict[str, bytes], ordered: list[tuple[str, bytes]]) -> None:
        """Sparse files as GNU tar writes them into pax archives, versions 0.0, 0.1 and 1.0."""
        name = entry.name
        real = records.get("GNU.sparse.realsize") or records.get("GNU.sparse.size")
        if real is None:
            return
        if "GNU.sparse.name" in records:
            entry.name = text_of(records["GNU.sparse.name"])
        if records.get("GNU.sparse.major") == b"1":
            numbers = self._sparse_lines(name)
        elif "GNU.sparse.map" in records:
            numbers = [_decimal(part, "sparse map", name) for part in records["GNU.sparse.map"].split(b",")]
        else:
            wanted = ("GNU.sparse.offset", "GNU.sparse.numbytes")
            numbers = [_decimal(value, "sparse map", name) for key, value in ordered if key in wanted]
        entry.size = _decimal(real, "size", name)
        self._set_sparse(entry, numbers)

    def _sparse_lines(self, name: str) -> list[int]:
        """The map of version 1.0: decimal lines before the data, padded to a block."""
        text = b""
        wanted = -1
        while wanted < 0 or text.count(b"\n") < wanted:
            if self._left < BLOCK_BYTES or len(text) > META_LIMIT_BYTES:
                raise Invalid(f"cannot read the archive at {name!r}: its sparse map is malformed")
            text += self._source.read(BLOCK_BYTES)
            self._left -= BLOCK_BYTES
            if wanted < 0 and b"\n" in text:
                wanted = 1 + 2 * _decimal(text.split(b"\n", 1)[0], "sparse map", name)
        return [_decimal(line, "sparse map", name) for line in text.split(b"\n")[1:wanted]]

    def _old_sparse(self, entry: Entry, block: bytes) -> None:
        """Sparse files of GNU tar before pax: four pieces in the header, 21 in each block that follows."""
        numbers: list[int] = []
        fields, more = block[386:482], block[482]
        entry.size = _number(block[483:495], "size", entry.name)
        while True:
            for at in range(0, len(fields) - 11, 24):
                if not fields[at]:
                    break
                numbers += [
                    _number(fields[at : at + 12], "sparse map", entry.name),
                    _number(fields[at + 12 : at + 24], "sparse map", entry.name),
                ]
            if not more:
                break
            if len(numbers) > 2 * _SPARSE_LIMIT:
                raise Invalid(f"cannot read the archive at {entry.name!r}: its sparse map is too long")
            extension = self._source.read(BLOCK_BYTES)
            if not extension:
                self._source.skip(1)
            fields, more = extension[:504], extension[504]
        self._set_sparse(entry, numbers)

    def _set_sparse(self, entry: Entry, numbers: list[int]) -> None:
        pieces = list(zip(numbers[::2], numbers[1::2], strict=len(numbers) % 2 == 0))
        end = total = 0
        for offset, length in pieces:
            if offset < end or length < 0 or offset + length > entry.size:
                raise Invalid(f"cannot read the archive at {entry.name!r}: its sparse map is malformed")
            end = offset + length
            total += length
        if len(numbers) % 2 or total != self._left or not 0 <= entry.size <= _LARGEST_SIZE:
            raise Invalid(f"cannot read the archive at {entry.name!r}: its sparse map is malformed")
        entry.sparse, entry.stored = pieces, total

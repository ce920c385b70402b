"""Backups: what a store holds at one revision, as one file that any kind of store can be filled from.

The file is gzip of lines of JSON: a head (format, revision, time), one line an entry in key order (its value as text
where it is text), and an end with the number of entries and the SHA-256 of all lines before. It is read through to its
end before anything is written. The history is not in it: who watched has to list again.
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import time
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from boxship.errors import Exists, Invalid, Unavailable
from boxship.store import Delete, Entry, Operation, Put, Store
from boxship.store.files import Files

FORMAT = "boxship-store-backup"
VERSION = 1
PAGE = 500  # entries read at once
READ_BYTES = 1 << 20
LINE_BYTES = 32 << 20  # the largest value is half of that
BATCH_OPERATIONS, BATCH_BYTES = 100, 1 << 20  # written in one commit
BEYOND = 1_000_000  # the restored store's revisions begin that far above: nobody has seen any of them

_encode = msgspec.json.Encoder().encode


class Head(msgspec.Struct, frozen=True):
    """The first line."""

    format: str
    version: int
    revision: int
    time: float


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry. The value is `text`, or `base64` where it is none."""

    key: str
    created: int
    modified: int
    text: str | None = None
    base64: str | None = None


class End(msgspec.Struct, frozen=True):
    """The last line."""

    entries: int
    sha256: str


_read_head, _read_line, _read_end = (msgspec.json.Decoder(kind).decode for kind in (Head, Line, End))


# Writing.


class _Packer:
    """Lines to compressed bytes."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
        self._sum = hashlib.sha256()
        self.entries = 0

    def add(self, values: Sequence[Head | Line]) -> bytes:
        lines = b"".join(_encode(value) + b"\n" for value in values)
        self._sum.update(lines)
        return self._compressor.compress(lines)

    def add_entries(self, entries: Sequence[Entry]) -> bytes:
        self.entries += len(entries)
        return self.add([_line_of(entry) for entry in entries])

    def finish(self) -> bytes:
        end = End(self.entries, self._sum.hexdigest())
        return self._compressor.compress(_encode(end) + b"\n") + self._compressor.flush()


def _line_of(entry: Entry) -> Line:
    try:
        return Line(entry.key, entry.created, entry.modified, text=entry.value.decode())
    except UnicodeDecodeError:
        return Line(entry.key, entry.created, entry.modified, base64=base64.b64encode(entry.value).decode())


async def back_up(store: Store) -> AsyncIterator[bytes]:
    """The file's bytes, piece by piece, while the store is in use. Raises Compacted where it takes longer than history
    is kept."""
    packer = _Packer()
    revision = await store.revision()
    yield packer.add([Head(FORMAT, VERSION, revision, time.time())])
    after, remaining = "", revision  # at revision 0 there is nothing
    while remaining:
        page = await store.list("", after=after, limit=PAGE, at=revision)
        remaining = page.remaining
        if page.entries:
            after = page.entries[-1].key
            yield await asyncio.to_thread(packer.add_entries, page.entries)
    yield packer.finish()


async def back_up_to(store: Store, path: Path) -> None:
    """Write the file, whole or not at all, for its owner alone."""
    half = path.with_name(path.name + ".new")
    try:
        try:
            half.unlink(missing_ok=True)
            descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                async for piece in back_up(store):
                    await asyncio.to_thread(file.write, piece)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            half.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                half.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}") from error


# Reading.


def check(path: Path) -> tuple[Head, int]:
    """Read the file to its end: its head, and how many entries it has. Raises Invalid for anything but a whole one."""
    head: Head | None = None
    count = 0
    sums, last = hashlib.sha256(), b""
    end: End | None = None
    key = ""
    for line in _lines(path):
        if head is None:
            head = _head_of(line, path)
        elif end is not None:
            raise Invalid(f"cannot use {path}: something follows its end")
        elif line.startswith(b'{"entries"'):
            end = _parsed(_read_end, line, path)
            continue
        else:
            entry = _entry_of(_parsed(_read_line, line, path), path)
            if entry.key <= key:
                raise Invalid(f"cannot use {path}: its entries are not in order")
            key = entry.key
            count += 1
        sums.update(line + b"\n")
        last = line
    if head is None or end is None:
        raise Invalid(f"cannot use {path}: it is cut off{' behind ' + repr(last[:60]) if last else ''}")
    if end.entries != count or end.sha256 != sums.hexdigest():
        raise Invalid(f"cannot use {path}: it is damaged, its checksum does not hold")
    return head, count


def _read(path: Path) -> Iterator[Entry]:
    """The entries of a file that was checked."""
    for number, line in enumerate(_lines(path)):
        if number and not line.startswith(b'{"entries"'):
            yield _entry_of(_parsed(_read_line, line, path), path)


def _lines(path: Path) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(31)
    rest = b""
    try:
        with path.open("rb") as file:
            while data := file.read(READ_BYTES):
                while data:
                    rest += decompressor.decompress(data, READ_BYTES)
                    data = decompressor.unconsumed_tail
                    *lines, rest = rest.split(b"\n")
                    yield from lines
                    if len(rest) > LINE_BYTES:
                        raise Invalid(f"cannot use {path}: a line is longer than {LINE_BYTES} bytes")
                if decompressor.unused_data:
                    raise Invalid(f"cannot use {path}: something follows its end")
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}") from error
    except zlib.error as error:
        raise Invalid(f"cannot use {path}: it is no whole backup ({error})") from error
    if rest or not decompressor.eof:
        raise Invalid(f"cannot use {path}: it is cut off")


def _head_of(line: bytes, path: Path) -> Head:
    head: Head = _parsed(_read_head, line, path)
    if head.format != FORMAT:
        raise Invalid(f"cannot use {path}: it is no backup of a store")
    if head.version != VERSION:
        raise Invalid(f"cannot use {path}: its version is {head.version}, not {VERSION}")
    return head


def _parsed(read: Any, line: bytes, path: Path) -> Any:
    try:
        return read(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot use {path}: it is no whole backup ({error})") from error


def _entry_of(line: Line, path: Path) -> Entry:
    try:
        value = line.text.encode() if line.text is not None else base64.b64decode(line.base64 or "", validate=True)
    except ValueError as error:
        raise Invalid(f"cannot use {path}: the value of {line.key} is damaged") from error
    return Entry(line.key, value, line.created, line.modified)


# Restoring.


async def fill(store: Store, path: Path) -> int:
    """Write all entries of a checked file into a store that has none; how many. Raises Exists."""
    if (await store.list("", limit=1)).entries:
        raise Exists("cannot restore: the store is not empty")
    count, size = 0, 0
    batch: list[Operation] = []
    entries = _read(path)
    while page := await asyncio.to_thread(_take, entries):
        for entry in page:
            if batch and (len(batch) == BATCH_OPERATIONS or size + len(entry.value) > BATCH_BYTES):
                await store.commit(*batch)
                batch, size = [], 0
            batch.append(Put(entry.key, entry.value, expected=0))
            size += len(entry.key) + len(entry.value)
            count += 1
    if batch:
        await store.commit(*batch)
    return count


def _take(entries: Iterator[Entry]) -> list[Entry]:
    return [entry for _, entry in zip(range(PAGE), entries, strict=False)]


async def empty(store: Store) -> None:
    """Take every key away."""
    while entries := (await store.list("", limit=BATCH_OPERATIONS)).entries:
        await store.commit(*(Delete(entry.key) for entry in entries))


@contextlib.contextmanager
def _place(target: Path) -> Iterator[Path]:
    """Where a SQLite file is made that takes its name when the block is done. Raises Exists."""
    if target.exists():
        raise Exists(f"cannot restore: {target} exists; move it away first")
    half = target.with_name(target.name + ".restoring")
    rests = [half, *(half.with_name(half.name + suffix) for suffix in ("-wal", "-shm", ".lock", ".backup"))]
    for rest in rests:
        rest.unlink(missing_ok=True)
    try:
        yield half
        half.replace(target)
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        for rest in rests:
            rest.unlink(missing_ok=True)


async def restore_sqlite(path: Path, target: Path) -> int:
    """A new SQLite file out of a backup, whole or not at all; how many entries. Raises Invalid, Exists."""
    from boxship.store.sqlite import SqliteStore

    head, _ = await asyncio.to_thread(check, path)
    with _place(target) as half:
        store = await SqliteStore.open(half, backup=False, first=head.revision + BEYOND)
        try:
            return await fill(store, path)
        finally:
            await store.close()


async def restore_etcd(path: Path, endpoints: str, files: Files | None) -> int:
    """Fill an etcd that has no keys, or whose restore was not finished; how many entries. Raises Invalid, Exists."""
    from boxship.store.etcd.store import EtcdStore

    await asyncio.to_thread(check, path)
    store = await EtcdStore.open(endpoints, files=files, unfinished=True)
    try:
        if await store.restoring():
            await empty(store)
        elif (await store.list("", limit=1)).entries:
            raise Exists("cannot restore: the store is not empty")
        await store.mark_restoring(True)
        count = await fill(store, path)
        await store.mark_restoring(False)
        return count
    finally:
        await store.close()

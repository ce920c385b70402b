"""Files from web servers and checkouts of repositories, kept on the disk and used again while they did not change.

Each lies in a folder of its own that is complete before it gets its name. What nobody used for some time goes, and what
is too much; what a build uses stays. All of it may be lost at any moment between builds.
"""

import asyncio
import contextlib
import hashlib
import io
import os
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from boxship.builder.addresses import without_password
from boxship.builder.contexts import Contexts
from boxship.builder.graph import GitSource, HttpSource
from boxship.builder.model import CacheRecord
from boxship.builder.operations import FolderTree
from boxship.builder.sources import Answer, Fetcher, Kept, Repositories
from boxship.errors import Exhausted, Invalid, NotFound, Unavailable
from boxship.snapshots.removal import remove_path
from boxship.waiting import in_thread, to_the_end

FILE_BYTES = 16 << 30  # of one file
KEPT_SECONDS = 7 * 24 * 3600.0
KEPT_BYTES = 4 << 30
PIECE_BYTES = 1 << 20
DIGITS = 16  # of a content's digest in a folder's name
RECORD = "record.json"
FILES = "files"
OK, NOT_MODIFIED, MISSING = 200, 304, (404, 410)


class FetchedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a folder. Times in nanoseconds."""

    id: str
    kind: str  # source.http or source.git.checkout
    description: str
    created: int
    used: int
    uses: int = 1
    size: int = 0
    name: str = ""
    digest: str = ""
    etag: str = ""
    modified: str = ""
    commit: str = ""


class Downloads:
    """The folder of everything that was fetched."""

    def __init__(self, root: Path, contexts: Contexts, fetcher: Fetcher, repositories: Repositories) -> None:
        self._root = root
        self._contexts = contexts
        self._fetcher = fetcher
        self._repositories = repositories
        self._users: Counter[str] = Counter()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def recover(self) -> None:
        """Take back what a crash left half-made, and what nobody used for long."""
        await asyncio.to_thread(self._recover)

    def _recover(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self._root.iterdir():
            if path.name.startswith(".") or read_record(path) is None:
                remove_path(path)
        self._thin_out()

    def _thin_out(self, keep: str = "") -> None:
        """Remove what is old, and the longest unused of what is too much."""
        total, now = 0, time.time_ns()
        for record in sorted(self.records(), key=lambda record: record.used, reverse=True):
            total += record.size
            old = now - record.used > KEPT_SECONDS * 1e9
            if (old or total > KEPT_BYTES) and record.id != keep and not self._users[record.id]:
                self._drop(record.id)

    def _drop(self, identifier: str) -> None:
        gone = self._root / f".{secrets.token_hex(8)}"
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._root / identifier, gone)
            remove_path(gone)

    def records(self) -> list[FetchedRecord]:
        """All that is there. Blocks."""
        found = [read_record(path) for path in self._root.iterdir() if not path.name.startswith(".")]
        return [record for record in found if record is not None]

    async def shown(self) -> list[CacheRecord]:
        """All that is there, as part of the cache."""
        return [
            CacheRecord(
                id=record.id,
                kind=record.kind,
                description=record.description,
                size=record.size,
                created=record.created,
                used=record.used,
                uses=record.uses,
                in_use=self._users[record.id] > 0,
            )
            for record in await asyncio.to_thread(self.records)
        ]

    async def remove(self, identifier: str) -> bool:
        """Remove one that no build uses; whether it was."""
        if self._users[identifier]:
            return False
        await asyncio.to_thread(self._drop, identifier)
        return True

    @contextlib.asynccontextmanager
    async def _using(self, identifier: str) -> AsyncIterator[None]:
        """Nobody removes it meanwhile."""
        self._users[identifier] += 1
        try:
            yield
        finally:
            self._users[identifier] -= 1
            if not self._users[identifier]:
                del self._users[identifier]

    # files

    @contextlib.asynccontextmanager
    async def file(self, source: HttpSource, headers: Mapping[str, str] = {}) -> AsyncIterator[Kept]:
        """One file; `headers` say who asks. Raises NotFound, Unavailable, Invalid where its checksum is another."""
        address = _identifier("http", source.url, source.name, source.checksum)
        async with self._locks.setdefault(address, asyncio.Lock()):
            record, fresh = await self._current(address, source, headers)
            using = self._using(record.id)
            await using.__aenter__()
        try:
            tree = FolderTree(self._root / record.id / FILES, origin=without_password(source.url))
            yield Kept(tree, record.name, fresh)
        finally:
            await using.__aexit__(None, None, None)

    async def _current(self, address: str, source: HttpSource, own: Mapping[str, str]) -> tuple[FetchedRecord, bool]:
        """What is at the address now: what is here, where the server says so, or else a new download."""
        known = await asyncio.to_thread(self._latest, address)
        if known is not None and source.checksum and known.digest == source.checksum:
            return await self._used(known), False
        headers = {"Accept": "*/*", **own}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        elif known is not None and known.modified:
            headers["If-Modified-Since"] = known.modified
        async with self._fetcher.get(source.url, headers) as answer:
            if answer.status == NOT_MODIFIED and known is not None:
                return await self._used(known), False
            if answer.status != OK:
                kind = NotFound if answer.status in MISSING else Unavailable
                raise kind(f"cannot fetch {without_password(source.url)}: the server answered {answer.status}")
            return await self._download(address, source, answer), True

    def _latest(self, address: str) -> FetchedRecord | None:
        """What was fetched last from an address. Blocks."""
        found = [record for path in self._root.glob(f"{address}.*") if (record := read_record(path)) is not None]
        return max(found, key=lambda record: record.created, default=None)

    async def _download(self, address: str, source: HttpSource, answer: Answer) -> FetchedRecord:
        staged = self._root / f".{secrets.token_hex(8)}"
        try:
            name = source.name or "download"
            digest, size = await _save(answer.body, staged / FILES / name, source.checksum)
            if source.checksum and digest != source.checksum:
                raise Invalid(f"digest mismatch {digest}: {source.checksum}")
            modified = answer.headers.get("last-modified", "")
            _stamp(staged / FILES / name, modified)
            now = time.time_ns()
            record = FetchedRecord(
                id=f"{address}.{digest.partition(':')[2][:DIGITS]}",
                kind="source.http",
                description=f"fetched {without_password(source.url)}",
                created=now,
                used=now,
                size=size,
                name=name,
                digest=digest,
                etag=answer.headers.get("etag", ""),
                modified=modified,
            )
            await in_thread(self._settle, staged, record)
            return record
        finally:
            await in_thread(remove_path, staged)

    def _settle(self, staged: Path, record: FetchedRecord) -> None:
        """Give a complete folder its name; what is there already has the same content."""
        (staged / RECORD).write_bytes(msgspec.json.encode(record))
        if read_record(self._root / record.id) is None:
            self._drop(record.id)
            os.rename(staged, self._root / record.id)
        else:
            _write_record(self._root / record.id, record)
        self._thin_out(keep=record.id)

    async def _used(self, record: FetchedRecord) -> FetchedRecord:
        record = msgspec.structs.replace(record, used=time.time_ns(), uses=record.uses + 1)
        await asyncio.to_thread(_write_record, self._root / record.id, record)
        return record

    # repositories

    @contextlib.asynccontextmanager
    async def repository(self, source: GitSource, environment: Mapping[str, str]) -> AsyncIterator[Kept]:
        """A checkout. Raises NotFound, Unavailable, Invalid where the checksum is another commit."""
        commit = await self._repositories.commit_of(source, environment)
        if source.checksum and not commit.startswith(source.checksum):
            raise Invalid(f"expected checksum to match {source.checksum}, got {commit}")
        identifier = _identifier("git", source.url, commit, str(source.keep_git), str(source.submodules))
        async with self._using(identifier):
            async with self._locks.setdefault(identifier, asyncio.Lock()):
                known = await asyncio.to_thread(read_record, self._root / identifier)
                fresh = known is None
                if known is None:
                    await self._check_out(identifier, source, commit, environment)
                else:
                    await self._used(known)
            path = self._root / identifier / FILES
            for part in source.folder.split("/"):  # a link on the way could lead to files of this machine
                path = path / part
                if path.is_symlink() or not path.is_dir():
                    raise NotFound(f"cannot use {without_password(source.url)}: it has no folder {source.folder}")
            yield Kept(FolderTree(path, origin=without_password(source.url)), fresh=fresh)

    async def _check_out(self, identifier: str, source: GitSource, commit: str, environment: Mapping[str, str]) -> None:
        staged = self._root / f".{secrets.token_hex(8)}"
        try:
            (staged / FILES).mkdir(parents=True)
            await self._repositories.checkout(source, commit, staged / FILES, environment)
            now = time.time_ns()
            record = FetchedRecord(
                id=identifier,
                kind="source.git.checkout",
                description=f"git snapshot for {without_password(source.url)}#{commit}",
                created=now,
                used=now,
                size=await asyncio.to_thread(_usage, staged),
                commit=commit,
            )
            await in_thread(self._settle, staged, record)
        finally:
            await in_thread(remove_path, staged)

    # archives

    @contextlib.asynccontextmanager
    async def archive(self, path: Path) -> AsyncIterator[FolderTree]:
        """A fetched archive, unpacked. Raises Invalid for what is none."""

        async def pieces() -> AsyncIterator[bytes]:
            with path.open("rb", buffering=0) as file:
                while data := await asyncio.to_thread(file.read, PIECE_BYTES):
                    yield data

        tree = await self._contexts.receive(pieces())
        try:
            yield tree
        finally:
            await to_the_end(self._contexts.drop(tree))


def is_archive(path: Path) -> bool:
    """Whether a file begins as an archive does, plain or compressed. Blocks."""
    with path.open("rb") as file:
        head = file.read(512)
    compressed = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
    return head.startswith(compressed) or head[257:262] == b"ustar"


def _identifier(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


async def _save(body: AsyncIterator[bytes], path: Path, checksum: str) -> tuple[str, int]:
    """Write a body to a file; its digest in the checksum's algorithm, and its size."""
    algorithm = checksum.partition(":")[0] or "sha256"
    total = hashlib.new(algorithm)
    size = 0
    path.parent.mkdir(parents=True)
    with path.open("xb", buffering=0) as file:
        os.fchmod(file.fileno(), 0o600)
        async for data in body:
            size += len(data)
            if size > FILE_BYTES:
                raise Exhausted(f"cannot fetch {path.name}: it has more than {FILE_BYTES} bytes")
            await asyncio.to_thread(_add, total, file, data)
    return f"{algorithm}:{total.hexdigest()}", size


def _add(total: "hashlib._Hash", file: io.FileIO, data: bytes) -> None:
    total.update(data)
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _stamp(path: Path, modified: str) -> None:
    """The file's time is the server's; where that has none it is 1970, the same whenever it is fetched."""
    seconds = 0.0
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        seconds = max(parsedate_to_datetime(modified).timestamp(), 0.0)
    os.utime(path, (seconds, seconds))


def read_record(folder: Path) -> FetchedRecord | None:
    """None where the folder is not whole."""
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=FetchedRecord)
    except (OSError, msgspec.MsgspecError):
        return None


def _write_record(folder: Path, record: FetchedRecord) -> None:
    staged = folder / f"{RECORD}.new"
    staged.write_bytes(msgspec.json.encode(record))
    staged.rename(folder / RECORD)


def _usage(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        total += sum(os.lstat(f"{path}/{name}").st_blocks * 512 for name in names)
    return total

"""The blob folder: `blobs/sha256/<hex>` for what is whole, `ingest/` for what is being written."""

import asyncio
import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from boxship.content.references import References
from boxship.errors import Exhausted, Internal, Invalid, NotFound
from boxship.spec import digest as digests
from boxship.store import Store

PIECE = 1024 * 1024  # bytes handed to the writing thread at once


class Ingest:
    """One blob on its way in. Synchronous, for use in a thread; `finish` or `abandon` must be called."""

    def __init__(self, content: "Content") -> None:
        self._content = content
        self._path = content.root / "ingest" / secrets.token_hex(16)
        self._hash = hashlib.sha256()
        self.size = 0
        with kernel(f"cannot write {self._path}"):
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Add data. Raises Exhausted on a full disk."""
        self._hash.update(data)
        view = memoryview(data)
        self.size += len(view)
        with kernel(f"cannot write {self._path}"):
            while view:
                view = view[os.write(self._descriptor, view) :]

    def digest(self) -> str:
        """The digest of what has been written so far."""
        return "sha256:" + self._hash.hexdigest()

    def finish(self, expected: str | None = None, size: int | None = None) -> str:
        """Make the blob visible and durable; its digest. Raises Invalid where it is not what was expected."""
        digest = self.digest()
        try:
            if expected is not None and digest != expected:
                raise Invalid(f"cannot store blob {expected}: the content has the digest {digest}")
            if size is not None and size != self.size:
                raise Invalid(f"cannot store blob {digest}: it has {self.size} bytes instead of {size}")
            with kernel(f"cannot store blob {digest}"):
                self._settle(digest)
        finally:
            self.abandon()
        return digest

    def _settle(self, digest: str) -> None:
        target = self._content.place(digest)
        if target.exists():
            return
        os.fchmod(self._descriptor, 0o400)
        os.fsync(self._descriptor)
        os.rename(self._path, target)
        _synchronise(target.parent)

    def abandon(self) -> None:
        """Take back what is not finished; safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._path.unlink(missing_ok=True)


class Content:
    """Blobs by digest; `references` are the records that name them."""

    def __init__(self, root: Path, store: Store) -> None:
        self.root = root
        self.references = References(store)
        self._blobs = root / "blobs" / "sha256"

    async def recover(self) -> None:
        """Make the folders, and remove what a crash left half-written. Before anything else; nothing may be in use."""
        await asyncio.to_thread(self._recover)

    def _recover(self) -> None:
        for folder in (self._blobs, self.root / "ingest"):
            folder.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for path in (self.root / "ingest").iterdir():
            path.unlink()

    def begin(self) -> Ingest:
        """Start a blob; for use in a thread."""
        return Ingest(self)

    async def ingest(
        self, source: AsyncIterator[bytes], *, expected: str | None = None, size: int | None = None
    ) -> tuple[str, int]:
        """Store what `source` gives; digest and size. Writing and hashing go on in a thread while the source is read.
        Raises Invalid where the blob is not what was expected, Exhausted on a full disk."""
        if expected is not None:
            digests.validate(expected)
        ingest = await asyncio.to_thread(self.begin)
        writing: asyncio.Future[None] | None = None
        try:
            buffer = bytearray()
            async for data in source:
                buffer += data
                if len(buffer) >= PIECE:
                    if size is not None and ingest.size + len(buffer) > size + PIECE:
                        raise Invalid(f"cannot store blob {expected or ''}: it has more than {size} bytes")
                    if writing is not None:
                        await writing
                    writing = asyncio.ensure_future(asyncio.to_thread(ingest.write, buffer))
                    buffer = bytearray()
            if writing is not None:
                await writing
                writing = None
            return await asyncio.to_thread(_end, ingest, buffer, expected, size), ingest.size
        finally:
            if writing is not None:
                await asyncio.wait([writing])
            await asyncio.shield(asyncio.to_thread(ingest.abandon))

    async def put(self, data: bytes) -> str:
        """Store a small blob; its digest."""

        def store() -> str:
            ingest = self.begin()
            try:
                ingest.write(data)
            except BaseException:
                ingest.abandon()
                raise
            return ingest.finish()

        digest = digests.of_bytes(data)
        return digest if self.exists(digest) else await asyncio.to_thread(store)

    def place(self, digest: str) -> Path:
        """Where the blob is, or would be. Raises Invalid for what is not a sha256 digest."""
        digests.validate(digest)
        algorithm, _, encoded = digest.partition(":")
        if algorithm != "sha256":
            raise Invalid(f"cannot store blob {digest}: only sha256 digests are kept")
        return self._blobs / encoded

    def path(self, digest: str) -> Path:
        """The file of a blob that is there; it must only be read. Raises NotFound."""
        path = self.place(digest)
        if not path.exists():
            raise NotFound(f"cannot find blob {digest}: it is not in the store")
        return path

    def exists(self, digest: str) -> bool:
        return self.place(digest).exists()

    def size(self, digest: str) -> int:
        """Bytes of the blob. Raises NotFound."""
        return self.path(digest).stat().st_size

    async def read(self, digest: str, limit: int) -> bytes:
        """The whole of a small blob, verified. Raises Invalid where it has more than `limit` bytes, Internal where the
        disk gives back other content than was stored."""
        return await asyncio.to_thread(self.read_now, digest, limit)

    def read_now(self, digest: str, limit: int) -> bytes:
        """As `read`; blocks."""
        with self.path(digest).open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise Invalid(f"cannot read blob {digest}: it has more than {limit} bytes")
        if digests.of_bytes(data) != digest:
            raise Internal(f"cannot read blob {digest}: its content is damaged on the disk")
        return data

    async def delete(self, digest: str) -> None:
        """Take a blob away; one that is not there is fine."""
        path = self.place(digest)
        await asyncio.to_thread(path.unlink, missing_ok=True)

    async def list(self) -> tuple[str, ...]:
        """The digests of all blobs, sorted."""
        names = await asyncio.to_thread(os.listdir, self._blobs)
        return tuple(sorted(f"sha256:{name}" for name in names))

    async def usage(self) -> int:
        """Bytes on the disk that all blobs take, as du counts them."""

        def count() -> int:
            with os.scandir(self._blobs) as entries:
                return sum(entry.stat().st_blocks * 512 for entry in entries)

        return await asyncio.to_thread(count)


def _end(ingest: Ingest, rest: bytearray, expected: str | None, size: int | None) -> str:
    ingest.write(rest)
    return ingest.finish(expected, size)


@contextlib.contextmanager
def kernel(what: str) -> Iterator[None]:
    """Errors of the kernel as ours."""
    try:
        yield
    except OSError as error:
        kind = Exhausted if error.errno in (errno.ENOSPC, errno.EDQUOT) else Internal
        raise kind(f"{what}: {os.strerror(error.errno or 0)}") from error


def _synchronise(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

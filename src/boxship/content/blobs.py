"""The blob folders: `blobs/sha256/<hex>` and `blobs/sha512/<hex>` for what is whole, `ingest/` and `partials/` for what
is being written (see `ingest`)."""

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Collection
from functools import partial
from pathlib import Path

from boxship.content.ingest import ALGORITHMS, PARTIAL_SECONDS, Ingest, Partial, Shelf
from boxship.content.pouring import Pouring
from boxship.content.quarantine import Quarantine
from boxship.content.references import References
from boxship.errors import Internal, Invalid, NotFound
from boxship.spec import digest as digests
from boxship.store import Store
from boxship.waiting import in_thread, to_the_end

PIECE = 1024 * 1024  # bytes handed to the writing thread at once


class Content:
    """Blobs by digest; `references` are the records that name them."""

    def __init__(self, root: Path, store: Store) -> None:
        self.root = root
        self.references = References(store)
        self._blobs = root / "blobs"
        self._shelf = Shelf(root, self._blobs)
        self.quarantine = Quarantine(root / "quarantine", self.place)

    async def recover(self) -> None:
        """Make the folders, and remove what a crash left half-written. Before anything else; nothing may be in use."""
        await asyncio.to_thread(self._recover)

    def _recover(self) -> None:
        for algorithm in ALGORITHMS:
            (self._blobs / algorithm).mkdir(parents=True, exist_ok=True)
        self._shelf.recover()
        self.root.chmod(0o700)
        self._drop_old_partials()

    def begin(self, name: str = "", *, algorithm: str = "sha256") -> Ingest:
        """Start a blob, or go on with one that was begun under that name; for use in a thread. Raises Conflict while
        another has the name."""
        return Ingest(self._shelf, name, algorithm)

    def partials(self) -> tuple[Partial, ...]:
        """The named ingests that are not finished, by name."""
        return self._shelf.list()

    async def drop_partial(self, name: str) -> None:
        """Remove a paused ingest. Raises NotFound, or Conflict while it is being written."""
        await asyncio.to_thread(self._shelf.drop, name)

    async def drop_old_partials(self) -> None:
        """Remove what was paused and never continued."""
        await asyncio.to_thread(self._drop_old_partials)

    def _drop_old_partials(self) -> None:
        self._shelf.drop_old(time.time_ns() - PARTIAL_SECONDS * 10**9)

    async def ingest(
        self, source: AsyncIterator[bytes], *, expected: str | None = None, size: int | None = None
    ) -> tuple[str, int]:
        """Store what `source` gives; digest and size. Writing and hashing go on in a thread while the source is read.
        Raises Invalid where the blob is not what was expected, Exhausted on a full disk."""
        algorithm = self.place(expected).parent.name if expected is not None else ALGORITHMS[0]
        ingest = await open_ingest(partial(self.begin, algorithm=algorithm))
        pouring = Pouring(ingest, PIECE)
        received = 0
        try:
            async for data in source:
                received += len(data)
                if size is not None and received > size + PIECE:  # a little more: then its length is told at the end
                    raise Invalid(f"cannot store blob {expected or ''}: it has more than {size} bytes")
                await pouring.add(data)
            await pouring.settle()
            return await in_thread(ingest.finish, expected, size), received
        finally:
            await pouring.stop()
            await in_thread(ingest.abandon)

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
        """Where the blob is, or would be. Raises Invalid for what is not a digest, or one that we do not keep."""
        digests.validate(digest)
        algorithm, _, encoded = digest.partition(":")
        if algorithm not in ALGORITHMS:
            raise Invalid(f"cannot store blob {digest}: only {' and '.join(ALGORITHMS)} digests are kept")
        return self._blobs / algorithm / encoded

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
        if hashlib.new(digest.partition(":")[0], data, usedforsecurity=False).hexdigest() != digests.encoded(digest):
            raise Internal(f"cannot read blob {digest}: its content is damaged on the disk")
        return data

    async def delete(self, *blobs: str) -> None:
        """Take blobs away; what is not there is fine. Raises Internal for the first that resists, after the others."""
        paths = [self.place(digest) for digest in blobs]

        def unlink() -> None:
            failure: OSError | None = None
            for path in paths:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    failure = failure or error
            if failure is not None:
                raise Internal(f"cannot remove {failure.filename}: {failure.strerror}")

        await asyncio.to_thread(unlink)

    async def list(self) -> tuple[str, ...]:
        """The digests of all blobs, sorted."""

        def names() -> list[str]:
            found = [f"{kind}:{name}" for kind in ALGORITHMS for name in os.listdir(self._blobs / kind)]
            return sorted(digest for digest in found if digests.is_digest(digest))

        return tuple(await asyncio.to_thread(names))

    async def strays(self) -> tuple[str, ...]:
        """What lies among the blobs and is none: paths below the root, sorted."""

        def look() -> list[str]:
            found = [f"blobs/{name}" for name in os.listdir(self._blobs) if name not in ALGORITHMS]
            for kind in ALGORITHMS:
                names = os.listdir(self._blobs / kind)
                found += [f"blobs/{kind}/{name}" for name in names if not digests.is_digest(f"{kind}:{name}")]
            return sorted(found)

        return tuple(await asyncio.to_thread(look))

    async def usage(self, blobs: Collection[str] | None = None) -> int:
        """Bytes on the disk that all blobs take, or only these, as du counts them."""
        wanted = None if blobs is None else frozenset(blobs)

        def count() -> int:
            total = 0
            for kind in ALGORITHMS:
                with os.scandir(self._blobs / kind) as entries:
                    for entry in entries:
                        if wanted is None or f"{kind}:{entry.name}" in wanted:
                            with contextlib.suppress(FileNotFoundError):  # it may go meanwhile
                                total += entry.stat().st_blocks * 512
            return total

        return await asyncio.to_thread(count)


async def open_ingest(begin: Callable[[], Ingest]) -> Ingest:
    """Begin in a thread. A caller that is cancelled meanwhile leaves it paused: else nobody could ever open it."""
    opening = asyncio.ensure_future(asyncio.to_thread(begin))
    try:
        return await to_the_end(opening)
    except asyncio.CancelledError:
        if not opening.cancelled() and opening.exception() is None:
            await in_thread(opening.result().pause)
        raise

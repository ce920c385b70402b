"""Blobs from a registry into the content store: each one fetched once, whoever wants it, and continued where it ended.

Who wants a blob that is on its way waits for the same transfer; when the last of them leaves, it is paused, and its
file, which has a name, is continued by the next one, also after a crash. What has not the digest and the length that
it was asked for never becomes a blob, and its file goes.
"""

import asyncio
import hashlib
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import Protocol

from boxship.content import Content, Ingest, Pouring, open_ingest
from boxship.errors import BoxshipError, Exhausted, Invalid, Unavailable
from boxship.images.remote.model import RemoteLimits
from boxship.images.remote.news import start
from boxship.images.remote.retrying import TRANSIENT, Retries, Sleep
from boxship.spec import digest as digests
from boxship.spec.image import Descriptor
from boxship.transport.client import Answer
from boxship.waiting import in_thread, to_the_end

PIECE = 256 * 1024  # bytes handed to the writing thread at once; more costs memory and brings nothing
JOINS = 3  # transfers of others that may fail before we try ourselves

Progress = Callable[[int], None]
log = logging.getLogger(__name__)


class Place(Protocol):
    """Somewhere that a blob can be read from; see `Repository.blob`."""

    def blob(self, digest: str, start: int = 0) -> AbstractAsyncContextManager[tuple[Answer, int]]: ...


class Source:
    """Where one blob may come from: mirrors and the registry in order, then the addresses that its manifest names."""

    def __init__(self, domain: str, places: Sequence[Place]) -> None:
        self.domain = domain
        self.places = list(places)


class Transfer:
    """One blob on its way, and who listens."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.listeners: list[Progress] = []
        self.leaving = False

    def tell(self, size: int) -> None:
        for listener in self.listeners:
            listener(size)


class Downloads:
    """All transfers of this daemon. It owns their tasks: each lives as long as somebody waits for it."""

    def __init__(
        self,
        content: Content,
        limits: RemoteLimits,
        keep: Callable[[str], Awaitable[None]],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._content = content
        self._keep = keep
        self._limits = limits
        self._sleep = sleep
        self._transfers: dict[tuple[str, str], Transfer] = {}
        self._slots = asyncio.Semaphore(limits.layers_overall)

    async def fetch(self, source: Source, wanted: Descriptor, progress: Progress) -> None:
        """Have the blob in the store; its digest is leased by the caller. `progress` hears the bytes that are there.
        Raises Invalid where it lies, and what the registry answers."""
        key = (source.domain, wanted.digest)
        joined = 0
        while not self._content.exists(wanted.digest):
            transfer = self._transfers.get(key)
            if transfer is not None and transfer.leaving:
                assert transfer.task is not None
                await asyncio.wait([transfer.task])
                continue
            begun = transfer is None
            if transfer is None:
                transfer = self._transfers[key] = Transfer()
                transfer.task = start(self._run(key, transfer, source, wanted))
            try:
                await self._join(transfer, progress)
                return
            except BoxshipError:
                joined += 1
                if begun or joined >= JOINS:
                    raise

    async def _join(self, transfer: Transfer, progress: Progress) -> None:
        task = transfer.task
        assert task is not None
        transfer.listeners.append(progress)
        try:
            await asyncio.shield(task)
        finally:
            transfer.listeners.remove(progress)
            if not transfer.listeners and not task.done():
                transfer.leaving = True
                task.cancel()
                await asyncio.wait([task])

    async def _run(self, key: tuple[str, str], transfer: Transfer, source: Source, wanted: Descriptor) -> None:
        try:
            async with self._slots:
                await self._download(transfer, source, wanted)
        finally:
            del self._transfers[key]

    async def _download(self, transfer: Transfer, source: Source, wanted: Descriptor) -> None:
        name = partial_name(source.domain, wanted.digest)
        for last in (False, True):
            ingest = await self._begin(name, wanted)
            continued = ingest.size > 0
            try:
                continued = await self._fill(ingest, transfer, source, wanted) > 1 or continued
                await to_the_end(self._finish(ingest, wanted))
                return
            except Exhausted:
                await in_thread(ingest.abandon)  # what filled the disk must not go on filling it
                raise
            except Invalid:
                await in_thread(ingest.abandon)
                if last or not continued:
                    raise
                log.warning("blob %s was damaged in what had come before: it is fetched again", wanted.digest)
            finally:
                await in_thread(ingest.pause)

    async def _finish(self, ingest: Ingest, wanted: Descriptor) -> None:
        await asyncio.to_thread(ingest.finish, wanted.digest, wanted.size)
        await self._keep(wanted.digest)

    async def _begin(self, name: str, wanted: Descriptor) -> Ingest:
        """The file to go on with; one that is longer than the blob can be is begun anew."""
        algorithm = wanted.digest.partition(":")[0]

        def begin() -> Ingest:
            free = shutil.disk_usage(self._content.root).free
            if wanted.size > free:
                raise Exhausted(f"cannot store blob {wanted.digest}: it has {wanted.size} bytes, {free} are free")
            ingest = self._content.begin(name, algorithm=algorithm)
            if ingest.size <= wanted.size:
                return ingest
            ingest.abandon()
            return self._content.begin(name, algorithm=algorithm)

        return await open_ingest(begin)

    async def _fill(self, ingest: Ingest, transfer: Transfer, source: Source, wanted: Descriptor) -> int:
        """Write until all is there; over how many connections that came."""
        retries = Retries(self._limits, self._sleep)
        used = 0
        transfer.tell(ingest.size)
        while ingest.size < wanted.size or not wanted.size:
            before = ingest.size
            used += 1
            try:
                async with _opened(source, wanted, before) as (answer, origin):
                    await self._pour(ingest, transfer, answer, origin, wanted)
                return used
            except TRANSIENT as error:
                await retries.failed(error, progress=ingest.size > before)
        return used

    async def _pour(self, ingest: Ingest, transfer: Transfer, answer: Answer, start: int, wanted: Descriptor) -> None:
        """The body into the file; hashing and writing go on in a thread while more is read."""
        skip = ingest.size - start
        if answer.length is not None and start + answer.length != wanted.size:
            raise Invalid(
                f"cannot read blob {wanted.digest}: the registry sends {start + answer.length} bytes, "
                f"its manifest says {wanted.size}"
            )
        received = start
        pouring = Pouring(ingest, PIECE)
        try:
            async with aclosing(answer.chunks()) as chunks:
                async for data in chunks:
                    received += len(data)
                    if received > wanted.size:
                        raise Invalid(f"cannot read blob {wanted.digest}: it has more than {wanted.size} bytes")
                    if skip:
                        data, skip = data[skip:], max(0, skip - len(data))
                    await pouring.add(data)
                    transfer.tell(received)
        finally:  # what has come is kept, also when the connection broke or we are cancelled
            await pouring.settle()
        transfer.tell(received)
        if received != wanted.size:
            raise Unavailable(f"cannot read blob {wanted.digest}: it ends after {received} of {wanted.size} bytes")

    async def close(self) -> None:
        """Pause everything; whoever still waits is told."""
        tasks = [transfer.task for transfer in self._transfers.values() if transfer.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def partial_name(domain: str, digest: str) -> str:
    """The name of a blob's unfinished file. One registry cannot spoil what comes from another."""
    origin = hashlib.sha256(domain.encode()).hexdigest()[:12]
    return f"pull-{origin}-{digests.encoded(digest)[:64]}"


@asynccontextmanager
async def _opened(source: Source, wanted: Descriptor, start: int) -> AsyncIterator[tuple[Answer, int]]:
    """The first place that has the blob. One that breaks off comes last at the next attempt."""
    async with AsyncExitStack() as stack:
        problem: BoxshipError | None = None
        for place in source.places:
            try:
                opened = await stack.enter_async_context(place.blob(wanted.digest, start))
            except BoxshipError as error:
                problem = error  # the registry's own answer comes last, and is the one to tell
                continue
            try:
                yield opened
            except TRANSIENT:
                source.places = [*(other for other in source.places if other is not place), place]
                raise
            return
        assert problem is not None, source.domain
        raise problem

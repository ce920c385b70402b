"""Uploads: blobs on their way in, over any number of requests, broken connections and restarts of the daemon.

An upload is a named ingest of the content room, nothing else: its name holds the upload's random part and a hash of its
repository, so there is no record that could disagree with the file. One request at a time writes to it.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from functools import partial

import msgspec

from boxship.content import Content, Ingest, Pouring, open_ingest
from boxship.errors import Conflict, Exhausted, Invalid, NotFound
from boxship.registry.model import Settings
from boxship.registry.names import KEPT
from boxship.registry.refusals import DigestInvalid, OutOfOrder, QuotaReached, SizeInvalid, UploadBusy, UploadUnknown
from boxship.waiting import in_thread

PREFIX = "registry-"
RANDOM_BYTES = 16
PIECE = 1024 * 1024  # bytes handed to the writing thread at once


class Upload(msgspec.Struct):
    """One upload. `size` is what was there when the last request ended, `ingest` what writes now."""

    id: str
    repository: str
    algorithm: str = KEPT[0]
    size: int = 0
    taken: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)
    ingest: Ingest | None = None

    @property
    def busy(self) -> bool:
        return self.taken.locked()


class Uploads:
    """All uploads of a registry. Belongs to the loop."""

    def __init__(self, content: Content, settings: Settings) -> None:
        self._content = content
        self._settings = settings
        self._known: dict[str, Upload] = {}  # by id
        self.bytes_received = 0

    def __len__(self) -> int:
        return len(self._known)

    async def recover(self) -> None:
        """Find the uploads that a former daemon left. They are known again when their clients come back."""
        for found in await asyncio.to_thread(self._content.partials):
            if found.name.startswith(PREFIX):
                identifier = found.name.removeprefix(PREFIX)
                self._known[identifier] = Upload(identifier, "", size=found.size)

    async def forget_old(self) -> None:
        """Forget uploads whose file the content room has taken away for its age."""
        there = {partial.name for partial in await asyncio.to_thread(self._content.partials)}
        for identifier, upload in list(self._known.items()):
            if not upload.busy and PREFIX + identifier not in there:
                del self._known[identifier]

    async def start(self, repository: str, algorithm: str = KEPT[0]) -> str:
        """Begin an upload; its id. Raises DigestInvalid, Exhausted."""
        if algorithm not in KEPT:
            raise DigestInvalid(f"cannot use digest-algorithm {algorithm[:64]}: only {' and '.join(KEPT)} are kept")
        if len(self._known) >= self._settings.upload_limit:
            raise Exhausted(f"cannot begin an upload: {self._settings.upload_limit} are under way")
        upload = Upload(secrets.token_hex(RANDOM_BYTES) + _mark(repository), repository, algorithm)
        self._known[upload.id] = upload
        try:
            await asyncio.to_thread(lambda: self._content.begin(PREFIX + upload.id, algorithm=algorithm).pause())
        except BaseException:
            del self._known[upload.id]
            raise
        return upload.id

    def size(self, repository: str, identifier: str) -> int:
        """Bytes that are there. Raises UploadUnknown."""
        upload = self._find(repository, identifier)
        return upload.ingest.size if upload.ingest is not None else upload.size

    async def append(
        self,
        repository: str,
        identifier: str,
        chunks: AsyncIterator[bytes],
        *,
        start: int | None = None,
        length: int | None = None,
        room: int | None = None,
    ) -> int:
        """Add what comes; the upload's size then. `start` is where the client believes to be, `length` how many bytes
        it says to send, `room` how many bytes the repository still takes. What has come is kept also where the
        connection breaks. Raises OutOfOrder, SizeInvalid, QuotaReached, UploadUnknown, UploadBusy, Canceled."""
        upload = await self._take(repository, identifier)
        try:
            if start is not None and start != upload.size:
                raise OutOfOrder(
                    f"cannot go on with upload {identifier} at {start}: it has {upload.size} bytes", upload.size
                )
            ingest = upload.ingest = await self._begin(upload)
            try:
                await self._pour(ingest, chunks, length, room)
            finally:
                upload.size, upload.ingest = ingest.size, None
                await in_thread(ingest.pause)
        finally:
            upload.taken.release()
        return upload.size

    async def finish(
        self,
        repository: str,
        identifier: str,
        digest: str,
        chunks: AsyncIterator[bytes],
        *,
        start: int | None = None,
        length: int | None = None,
        room: int | None = None,
    ) -> int:
        """Add the last bytes, if any come, and make the blob visible; its size. The upload ends, also where its digest
        is not `digest`; but it goes on where the connection broke. Raises DigestInvalid beside what `append` does."""
        await self.append(repository, identifier, chunks, start=start, length=length, room=room)
        upload = await self._take(repository, identifier)
        try:
            upload.algorithm = digest.partition(":")[0]
            ingest = await self._begin(upload)
            try:
                await in_thread(_settle, ingest, digest)
            finally:
                await in_thread(ingest.pause)
                self._known.pop(identifier, None)
        finally:
            upload.taken.release()
        return upload.size

    async def take_whole(
        self, digest: str, chunks: AsyncIterator[bytes], *, length: int | None = None, room: int | None = None
    ) -> int:
        """A blob in one request, without an upload; its size. Raises as `finish` does."""
        ingest = await open_ingest(partial(self._content.begin, algorithm=digest.partition(":")[0]))
        try:
            await self._pour(ingest, chunks, length, room)
            await in_thread(_settle, ingest, digest)
        finally:
            await in_thread(ingest.abandon)
        return ingest.size

    async def cancel(self, repository: str, identifier: str) -> None:
        """End an upload and drop its bytes. Raises UploadUnknown, UploadBusy."""
        upload = await self._take(repository, identifier)
        try:
            await self._content.drop_partial(PREFIX + identifier)
        except NotFound:
            pass  # the content room took it for its age
        finally:
            upload.taken.release()
        self._known.pop(identifier, None)

    def _find(self, repository: str, identifier: str) -> Upload:
        upload = self._known.get(identifier)
        if upload is None or not identifier.endswith(_mark(repository)):
            raise UploadUnknown(f"cannot find upload {identifier[:128]} in repository {repository}")
        return upload

    async def _take(self, repository: str, identifier: str) -> Upload:
        """The upload, for one request alone, which releases it. A client whose connection broke may be back before the
        end of its last request has come through: so a busy upload is waited for, a while."""
        upload = self._find(repository, identifier)
        try:
            async with asyncio.timeout(self._settings.busy_seconds):
                await upload.taken.acquire()
        except TimeoutError:
            raise UploadBusy(f"cannot write to upload {identifier}: another request does") from None
        if self._known.get(identifier) is not upload:
            upload.taken.release()
            raise UploadUnknown(f"cannot find upload {identifier[:128]} in repository {repository}")
        return upload

    async def _begin(self, upload: Upload) -> Ingest:
        try:
            ingest = await open_ingest(partial(self._content.begin, PREFIX + upload.id, algorithm=upload.algorithm))
        except Conflict:
            raise UploadBusy(f"cannot write to upload {upload.id}: another request does") from None
        if ingest.size < upload.size:  # taken for its age meanwhile
            await in_thread(ingest.abandon)
            self._known.pop(upload.id, None)
            raise UploadUnknown(f"cannot find upload {upload.id}: it is too old")
        return ingest

    async def _pour(self, ingest: Ingest, chunks: AsyncIterator[bytes], length: int | None, room: int | None) -> None:
        """Write what comes in a thread while more is read. What was read before an error is written."""
        received = 0
        before = ingest.size
        pouring = Pouring(ingest, PIECE)
        try:
            async for data in chunks:
                received += len(data)
                self._check_size(before, received, length, room)
                await pouring.add(data)
        except SizeInvalid:
            pouring.forget()  # which bytes belong there is not known
            raise
        finally:
            self.bytes_received += received
            await pouring.settle()
        if length is not None and received != length:
            raise SizeInvalid(f"cannot store the chunk: {received} bytes came instead of {length}")

    def _check_size(self, before: int, received: int, length: int | None, room: int | None) -> None:
        if length is not None and received > length:
            raise SizeInvalid(f"cannot store the chunk: more than {length} bytes came")
        if room is not None and received > room:
            raise QuotaReached("cannot store blob: the repository's quota is reached")
        if before + received > self._settings.blob_bytes:
            raise Exhausted(f"cannot store blob: it has more than {self._settings.blob_bytes} bytes")


def _mark(repository: str) -> str:
    """What the ids of a repository's uploads end with."""
    return hashlib.sha256(repository.encode()).hexdigest()[:16]


def _settle(ingest: Ingest, digest: str) -> None:
    try:
        ingest.finish(digest)
    except Invalid as error:
        raise DigestInvalid(str(error)) from None

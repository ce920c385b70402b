"""One blob to a repository: not at all where it is there, mounted where a neighbour has it, else sent, and continued
where the connection broke."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from boxship.errors import BoxshipError, Denied, Internal, Invalid, NotFound, Unavailable
from boxship.images.remote.client import Remote
from boxship.images.remote.repository import Repository
from boxship.images.remote.retrying import TRANSIENT, Retries

PIECE = 256 * 1024  # bytes read at once; more costs memory and brings nothing
MOUNTS = 3  # neighbours that are tried
WHOLE_BYTES = 4 * 1024 * 1024  # up to so many go in one request, which cannot be continued everywhere


class Upload:
    """`path` is the blob's file; `progress` hears the bytes sent."""

    def __init__(
        self, remote: Remote, repository: Repository, digest: str, path: Path, progress: Callable[[int], None]
    ) -> None:
        self._remote = remote
        self._repository = repository
        self._digest = digest
        self._path = path
        self._progress = progress

    async def run(self, neighbours: Sequence[str]) -> str:
        """Have it there: "here already", the neighbour that it was mounted from, or "" after sending it."""
        if await self._remote.retried(lambda: self._repository.has_blob(self._digest)):
            return HERE
        location = ""
        for neighbour in neighbours[:MOUNTS]:
            location = await self._mount(neighbour)
            if location == MOUNTED:
                return neighbour
            if location:
                break  # the registry has begun an upload instead
        await self._send(location)
        return ""

    async def _mount(self, neighbour: str) -> str:
        """MOUNTED, the address of an upload that was begun instead, or "" where that repository is not for us."""
        try:
            return await self._repository.mount(self._digest, neighbour) or MOUNTED
        except (NotFound, Denied, Invalid, *TRANSIENT):
            return ""

    async def _send(self, location: str) -> None:
        """A small blob in one request; of a larger one, which registries keep half of, only what is missing after a
        break, where the registry knows how much it has."""
        size = (await asyncio.to_thread(self._path.stat)).st_size
        retries = Retries(self._remote.settings.limits, self._remote.sleep)
        start = reached = 0
        broken = False
        while True:
            try:
                location = location or await self._repository.begin_upload()
                if not start and size <= WHOLE_BYTES:
                    await self._repository.upload_rest(location, self._digest, self._pieces(0), size)
                    return
                if start < size:
                    location = await self._repository.upload_part(location, self._pieces(start), start, size - start)
                    start = size
                await self._repository.upload_rest(location, self._digest, self._pieces(size), 0)
                return
            except TRANSIENT as error:
                if await self._remote.retried(lambda: self._repository.has_blob(self._digest)):
                    return  # only its answer was lost
                await retries.failed(error)  # the registry may need a moment to see that the connection is gone
                location, start = await self._state(location, size)
                if start > reached:
                    reached = start
                    retries.progressed()
                broken = True
            except (Invalid, NotFound) as error:  # the upload is forgotten, or not to be continued: from the beginning
                if isinstance(error, Invalid) and not broken:
                    raise
                await retries.failed(Unavailable(str(error)))
                location, start = "", 0

    async def _state(self, location: str, size: int) -> tuple[str, int]:
        """The upload's address and how far it has come; a new beginning where that cannot be told."""
        if not location:
            return "", 0
        try:
            location, start = await self._repository.upload_status(location)
        except BoxshipError:
            return "", 0
        return (location, start) if start <= size else ("", 0)

    def _pieces(self, start: int) -> Callable[[], AsyncIterator[bytes]]:
        async def pieces() -> AsyncIterator[bytes]:
            sent = start
            async for data in read_file(self._path, start):
                yield data
                sent += len(data)
                self._progress(sent)

        return pieces


HERE = "\0here"
MOUNTED = "\0mounted"


async def read_file(path: Path, start: int) -> AsyncIterator[bytes]:
    """The file from a place on, in pieces, read ahead in a thread. Raises Internal where the disk fails."""

    def open_file() -> io.FileIO:
        file = io.FileIO(path)
        file.seek(start)
        return file

    try:
        with await asyncio.to_thread(open_file) as file:
            reading = asyncio.ensure_future(asyncio.to_thread(file.read, PIECE))
            try:
                while data := await reading:
                    reading = asyncio.ensure_future(asyncio.to_thread(file.read, PIECE))
                    yield data
            finally:
                await asyncio.wait([reading])
    except OSError as error:
        raise Internal(f"cannot read blob {path.name}: {error.strerror}") from error

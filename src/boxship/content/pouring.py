"""Data on its way into an ingest: a thread hashes and writes one piece while the next one is read.

So at most two pieces are in memory. Who pours must `settle` or `stop` in any case before the ingest is ended.
"""

import asyncio

from boxship.content.ingest import Ingest
from boxship.waiting import settled, to_the_end

FEW = 16  # chunks of a piece that are written one by one rather than copied together


class Pouring:
    """Pours into one ingest, `piece` bytes or a little more at once."""

    def __init__(self, ingest: Ingest, piece: int) -> None:
        self._ingest = ingest
        self._piece = piece
        self._chunks: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Future[None] | None = None

    async def add(self, chunk: bytes) -> None:
        """Take a chunk; waits where the piece before is not written yet. Raises Exhausted on a full disk."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size >= self._piece:
            if self._writing is not None:
                await asyncio.shield(self._writing)
            self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, self._taken()))

    def forget(self) -> None:
        """Drop what no thread has taken yet."""
        self._taken()

    async def settle(self) -> None:
        """Write the rest, also for a caller that is cancelled meanwhile. Raises Exhausted, now or as before."""
        await to_the_end(self._finish())

    async def _finish(self) -> None:
        if self._writing is not None:
            await self._writing
        if self._chunks:
            await asyncio.to_thread(self._write, self._taken())

    async def stop(self) -> None:
        """Nothing more is written when this returns; what became of it is not told."""
        self.forget()
        if self._writing is not None:
            await settled(self._writing)

    def _taken(self) -> list[bytes]:
        chunks, self._chunks, self._size = self._chunks, [], 0
        return chunks

    def _write(self, chunks: list[bytes]) -> None:
        for chunk in [b"".join(chunks)] if len(chunks) > FEW else chunks:
            self._ingest.write(chunk)

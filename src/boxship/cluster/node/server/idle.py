"""Ends a client's connection on which nothing has gone either way for hours: clients that vanish without a word leave
such behind, and what they had begun."""

import asyncio
import time

from boxship.cluster.node.server.spdy import Link
from boxship.transport.exchange import WebSocket

IDLE_SECONDS = 4 * 3600.0  # as the original's streamingConnectionIdleTimeout


class Idle:
    """Told of everything that goes over one connection."""

    def __init__(self, seconds: float = IDLE_SECONDS) -> None:
        self._seconds = seconds
        self._touched = time.monotonic()

    def touch(self) -> None:
        self._touched = time.monotonic()

    async def expired(self) -> None:
        """Returns when nothing has gone over it for so long."""
        while (left := self._touched + self._seconds - time.monotonic()) > 0:
            await asyncio.sleep(left)


class WatchedLink:
    """Implements Link, and tells of what goes over it."""

    def __init__(self, link: Link, idle: Idle) -> None:
        self._link = link
        self._idle = idle

    async def read(self) -> bytes:
        data = await self._link.read()
        self._idle.touch()
        return data

    async def write(self, data: bytes) -> None:
        self._idle.touch()
        await self._link.write(data)

    async def close(self) -> None:
        await self._link.close()


class WatchedSocket:
    """Implements WebSocket, and tells of what goes over it."""

    def __init__(self, socket: WebSocket, idle: Idle) -> None:
        self._socket = socket
        self._idle = idle

    async def receive(self) -> bytes | None:
        message = await self._socket.receive()
        self._idle.touch()
        return message

    async def send(self, data: bytes) -> None:
        self._idle.touch()
        await self._socket.send(data)

    async def send_text(self, data: bytes) -> None:
        self._idle.touch()
        await self._socket.send_text(data)

    async def close(self) -> None:
        await self._socket.close()


async def until_idle(work: asyncio.Future[None], idle: Idle) -> None:
    """The work, cancelled where its connection has been silent for too long."""
    waiting = asyncio.ensure_future(idle.expired())
    try:
        await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        for task in (work, waiting):
            task.cancel()
        await asyncio.gather(work, waiting, return_exceptions=True)

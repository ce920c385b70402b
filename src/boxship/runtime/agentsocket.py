"""A unix socket inside a container whose connections are carried to somebody outside: an ssh agent of a client.

Bytes are moved as they are; nothing is read into them. A connection that its other side ends, ends here.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from boxship.errors import BoxshipError
from boxship.sys.sockets import listen_at

PIECE_BYTES = 1 << 16
CONNECTIONS = 32  # at a time

log = logging.getLogger(__name__)


class Stream(Protocol):
    """The other end of one connection; b"" is its end."""

    async def read(self, limit: int) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


class AgentSocket:
    """Serves one socket from `open` until `close`."""

    def __init__(self, path: Path, connect: Callable[[], Awaitable[Stream]]) -> None:
        self._path = path
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, *, uid: int, gid: int, mode: int) -> None:
        """Listen. Internal where that fails."""
        listener = listen_at(self._path)
        os.chown(self._path, uid, gid)
        self._path.chmod(mode)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=PIECE_BYTES)

    async def close(self) -> None:
        """End the socket and all its connections; safe to call twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if len(self._tasks) <= CONNECTIONS:
                await self._carry(reader, writer)
        except (BoxshipError, OSError) as error:  # the step's program sees that its connection ends
            log.debug("a connection to an agent ended: %s", error)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = await self._connect()

        async def inward() -> None:
            while data := await stream.read(PIECE_BYTES):
                writer.write(data)
                await writer.drain()

        async def outward() -> None:
            while data := await reader.read(PIECE_BYTES):
                await stream.write(data)

        moving = {asyncio.ensure_future(inward()), asyncio.ensure_future(outward())}
        try:
            await asyncio.wait(moving, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in moving:
                task.cancel()
            await asyncio.gather(*moving, return_exceptions=True)
            await stream.close()

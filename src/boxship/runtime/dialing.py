"""TCP connections to what runs in a pod, as its containers see it: made in a thread inside its network namespace."""

import asyncio
from collections.abc import AsyncIterator

from boxship.sys.inside import connect_inside

CONNECT_SECONDS = 10.0
CHUNK_BYTES = 1 << 16


class Connection:
    """Both directions of one connection. `output` ends where the other side ends it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def output(self) -> AsyncIterator[bytes]:
        try:
            while chunk := await self._reader.read(CHUNK_BYTES):
                yield chunk
        except ConnectionError:
            return

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError where the other side is gone."""
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        """Nothing more will be sent; what comes goes on."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def close(self) -> None:
        self._writer.close()


async def dial(namespace: str, port: int) -> Connection:
    """Connect to a port of the loopback inside a network namespace ("": the machine's). Raises Unavailable."""
    connecting = asyncio.ensure_future(asyncio.to_thread(connect_inside, namespace, port, CONNECT_SECONDS))
    try:
        connection = await asyncio.shield(connecting)
    except asyncio.CancelledError:
        connecting.add_done_callback(
            lambda done: None if done.cancelled() or done.exception() else done.result().close()
        )
        raise
    try:
        reader, writer = await asyncio.open_connection(sock=connection)
    except BaseException:
        connection.close()
        raise
    return Connection(reader, writer)

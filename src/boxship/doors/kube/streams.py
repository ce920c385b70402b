"""Watches on the wire: JSON lines in a chunked answer, or one message each on a WebSocket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from boxship.doors.kube.metrics import Key, Metrics
from boxship.errors import Canceled
from boxship.transport.exchange import Request, WebSocket, close_stream

STALL_SECONDS = 30.0  # a watcher that takes nothing for so long is cut off


class Watching:
    """The events of one open watch, counted among the open ones until it is closed. Closing it closes the API's watch
    also where nobody ever asked for an event."""

    def __init__(self, events: AsyncIterator[bytes], metrics: Metrics, key: Key) -> None:
        self._events = events
        self._metrics = metrics
        self._key = key
        self._open = True
        metrics.opened(key, 1)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._events)

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            self._metrics.opened(self._key, -1)
            await close_stream(self._events)


async def send_messages(request: Request, events: AsyncIterator[bytes]) -> None:
    """A watch as WebSocket messages, one for each event, until the watch ends or the client goes."""
    try:
        socket = await request.websocket()
        try:
            async with asyncio.TaskGroup() as tasks:
                both = [tasks.create_task(_send(socket, events)), tasks.create_task(_leave(socket))]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                for task in both:
                    task.cancel()
        finally:
            await socket.close()
    finally:
        await close_stream(events)


async def _send(socket: WebSocket, events: AsyncIterator[bytes]) -> None:
    with contextlib.suppress(Canceled, TimeoutError):
        async for lines in events:
            for line in lines.splitlines():
                async with asyncio.timeout(STALL_SECONDS):
                    await socket.send_text(line)


async def _leave(socket: WebSocket) -> None:
    """Until the client closes; what it sends says nothing."""
    while await socket.receive() is not None:
        continue

"""Watches on the wire: JSON lines in a chunked answer, or one message each on a WebSocket; and logs on a WebSocket."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from boxship.doors.kube.metrics import Key, Metrics
from boxship.errors import Canceled
from boxship.transport.exchange import Request, WebSocket, close_stream

STALL_SECONDS = 30.0  # a watcher that takes nothing for so long is cut off
BINARY, BASE64 = "binary.k8s.io", "base64.binary.k8s.io"  # what a reader of a log may ask for


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
        await _carry(socket, _send(socket, events))
    finally:
        await close_stream(events)


def log_protocol(offered: str) -> str | None:
    """The protocol for a log of those in a Sec-WebSocket-Protocol field; "" where none is asked for, None where none is
    known."""
    words = [word.strip() for word in offered.split(",") if word.strip()]
    if not words:
        return ""
    return next((word for word in words if word in (BINARY, BASE64)), None)


async def send_log(request: Request, protocol: str, pieces: AsyncIterator[bytes], stall_seconds: float) -> None:
    """A log as WebSocket messages of any length, the first of them empty, until it ends or the client goes."""
    try:
        socket = await request.websocket({"Sec-WebSocket-Protocol": protocol} if protocol else {})
        await _carry(socket, _send_pieces(socket, protocol, pieces, stall_seconds))
    finally:
        await close_stream(pieces)


async def _carry(socket: WebSocket, sending: Coroutine[Any, Any, None]) -> None:
    """Until all is sent or the client closes."""
    try:
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(sending), tasks.create_task(_leave(socket))]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                task.cancel()
    finally:
        await socket.close()


async def _send_pieces(socket: WebSocket, protocol: str, pieces: AsyncIterator[bytes], stall_seconds: float) -> None:
    async def send(data: bytes) -> None:
        async with asyncio.timeout(stall_seconds):
            await (socket.send_text(base64.b64encode(data)) if protocol == BASE64 else socket.send(data))

    with contextlib.suppress(Canceled, TimeoutError):
        await send(b"")  # it is open
        async for piece in pieces:
            await send(piece)


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

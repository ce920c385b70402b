"""The in-memory twin of the server: calls a handler with a Request and reads its Reply, with no socket and no HTTP.

For tests. It behaves as `transport.server` does where a handler can tell: streams are closed when the client leaves,
a taken-over connection carries bytes both ways with half-close, bodies come in chunks.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

from boxship.errors import Canceled, Invalid
from boxship.transport.exchange import (
    KIBIBYTE,
    FileBody,
    Handler,
    RawStream,
    Reply,
    Request,
    WebSocket,
    client_gone,
    close_stream,
)

PIPE_BYTES = 64 * KIBIBYTE


class Headers(dict[str, str]):
    """Header fields that compare without case."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in fields.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class Pipe:
    """Bytes one way, at most PIPE_BYTES of them held."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._ended = False
        self._changed = asyncio.Condition()

    async def write(self, data: bytes) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or len(self._data) < PIPE_BYTES)
            if self._ended:
                raise client_gone()
            self._data += data
            self._changed.notify_all()

    async def end(self) -> None:
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def read(self, limit: int = PIPE_BYTES) -> bytes:
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or self._data)
            data = bytes(self._data[:limit])
            del self._data[:limit]
            self._changed.notify_all()
            return data

    async def read_all(self) -> bytes:
        parts = []
        while part := await self.read():
            parts.append(part)
        return b"".join(parts)


class MemoryStream:
    """RawStream, and the client's end of it with `incoming` and `outgoing` swapped."""

    def __init__(self, incoming: Pipe, outgoing: Pipe, gone: asyncio.Event) -> None:
        self.gone = gone
        self._incoming = incoming
        self._outgoing = outgoing
        self._endings: list[asyncio.Task[None]] = []

    async def read(self, limit: int = PIPE_BYTES) -> bytes:
        return await self._incoming.read(limit)

    async def read_all(self) -> bytes:
        return await self._incoming.read_all()

    async def write(self, data: bytes) -> None:
        if self.gone.is_set():
            raise client_gone()
        await self._outgoing.write(data)

    def write_eof(self) -> None:
        self._endings.append(asyncio.ensure_future(self._outgoing.end()))

    async def close(self) -> None:
        await self._outgoing.end()
        await self._incoming.end()


class Answer:
    """What came back: a whole or streamed reply, or a connection taken over (then `raw` is the client's end)."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes | FileBody | AsyncIterator[bytes]) -> None:
        self.status = status
        self.headers = Headers(headers)
        self.body = body
        self.raw: MemoryStream | None = None

    async def read(self) -> bytes:
        """The rest of the body."""
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, FileBody):
            return os.pread(self.body.file.fileno(), self.body.size, self.body.offset)
        return b"".join([piece async for piece in self.body])


class MemoryCarrier:
    """Carrier of a request made in memory."""

    body_stall_seconds = 5.0
    local = True
    peer = ""
    secure = False

    def __init__(
        self, body: bytes | AsyncIterator[bytes], headers: Mapping[str, str], certificate: bytes | None = None
    ) -> None:
        self.gone = asyncio.Event()
        self.certificate = certificate
        self._body = body
        self._headers = headers
        self.taken: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    async def body(self) -> AsyncIterator[bytes]:
        if isinstance(self._body, bytes):
            if self._body:
                yield self._body
            return
        async for chunk in self._body:
            yield chunk

    async def hijack(self, status: int, reason: str, headers: Mapping[str, str]) -> RawStream:
        forth, back = Pipe(), Pipe()
        answer = Answer(status, headers, b"")
        answer.raw = MemoryStream(back, forth, asyncio.Event())
        self.taken.set_result(answer)
        return MemoryStream(forth, back, self.gone)

    async def websocket(self, headers: Mapping[str, str]) -> WebSocket:
        if self._headers.get("Upgrade", "").lower() != "websocket":
            raise Invalid("cannot open WebSocket: the client did not ask for one")
        return _Messages(await self.hijack(101, "Switching Protocols", headers))


class _Messages:
    """WebSocket whose messages are the pieces of a MemoryStream."""

    def __init__(self, stream: RawStream) -> None:
        self._stream = stream

    async def receive(self) -> bytes | None:
        return await self._stream.read() or None

    async def send(self, data: bytes) -> None:
        await self._stream.write(data)

    async def send_text(self, data: bytes) -> None:
        await self._stream.write(data)

    async def close(self) -> None:
        await self._stream.close()


class Client:
    """Speaks to a handler. Use `async with`: at its end all that still runs is ended, as by a vanished client."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._open: list[tuple[MemoryCarrier, asyncio.Task[Reply | None], Answer | None]] = []

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        for carrier, task, answer in self._open:
            carrier.gone.set()
            if answer is not None and answer.raw is not None:
                await answer.raw.close()
            if answer is not None and not isinstance(answer.body, bytes | FileBody):
                await close_stream(answer.body)
            with contextlib.suppress(asyncio.CancelledError, Canceled):
                if not task.done():
                    await asyncio.wait_for(task, 5.0)

    async def call(
        self,
        method: str,
        target: str,
        body: bytes | AsyncIterator[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        certificate: bytes | None = None,
    ) -> Answer:
        """The answer as soon as its head is there. What the handler raises is raised here. `certificate` is the
        client's (DER), as if TLS had checked it."""
        fields = Headers(headers or {})
        carrier = MemoryCarrier(body, fields, certificate)
        task = asyncio.ensure_future(self._handler(Request(method, target, fields, carrier)))
        await asyncio.wait((task, carrier.taken), return_when=asyncio.FIRST_COMPLETED)
        if carrier.taken.done():
            answer = carrier.taken.result()
        else:
            reply = task.result()
            assert reply is not None, "the handler returned None without taking the connection over"
            answer = Answer(reply.status, reply.headers, reply.body)
        self._open.append((carrier, task, answer))
        return answer

"""One HTTP request and its reply, as doors see them. No socket, no loop and no HTTP library shows through.

A handler takes a Request and returns a Reply; or it takes the connection over (`hijack`, `websocket`) and returns None.
Two things carry a request: a socket (`transport.server`) and memory (`transport.memory`); both implement Carrier.
"""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

import msgspec

from boxship.errors import Canceled, Invalid, Timeout

KIBIBYTE = 1024


class BodyTooLarge(Invalid):
    """A request's body has more bytes than its handler takes."""


class Limits(msgspec.Struct, frozen=True):
    """What one server lets its clients use."""

    head_bytes: int = 256 * KIBIBYTE  # one header field, and the request line
    header_fields: int = 128
    connections: int = 8192  # open at once, idle ones included
    idle_seconds: float = 3600.0  # a connection without a request
    first_seconds: float | None = None  # a new connection until its first request is whole, but for the body
    body_stall_seconds: float = 60.0  # a small (JSON) body has to be whole by then
    send_stall_seconds: float = 120.0  # a client that takes nothing of a file for so long is cut off
    discard_seconds: float = 2.0  # an unread body is thrown away for so long before the connection is closed
    stop_seconds: float = 5.0  # requests may take so long to end when the server stops
    inflates: bool = True  # bodies that come compressed (Content-Encoding) are handed on as they were before
    held_bytes: int = 256 * KIBIBYTE  # read from a raw connection ahead of its reader


class RawStream(Protocol):
    """A connection that a handler took over. Bytes both ways, each way closed on its own."""

    gone: asyncio.Event  # the client is away: nothing that is written arrives any more

    async def read(self, limit: int = 64 * KIBIBYTE) -> bytes:
        """What the client sent, at most `limit` bytes; b"" when it will send nothing more."""

    async def write(self, data: bytes) -> None:
        """Send, and wait while the client is slower than we are. Raises Canceled when it is gone."""

    def write_eof(self) -> None:
        """Send nothing more; reading goes on."""

    async def close(self) -> None:
        """Send what is left and end both ways. May be called twice."""


class WebSocket(Protocol):
    """A WebSocket of whole messages."""

    async def receive(self) -> bytes | None:
        """The next message's bytes (text as UTF-8), or None when the client closed."""

    async def send(self, data: bytes) -> None:
        """One binary message. Raises Canceled when the client is gone."""

    async def send_text(self, data: bytes) -> None:
        """One text message, of UTF-8. Raises Canceled when the client is gone."""

    async def close(self) -> None:
        """Say goodbye and end the connection. May be called twice."""


class Carrier(Protocol):
    """What brought a request and can carry more than a reply."""

    gone: asyncio.Event
    body_stall_seconds: float
    local: bool  # a unix socket: the client is on this machine, and root's equal
    peer: str  # the client's address, "" where it has none
    secure: bool  # over TLS
    certificate: bytes | None  # the client's, in DER, which the listener's authorities have signed

    def body(self) -> AsyncIterator[bytes]: ...

    async def hijack(self, status: int, reason: str, headers: Mapping[str, str]) -> RawStream: ...

    async def websocket(self, headers: Mapping[str, str]) -> WebSocket: ...


class Request:
    """One request. `path` is decoded and without the query, `target` is as the client sent it; header names compare
    without case."""

    __slots__ = ("_carrier", "_query", "headers", "method", "path", "target")

    def __init__(self, method: str, target: str, headers: Mapping[str, str], carrier: Carrier) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        path = target.partition("?")[0]
        self.path = unquote(path) if "%" in path else path
        self._query: dict[str, list[str]] | None = None
        self._carrier = carrier

    @property
    def query(self) -> dict[str, list[str]]:
        """All values of each query parameter, in order; `?a` and `?a=` are both [""]."""
        if self._query is None:
            text = self.target.partition("?")[2].partition("#")[0]
            try:
                self._query = parse_qs(text, keep_blank_values=True, max_num_fields=1000) if text else {}
            except ValueError as error:
                raise Invalid(f"cannot read query: {error}") from None
        return self._query

    @property
    def shown(self) -> str:
        """What logs may tell: the path as it was sent, without the query, in which build arguments and passwords
        come."""
        return self.target.partition("?")[0]

    @property
    def client_gone(self) -> asyncio.Event:
        """Set when the client closed its side; a handler that waits long may watch it."""
        return self._carrier.gone

    @property
    def local(self) -> bool:
        """Whether the client is on this machine and may do what root may: it came over a unix socket."""
        return self._carrier.local

    @property
    def peer(self) -> str:
        """The client's address; "" on a unix socket."""
        return self._carrier.peer

    @property
    def secure(self) -> bool:
        """Whether the client came over TLS."""
        return self._carrier.secure

    @property
    def certificate(self) -> bytes | None:
        """The certificate (DER) that the client has shown, signed by an authority of the listener's; None without."""
        return self._carrier.certificate

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Canceled where it breaks off."""
        return self._carrier.body()

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises BodyTooLarge above `limit` bytes, Timeout where it dribbles."""
        length = self.headers.get("Content-Length", "0")
        if length.isdecimal() and int(length) > limit:
            raise BodyTooLarge(f"cannot read request body: larger than {limit} bytes")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._carrier.body_stall_seconds):
                async for chunk in self._carrier.body():
                    size += len(chunk)
                    if size > limit:
                        raise BodyTooLarge(f"cannot read request body: larger than {limit} bytes")
                    parts.append(chunk)
        except TimeoutError:
            raise Timeout(f"cannot read request body: not whole after {self._carrier.body_stall_seconds} s") from None
        return b"".join(parts)

    async def hijack(self, status: int, reason: str, headers: Mapping[str, str]) -> RawStream:
        """Answer with this head, now, and take the connection over. Return None from the handler afterwards."""
        return await self._carrier.hijack(status, reason, headers)

    async def websocket(self, headers: Mapping[str, str] | None = None) -> WebSocket:
        """Answer the WebSocket handshake. Raises Invalid when the client did not ask for it."""
        return await self._carrier.websocket(headers or {})


class FileBody(msgspec.Struct, frozen=True):
    """A part of an open file as a body, sent without a copy in our memory. Sizes in bytes. The file may serve several
    replies at once; it is read at places, never closed."""

    file: io.FileIO
    offset: int
    size: int


class Reply(msgspec.Struct, frozen=True):
    """An answer. A body that is an iterator is sent in chunks as it comes, its head at once; the iterator is closed,
    and with it all it holds, when it ends, when the client goes and when the server stops. With `stall_seconds`, a
    client that takes nothing of it for so long is cut off; without, it may wait for ever. `more` are further fields,
    for names that come several times."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes | FileBody | AsyncIterator[bytes] = b""
    stall_seconds: float | None = None
    more: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Awaitable[Reply | None]]


async def close_stream(body: AsyncIterator[Any]) -> None:
    """Close a body that will not be read (further), where it is a generator."""
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()


def client_gone(why: str = "the client closed the connection") -> Canceled:
    """The error of every read from and write to a client that is away."""
    return Canceled(f"cannot go on: {why}")


class Lent:
    """The pieces of a body that is passed on, with what has to stay open for them: closed after the last piece, or when
    the reader goes."""

    def __init__(self, pieces: AsyncIterator[bytes], connection: contextlib.AsyncExitStack) -> None:
        self._pieces = pieces
        self._connection = connection

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        await self._connection.aclose()

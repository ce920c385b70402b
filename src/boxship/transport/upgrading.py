"""A connection to another server that becomes something else than HTTP: the request, the head of the answer, then raw
bytes both ways. And the joining of two such connections.

Nothing here knows what the bytes are. What one side is too slow to take is not read from the other.
"""

import asyncio
import contextlib
import os
import ssl
from collections.abc import Sequence

import msgspec

from boxship.errors import BoxshipError, Canceled, Invalid, Timeout, Unavailable
from boxship.transport.client import Trust, WrongCertificate, make_context
from boxship.transport.exchange import KIBIBYTE, RawStream
from boxship.transport.raw import SocketStream, notice_loss

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
HEAD_BYTES = 64 * KIBIBYTE
HELD_BYTES = 256 * KIBIBYTE
CONTEXTS = 64
Fields = Sequence[tuple[str, str]]


class Upgraded(msgspec.Struct, frozen=True):
    """The head of the answer and the connection behind it; what came with the head comes first."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    stream: RawStream

    def field(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


class Dialer:
    """Opens such connections. Keeps TLS settings ready, nothing else."""

    def __init__(self) -> None:
        self._contexts: dict[Trust, ssl.SSLContext] = {}

    async def upgrade(
        self, host: str, port: int, method: str, target: str, headers: Fields, trust: Trust | None = None
    ) -> Upgraded:
        """Without `trust` without TLS. Raises Unavailable, Timeout, Invalid; whatever the answer is, its connection has
        to be closed."""
        stream = await self.connect(host, port, trust)
        try:
            lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
            await stream.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
            async with asyncio.timeout(ANSWER_SECONDS):
                return await _read_head(stream)
        except TimeoutError:
            await stream.close()
            raise Timeout(f"no answer from {host}:{port} after {ANSWER_SECONDS:g} s") from None
        except Canceled:
            await stream.close()
            raise Unavailable(f"{host}:{port} ended the connection") from None
        except BaseException:
            await stream.close()
            raise

    async def connect(self, host: str, port: int, trust: Trust | None = None) -> RawStream:
        """A connection, over TLS with `trust`."""
        context = await self._context(trust) if trust is not None else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                transport, _ = await loop.create_connection(
                    _Early,
                    host,
                    port,
                    ssl=context,
                    server_hostname=(trust.server_name or host) if trust is not None and context else None,
                )
        except TimeoutError:
            raise Timeout(f"dial tcp {host}:{port}: i/o timeout") from None
        except OSError as error:
            raise _failure(f"{host}:{port}", error) from error
        notice_loss(transport)
        early = transport.get_protocol()
        assert isinstance(early, _Early)
        stream = SocketStream(transport, HELD_BYTES, _ignore)
        stream.take_over(b"".join(early.pieces))
        return stream

    async def _context(self, trust: Trust) -> ssl.SSLContext:
        known = self._contexts.get(trust)
        if known is None:
            known = await asyncio.to_thread(make_context, trust)
            if len(self._contexts) >= CONTEXTS:
                self._contexts.clear()
            self._contexts[trust] = known
        return known


class _Early(asyncio.Protocol):
    """Keeps what comes before somebody reads."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.pieces.append(bytes(data))


def _ignore(_: BaseException | None) -> None:
    return None


async def _read_head(stream: SocketStream | RawStream) -> Upgraded:
    held = b""
    while b"\r\n\r\n" not in held:
        piece = await stream.read()
        if not piece:
            raise Unavailable("unexpected EOF")
        held += piece
        if len(held) > HEAD_BYTES:
            raise Invalid(f"the head of an answer has more than {HEAD_BYTES} bytes")
    head, _, rest = held.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    code, _, reason = status.partition(" ")
    if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit() and len(code) == 3):
        raise Invalid(f"this is no answer of a web server: {first[:100]!r}")
    fields = []
    for line in lines:
        name, _, value = line.partition(":")
        fields.append((name.strip(), value.strip()))
    if int(code) == 100:
        return await _read_head(_Put(stream, rest))
    return Upgraded(int(code), reason, tuple(fields), _Put(stream, rest) if rest else stream)


class _Put:
    """A stream with bytes put back before it."""

    def __init__(self, stream: RawStream, early: bytes) -> None:
        self.gone = stream.gone
        self._stream = stream
        self._early = early

    async def read(self, limit: int = 64 * KIBIBYTE) -> bytes:
        if self._early:
            piece, self._early = self._early[:limit], self._early[limit:]
            return piece
        return await self._stream.read(limit)

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)

    def write_eof(self) -> None:
        self._stream.write_eof()

    async def close(self) -> None:
        await self._stream.close()


async def read_body(answer: Upgraded, limit: int) -> bytes:
    """The body of an answer that is no upgrade, as far as `limit` and its length go. Never raises for a broken one."""
    text = answer.field("content-length")
    length = int(text) if text.isascii() and text.isdigit() else None
    chunked = "chunked" in answer.field("transfer-encoding").lower()
    held = b""
    with contextlib.suppress(BoxshipError, TimeoutError):
        async with asyncio.timeout(CONNECT_SECONDS):
            while len(held) < limit and (length is None or len(held) < length):
                piece = await answer.stream.read()
                held += piece
                if not piece or (chunked and held.endswith(b"0\r\n\r\n")):
                    break
    return (_unchunked(held) if chunked else held[:length])[:limit]


def _unchunked(data: bytes) -> bytes:
    parts = []
    while data:
        size, _, data = data.partition(b"\r\n")
        try:
            length = int(size.partition(b";")[0], 16)
        except ValueError:
            break
        if length <= 0:
            break
        parts.append(data[:length])
        data = data[length + 2 :]
    return b"".join(parts)


async def relay(client: RawStream, server: RawStream) -> None:
    """Carry bytes both ways until the server has said all, or one of both is away; then close both."""

    async def forth() -> None:
        while piece := await client.read():
            await server.write(piece)
        server.write_eof()
        if not client.gone.is_set() and not server.gone.is_set():
            await asyncio.wait([gone, lost], return_when=asyncio.FIRST_COMPLETED)

    async def back() -> None:
        while piece := await server.read():
            await client.write(piece)

    gone, lost = asyncio.ensure_future(client.gone.wait()), asyncio.ensure_future(server.gone.wait())
    tasks = [asyncio.ensure_future(forth()), asyncio.ensure_future(back())]
    try:
        await asyncio.wait([*tasks, gone], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (*tasks, gone, lost):
            task.cancel()
        await asyncio.gather(*tasks, gone, lost, return_exceptions=True)
        await asyncio.gather(client.close(), server.close(), return_exceptions=True)


def _failure(place: str, error: OSError) -> BoxshipError:
    """Why nobody is reached, in words that users of the original know."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return WrongCertificate(f"tls: failed to verify certificate: x509: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return Unavailable(f"tls: {error.reason or error}")
    if isinstance(error, ConnectionResetError):
        return Unavailable(f"read tcp {place}: connection reset by peer")
    why = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else "no such host"
    return Unavailable(f"dial tcp {place}: connect: {why}")

"""The HTTP server: listeners, requests, replies, streams and connections taken over, on aiohttp's low-level server.

A handler's ordinary reply is finished even when its client has gone. A stream is not: its handler is cancelled and its
body closed as soon as the client goes, and when the server stops.
It must never run a handler twice, nor hold more than bounded bytes for a slow client.
"""

import asyncio
import contextlib
import logging
import os
import socket
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import ClientPayloadError, WSMsgType, web

from boxship.errors import BoxshipError, Canceled, Invalid
from boxship.transport.connection import Connection
from boxship.transport.exchange import (
    FileBody,
    Handler,
    Limits,
    RawStream,
    Reply,
    Request,
    WebSocket,
    client_gone,
    close_stream,
)
from boxship.transport.listen import (
    BACKLOG,
    Address,
    PlainAddress,
    TlsAddress,
    UnixAddress,
    open_plain,
    open_tls,
    open_unix,
)
from boxship.transport.raw import SocketStream, notice_loss
from boxship.transport.sending import FileSender, drained
from boxship.transport.tls import TlsConnection, TlsTransport

log = logging.getLogger("boxship.transport")
WEBSOCKET_MESSAGE_BYTES = 1 << 20


class Server:
    """Serves one handler on any number of addresses."""

    def __init__(self, handler: Handler, limits: Limits | None = None) -> None:
        self._handler = handler
        self._limits = limits or Limits()
        self._runner: web.ServerRunner | None = None
        self._carriers: weakref.WeakSet[SocketCarrier] = weakref.WeakSet()
        self._paths: list[tuple[Path, int]] = []
        self._tls: list[asyncio.Server] = []
        self._stopping = False
        self._sender = FileSender(self._limits.send_stall_seconds)

    async def start(self, addresses: Sequence[Address]) -> None:
        """Listen on all addresses or, with an error, on none."""
        self._runner = web.ServerRunner(
            _ConnectionFactory(self._serve, self._limits), shutdown_timeout=self._limits.stop_seconds
        )
        await self._runner.setup()
        try:
            for address in addresses:
                if isinstance(address, UnixAddress):
                    opened = open_unix(address)
                    self._paths.append((address.path, os.stat(address.path).st_ino))
                    await web.SockSite(self._runner, opened, backlog=BACKLOG).start()
                elif isinstance(address, PlainAddress):
                    await web.SockSite(self._runner, open_plain(address), backlog=BACKLOG).start()
                else:
                    self._tls.append(await self._listen_tls(address, self._runner))
        except BaseException:
            await self.stop()
            raise

    async def _listen_tls(self, address: TlsAddress, runner: web.ServerRunner) -> asyncio.Server:
        inner = runner.server
        assert inner is not None
        return await asyncio.get_running_loop().create_server(
            lambda: TlsConnection(address.now(), inner, address.source), sock=open_tls(address), backlog=BACKLOG
        )

    @property
    def addresses(self) -> list[Any]:
        """What getsockname(2) says of each listening socket."""
        own = self._runner.addresses if self._runner is not None else []
        return [*own, *(opened.getsockname() for server in self._tls for opened in server.sockets)]

    async def stop(self) -> None:
        """Listen no more, end streams at once, let other requests end for `stop_seconds`, then cancel them."""
        self._stopping = True
        for path, inode in self._paths:
            with contextlib.suppress(OSError):
                if os.stat(path).st_ino == inode:
                    path.unlink()
        self._paths.clear()
        for server in self._tls:
            server.close()
        self._tls.clear()
        for carrier in list(self._carriers):
            carrier.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._sender.close()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        carrier = SocketCarrier(request, self._limits)
        self._carriers.add(carrier)
        taken = Request(request.method, request.raw_path, request.headers, carrier)
        try:
            reply = await self._handler(taken)
            if reply is None:
                return _Taken()
            if isinstance(reply.body, bytes):
                return _whole(reply)
            if isinstance(reply.body, FileBody):
                return await carrier.send_file(request, reply, reply.body, self._sender)
            return await carrier.send_stream(request, reply, reply.body)
        except asyncio.CancelledError:
            if not carrier.gone.is_set() and not self._stopping:
                raise
            carrier.abort(request)  # the client has gone; whoever waited for it was cancelled for that
            return _Taken()
        except Canceled:
            carrier.abort(request)
            return _Taken()
        except BoxshipError as error:  # doors answer these themselves, unless a stream is under way
            log.warning("%s %s broke off: %s", request.method, taken.shown, error)
            carrier.abort(request)
            return _Taken()
        except Exception:
            log.exception("handler of %s %s failed", request.method, taken.shown)
            if carrier.begun:
                carrier.abort(request)
                return _Taken()
            return web.Response(status=500, text='{"message":"internal error"}\n', content_type="application/json")
        finally:
            self._carriers.discard(carrier)


class SocketCarrier:
    """Carrier of a request that came over a socket."""

    def __init__(self, request: web.BaseRequest, limits: Limits) -> None:
        self.body_stall_seconds = limits.body_stall_seconds
        self._request = request
        self._connection = _connection_of(request)
        self.gone = self._connection.gone
        plain = request.transport.get_extra_info("socket") if request.transport is not None else None
        self.local = plain is not None and plain.family == socket.AF_UNIX
        self.secure = isinstance(request.transport, TlsTransport)
        name = request.transport.get_extra_info("peername") if request.transport is not None else None
        self.peer = str(name[0]) if isinstance(name, tuple) else ""
        self.certificate = request.transport.certificate if isinstance(request.transport, TlsTransport) else None
        self._limits = limits
        self._stream: asyncio.Task[Any] | None = None
        self.begun = False

    async def body(self) -> AsyncIterator[bytes]:
        if self._request.headers.get("Expect", "").lower() == "100-continue" and not self.begun:
            transport = self._request.transport
            if transport is not None:
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async for chunk in self._request.content.iter_any():
                yield chunk
        except (ClientPayloadError, ConnectionError) as error:
            rest = self._request.content._read_nowait(-1)  # what came before it broke off counts
            if rest:
                yield rest
            if isinstance(error, ClientPayloadError) and self._is_open():
                raise Invalid(f"cannot read request body: {error}") from None
            raise Canceled(f"cannot read request body: {error}") from None
        except web.PayloadAccessError:
            raise client_gone() from None

    def _is_open(self) -> bool:
        """Whether a reply can still arrive."""
        return self._request.transport is not None and not self._request.transport.is_closing()

    async def hijack(self, status: int, reason: str, headers: Mapping[str, str]) -> RawStream:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise client_gone()
        self.begun = True
        notice_loss(transport)
        connection = self._connection
        stream = SocketStream(transport, self._limits.held_bytes, connection.connection_lost)
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
        stream.take_over(connection.release_raw())
        self.gone = stream.gone
        self._stream = asyncio.current_task()
        return stream

    async def websocket(self, headers: Mapping[str, str]) -> WebSocket:
        chosen = tuple(value for name, value in headers.items() if name == "Sec-WebSocket-Protocol")
        response = web.WebSocketResponse(
            max_msg_size=WEBSOCKET_MESSAGE_BYTES, compress=False, autoclose=True, protocols=chosen
        )
        response.headers.update({name: value for name, value in headers.items() if value not in chosen})
        notice_loss(self._request.transport)
        try:
            self._connection.release_parsed()
            await response.prepare(self._request)
        except web.HTTPException as error:
            raise Invalid(f"cannot open WebSocket: {error.text}") from None
        except ConnectionError:
            raise client_gone() from None
        self.begun = True
        self._stream = asyncio.current_task()
        return _Messages(response)

    async def send_stream(
        self, request: web.BaseRequest, reply: Reply, body: AsyncIterator[bytes]
    ) -> web.StreamResponse:
        """Send the head now and each piece as it comes, at the pace of the client. Ends early when that goes."""
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        for name, value in reply.more:
            response.headers.add(name, value)
        self._stream = asyncio.current_task()
        self._connection.end_with(self.stop)
        try:
            self.begun = True
            await response.prepare(request)
            if request.method != "HEAD":
                async for piece in body:
                    if piece:
                        await _write(response, piece, reply.stall_seconds)
            await response.write_eof()
        except ConnectionError:
            raise client_gone() from None
        finally:
            self._stream = None
            self._connection.end_with(None)
            await close_stream(body)
        return response

    async def send_file(
        self, request: web.BaseRequest, reply: Reply, body: FileBody, sender: FileSender
    ) -> web.StreamResponse:
        """Send the head, then the file's bytes. Ends early when the client goes."""
        response = web.StreamResponse(status=reply.status, headers=reply.headers, reason=_reason(reply.status))
        response.content_length = body.size
        self._stream = asyncio.current_task()
        self._connection.end_with(self.stop)
        try:
            self.begun = True
            await response.prepare(request)
            transport = request.transport
            if transport is None:
                raise client_gone()
            if self.secure:
                done = body.offset
                while done < body.offset + body.size:
                    piece = await sender.read(body, done)
                    await response.write(piece)
                    done += len(piece)
            elif request.method != "HEAD" and body.size:
                await drained(transport, self._connection.drain)
                await sender.send(transport, body)
            await response.write_eof()
        except ConnectionError:
            raise client_gone() from None
        finally:
            self._stream = None
            self._connection.end_with(None)
        return response

    def stop(self) -> None:
        """Cancel the stream or raw connection that runs, if one does."""
        if self._stream is not None:
            self._stream.cancel()

    def abort(self, request: web.BaseRequest) -> None:
        """Cut the connection: the client must not take a broken reply for a whole one."""
        if request.transport is not None:
            request.transport.close() if self.gone.is_set() else request.transport.abort()


class _Taken(web.StreamResponse):
    """What aiohttp gets where nothing is left to be sent; the connection ends after it."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class _Messages:
    """WebSocket over aiohttp's."""

    def __init__(self, response: web.WebSocketResponse) -> None:
        self._response = response

    async def receive(self) -> bytes | None:
        message = await self._response.receive()
        if message.type is WSMsgType.BINARY:
            return bytes(message.data)
        if message.type is WSMsgType.TEXT:
            return str(message.data).encode()
        return None

    async def send(self, data: bytes) -> None:
        try:
            await self._response.send_bytes(data)
        except (ConnectionError, RuntimeError):
            raise client_gone() from None

    async def send_text(self, data: bytes) -> None:
        try:
            await self._response.send_str(data.decode())
        except (ConnectionError, RuntimeError):
            raise client_gone() from None

    async def close(self) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._response.close()


class _ConnectionFactory(web.Server):
    """aiohttp's server with our own connection class, which counts connections and watches for the client's end."""

    def __init__(self, handler: Any, limits: Limits) -> None:
        super().__init__(handler)
        self._limits = limits

    def __call__(self) -> Connection:
        limits = self._limits
        return Connection(
            self,
            loop=asyncio.get_running_loop(),
            limits=limits,
            keepalive_timeout=limits.idle_seconds,
            max_line_size=limits.head_bytes,
            max_field_size=limits.head_bytes,
            max_headers=limits.header_fields,
            lingering_time=limits.discard_seconds,
            auto_decompress=limits.inflates,
            access_log=None,
        )


def _connection_of(request: web.BaseRequest) -> Connection:
    connection = request.protocol
    assert isinstance(connection, Connection)
    return connection


async def _write(response: web.StreamResponse, piece: bytes, stall_seconds: float | None) -> None:
    """Send a piece at the pace of the client. Raises Canceled where that takes nothing for so long."""
    try:
        async with asyncio.timeout(stall_seconds):
            await response.write(piece)
    except TimeoutError:
        raise client_gone("the client does not read") from None


def _whole(reply: Reply) -> web.Response:
    body = reply.body
    assert isinstance(body, bytes)
    response = web.Response(status=reply.status, headers=reply.headers, body=body or None, reason=_reason(reply.status))
    for name, value in reply.more:
        response.headers.add(name, value)
    if not body and "Content-Type" not in reply.headers:
        response.headers.popall("Content-Type", None)
    return response


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request" if status == 499 else "Unknown"

"""One HTTP connection: aiohttp's, plus what it does not do.

While a request is at work nothing after it is parsed: the bytes may belong to a connection about to be taken over, or
to the next request. And the client's end is noticed while a handler works, without cutting a reply that is on its way.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from aiohttp import ClientPayloadError, StreamReader, web

from boxship.transport.exchange import Limits

HEAD_END = b"\r\n\r\n"


class Connection(web.RequestHandler):
    """aiohttp's connection, fed one request at a time."""

    __slots__ = ("_body_left", "_end", "_first", "_held", "_limits", "_payload", "_stalled", "gone")

    def __init__(self, manager: web.Server, *, limits: Limits, **options: Any) -> None:
        super().__init__(manager, **options)
        self.gone = asyncio.Event()
        self._limits = limits
        self._held = bytearray()
        self._payload: StreamReader | None = None  # the body of the request that is read or at work
        self._stalled = False
        self._body_left: int | None = 0  # of the request being read; None: chunked, or a head that came in pieces
        self._end: Callable[[], None] | None = None
        self._first: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._manager is not None and len(self._manager.connections) > self._limits.connections:
            self.force_close()
        elif self._limits.first_seconds is not None:
            self._first = asyncio.get_running_loop().call_later(self._limits.first_seconds, self.force_close)

    def data_received(self, data: bytes) -> None:
        if self._upgraded or self._payload_parser is not None:  # a WebSocket
            super().data_received(data)
            return
        if not data:  # aiohttp's own call: go on with what the parser kept
            super().data_received(data)
            return
        view = data
        while view:
            if self._request_is_whole():
                self._hold(view)
                return
            size = self._share_of_this_request(view)
            before = len(self._messages)
            super().data_received(view[:size])
            if len(self._messages) > before:
                if self._payload is not None and not self._payload.is_eof():  # the parser gave up within the body
                    self._payload.set_exception(ClientPayloadError("it is not chunked as it should be"))
                self._payload = self._messages[-1][1]
                self._is_used()
                self._body_left = self._declared_length()
            view = view[size:]

    def _share_of_this_request(self, data: bytes) -> int:
        """How many bytes of `data` can belong to the request that is being read."""
        if self._payload is not None:
            if self._body_left is None:
                return len(data)
            share = min(len(data), self._body_left)
            self._body_left -= share
            return share or len(data)
        end = data.find(HEAD_END)
        return end + len(HEAD_END) if end >= 0 else len(data)

    def _declared_length(self) -> int | None:
        headers = getattr(self._messages[-1][0], "headers", None)
        length = headers.get("Content-Length") if headers is not None else None
        return int(length) if length is not None and length.isdecimal() else None

    def _request_is_whole(self) -> bool:
        return self._payload is not None and self._payload.is_eof()

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > self._limits.held_bytes and not self._stalled and self.transport is not None:
            self._stalled = True
            self.transport.pause_reading()

    def _take_held(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        if self._stalled and self.transport is not None:
            self._stalled = False
            with contextlib.suppress(RuntimeError):
                self.transport.resume_reading()
        return held

    def release_raw(self) -> bytes:
        """Give out what came after the request: the connection is taken over."""
        tail, self._message_tail = self._message_tail, b""  # of a request to upgrade
        return bytes(tail) + self._take_held()

    def release_parsed(self) -> None:
        """Let aiohttp have what came after the request: it becomes a WebSocket."""
        held = self._take_held()
        if held:
            super().data_received(held)

    def end_with(self, end: Callable[[], None] | None) -> None:
        """What to call when the client goes while the present request is at work."""
        self._end = end
        if end is not None and self.gone.is_set():
            end()

    async def drain(self) -> None:
        """Wait while the transport has more to send than it should."""
        if self._paused:
            await self._drain_helper()

    def _client_gone(self) -> None:
        self.gone.set()
        if self._end is not None:
            self._end()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        done = await super().finish_response(request, resp, start_time)
        self._payload = None
        held = self._take_held()
        if held:
            self.data_received(held)
        return done

    def eof_received(self) -> bool:  # type: ignore[override]  # as the loop takes it
        if self._payload_parser is not None or not self._request_is_whole():
            return False
        self._client_gone()
        self.close()  # after the reply that is on its way
        return True

    def _is_used(self) -> None:
        if self._first is not None:
            self._first.cancel()
            self._first = None

    def connection_lost(self, exc: BaseException | None) -> None:
        self._is_used()
        self._client_gone()
        super().connection_lost(exc)

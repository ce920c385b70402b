"""A socket taken over from HTTP: bytes both ways, half-close both ways, and a bound on what is held.

The peer's end-of-file on a unix socket may be its half-close (it still reads) or its death. The kernel tells them
apart by POLLHUP; a nested epoll set with no events asked for reports that one alone, now and later.
It must never hold more than `held_bytes` for a reader that does not read, nor write to a client that doesn't.
"""

import asyncio
import contextlib
import os
import select
import socket
from collections import deque
from collections.abc import Callable
from typing import cast

from boxship.transport.exchange import KIBIBYTE, client_gone

SILENT_SECONDS, ASK_SECONDS, ASK_TIMES = 30, 10, 3


def notice_loss(transport: asyncio.BaseTransport | None) -> None:
    """Have the kernel ask a silent peer now and then whether it is still there, and end the connection where it is
    not: one whose machine or cable is gone says nothing by itself."""
    plain = cast("socket.socket | None", transport.get_extra_info("socket")) if transport is not None else None
    if plain is None or plain.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, ASK_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, ASK_TIMES)


class HangupWatch:
    """Calls back once when the peer of a socket is away for good. Own descriptors: the loop's own stay untouched."""

    def __init__(self, fd: int, loop: asyncio.AbstractEventLoop, away: Callable[[], None]) -> None:
        self._loop = loop
        self._away = away
        self._fd = os.dup(fd)
        self._epoll: select.epoll | None = select.epoll(flags=select.EPOLL_CLOEXEC)
        self._epoll.register(self._fd, 0)  # POLLHUP and POLLERR are always reported
        loop.add_reader(self._epoll.fileno(), self._woken)

    def _woken(self) -> None:
        self.close()
        self._away()

    def close(self) -> None:
        if self._epoll is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            os.close(self._fd)
            self._epoll = None


class SocketStream(asyncio.Protocol):
    """RawStream over a transport of the loop."""

    def __init__(self, transport: asyncio.Transport, limit: int, lost: Callable[[BaseException | None], None]) -> None:
        self.gone = asyncio.Event()
        self._transport = transport
        self._limit = limit
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._reading_paused = False
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()
        self._watch: HangupWatch | None = None

    def take_over(self, early: bytes) -> None:
        """Become the transport's protocol; `early` arrived before and comes first."""
        if early:
            self.data_received(early)
        self._transport.set_protocol(self)
        with contextlib.suppress(RuntimeError, NotImplementedError):
            if not self._reading_paused:
                self._transport.resume_reading()
        if self._transport.is_closing():
            self._set_gone()

    # the loop's side

    def data_received(self, data: bytes) -> None:
        self._pieces.append(bytes(data))
        self._held += len(data)
        if self._held > self._limit and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        self._ended = True
        self._news.set()
        if self._transport.get_extra_info("ssl_object") is not None:
            return False  # the loop's own TLS ends both ways at once
        plain = cast("socket.socket | None", self._transport.get_extra_info("socket"))
        if plain is not None and self._watch is None:
            self._watch = HangupWatch(plain.fileno(), self._loop, self._transport.abort)
        return True

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, error: BaseException | None) -> None:
        self._set_gone()
        self._closed.set()
        if self._watch is not None:
            self._watch.close()
        self._lost(error)

    def _set_gone(self) -> None:
        self._ended = True
        self.gone.set()
        self._news.set()
        self._writable.set()

    # the handler's side

    async def read(self, limit: int = 64 * KIBIBYTE) -> bytes:
        while not self._pieces:
            if self._ended:
                return b""
            self._news.clear()
            await self._news.wait()
        piece = self._pieces.popleft()
        if len(piece) > limit:
            self._pieces.appendleft(piece[limit:])
            piece = piece[:limit]
        self._held -= len(piece)
        if self._reading_paused and self._held <= self._limit // 2 and not self.gone.is_set():
            self._reading_paused = False
            self._transport.resume_reading()
        return piece

    async def write(self, data: bytes) -> None:
        if self.gone.is_set() or self._transport.is_closing():
            raise client_gone()
        self._transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()
            if self.gone.is_set():
                raise client_gone()

    def write_eof(self) -> None:
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    async def close(self) -> None:
        """Flush, end, and wait until the socket is away; a client that reads nothing for 10 s is cut off."""
        self._transport.close()
        try:
            await asyncio.wait_for(self._closed.wait(), 10.0)
        except TimeoutError:
            self._transport.abort()

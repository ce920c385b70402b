"""Client of a unix SOCK_SEQPACKET socket: whole messages in, whole messages out, half-close.

The address of a unix socket holds 108 bytes, a path may be longer: the folder is opened and named through
/proc/self/fd. Backpressure is the kernel's: a reader that stops reading stops the sender.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

from boxship.errors import Unavailable

EAGER_MESSAGES = 64  # read in a row before other tasks get their turn


class SeqpacketConnection:
    """One connection. A single reader and a single writer at a time."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._eager = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._abandoned = False
        self._was_reset = False

    async def receive(self, limit: int) -> bytes:
        """The next message, at most `limit` bytes of it; b"" when the peer has ended or we have closed."""
        while self._is_open():
            try:
                message = self._socket.recv(limit)
            except BlockingIOError:
                self._eager = 0
                await self._until(self._loop.add_reader, self._loop.remove_reader)
                continue
            except ConnectionResetError:
                # The peer has ended and left messages of ours unread: the kernel says so once, before it gives out
                # what the peer had sent.
                if self._was_reset:
                    return b""
                self._was_reset = True
                continue
            except OSError:  # the peer was killed
                return b""
            self._eager += 1
            if self._eager >= EAGER_MESSAGES:
                self._eager = 0
                await asyncio.sleep(0)
            return message
        return b""

    async def send(self, message: bytes | memoryview) -> bool:
        """Send one message; False where the peer has ended."""
        while self._is_open():
            try:
                self._socket.send(message, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                await self._until(self._loop.add_writer, self._loop.remove_writer)
            except OSError:
                return False
            else:
                return True
        return False

    def end_sending(self) -> None:
        """Half-close: the peer reads end of file, we go on reading."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:  # the peer has ended before
            return

    def close(self) -> None:
        """Close; a waiting reader gets b"". Safe to call twice."""
        descriptor = self._socket.fileno()
        if descriptor < 0:
            return
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)
        self._socket.close()
        self._wake()

    def abandon(self) -> None:
        """Nobody reads or writes any more, but the peer shall not notice: drop what comes until it ends, then close."""
        if not self._is_open():
            return
        self._abandoned = True
        self._loop.remove_writer(self._socket.fileno())
        self._loop.add_reader(self._socket.fileno(), self._drop)
        self._wake()

    def _drop(self) -> None:
        for _ in range(EAGER_MESSAGES):
            try:
                if self._socket.recv(1):
                    continue
            except BlockingIOError:
                return
            except OSError:
                pass
            self.close()
            return

    async def _until(self, add: Callable[[int, Callable[[], None]], object], remove: Callable[[int], object]) -> None:
        descriptor = self._socket.fileno()
        ready: asyncio.Future[None] = self._loop.create_future()

        def on_ready() -> None:
            remove(descriptor)
            if not ready.done():
                ready.set_result(None)

        self._waiting.add(ready)
        add(descriptor, on_ready)
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if self._is_open():
                remove(descriptor)

    def _is_open(self) -> bool:
        return self._socket.fileno() >= 0 and not self._abandoned

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


def connect(path: Path) -> SeqpacketConnection:
    """Connect to the socket at `path`, however long. Raises Unavailable where nobody listens there."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
        try:
            client.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
    except OSError as error:
        client.close()
        raise Unavailable(f"cannot connect to {path}: {error.strerror}") from error
    return SeqpacketConnection(client)

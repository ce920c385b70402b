"""Sends a file's bytes over a connection, past Python: the kernel copies from the file into the socket.

The loop's transports have no such thing, so the socket is written to beside them: on a duplicate of its descriptor,
after all that the transport had to send is gone, while nobody else writes. A few threads do it in short turns (a file
may have to come from the disk first), so that a thousand clients cost no more memory than one.
It must never hold bytes for a client that does not read, nor wait for one for ever.
"""

import asyncio
import contextlib
import os
import select
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from boxship.errors import Internal
from boxship.transport.exchange import FileBody, client_gone

THREADS = 4
TURN_SECONDS = 0.05  # one connection has a thread for so long
PATIENCE_MILLISECONDS = 5  # that a turn waits for its client while nobody else wants the thread
STEP_BYTES = 1 << 20
PIECE_BYTES = 256 * 1024  # read at once where the bytes have to pass through us (TLS)


class FileSender:
    """The threads of one server, and who waits for them."""

    def __init__(self, stall_seconds: float) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "sending")
        self._stall_seconds = stall_seconds
        self._waiting = 0

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def send(self, transport: asyncio.Transport, body: FileBody) -> None:
        """Send the bytes over a plain connection whose transport has nothing left to send. Raises Canceled when the
        client is gone or does not read, Internal where the file is shorter than it should be."""
        loop = asyncio.get_running_loop()
        plain = cast(Any, transport.get_extra_info("socket"))
        if plain is None or transport.is_closing():
            raise client_gone()
        out = os.dup(plain.fileno())
        try:
            done, moved_at = 0, loop.time()
            while done < body.size:
                sent, blocked = await self._in_thread(
                    self._take_turn, out, body.file.fileno(), body.offset + done, body.size - done
                )
                done += sent
                if transport.is_closing():
                    raise client_gone()
                if sent:
                    moved_at = loop.time()
                if blocked:
                    await _writable(loop, out, moved_at + self._stall_seconds)
        except (BrokenPipeError, ConnectionError):
            raise client_gone() from None
        finally:
            os.close(out)

    async def read(self, body: FileBody, offset: int) -> bytes:
        """The next piece of a file whose bytes have to pass through us."""
        size = min(PIECE_BYTES, body.offset + body.size - offset)
        data: bytes = await self._in_thread(os.pread, body.file.fileno(), size, offset)
        if not data:
            raise Internal("cannot send file: it is shorter than it should be")
        return data

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Wait for the thread also when cancelled: what it uses must not be closed meanwhile."""
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()
            raise
        finally:
            self._waiting -= 1

    def _take_turn(self, out: int, file: int, offset: int, left: int) -> tuple[int, bool]:
        """In a thread: send until the time is over or the client is slow; bytes sent, and whether that is so."""
        until = time.monotonic() + TURN_SECONDS
        done = 0
        poll: select.poll | None = None
        while done < left:
            try:
                sent = os.sendfile(out, file, offset + done, min(left - done, STEP_BYTES))
            except BlockingIOError:
                if self._waiting > THREADS or time.monotonic() > until:
                    return done, True
                if poll is None:
                    poll = select.poll()
                    poll.register(out, select.POLLOUT)
                if not poll.poll(PATIENCE_MILLISECONDS):
                    return done, True
                continue
            if not sent:
                raise Internal("cannot send file: it is shorter than it should be")
            done += sent
            if time.monotonic() > until:
                break
        return done, False


async def drained(transport: asyncio.Transport, drain: Callable[[], Any]) -> None:
    """Wait until the transport has handed all that it had to the kernel."""
    transport.set_write_buffer_limits(high=0)
    try:
        while transport.get_write_buffer_size() and not transport.is_closing():
            await asyncio.sleep(0)  # the loop writes at the end of its turn, and says then whether all went
            await drain()
    finally:
        with contextlib.suppress(RuntimeError):
            transport.set_write_buffer_limits()


async def _writable(loop: asyncio.AbstractEventLoop, out: int, until: float) -> None:
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(out, wake)
    try:
        async with asyncio.timeout_at(until):
            await ready
    except TimeoutError:
        raise client_gone("the client does not read") from None
    finally:
        loop.remove_writer(out)

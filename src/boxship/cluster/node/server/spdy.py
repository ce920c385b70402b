"""A SPDY/3.1 connection that a client has opened: its streams, each with a bound on what is held for its reader.

What carries the bytes is a connection taken over, or the messages of a WebSocket (kubectl's tunnel). The protocol as
clients use it has no windows: where one stream's reader is slow, the whole connection waits, as in the original.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from boxship.cluster.node.server.channels import ERROR, RESIZE, STDERR, STDIN, STDOUT, Sent
from boxship.errors import Canceled, Invalid
from boxship.transport.exchange import WebSocket, client_gone
from boxship.wire import spdy

HELD_BYTES = 256 << 10  # of one stream, before the connection waits for its reader
STREAMS_LIMIT = 8192  # open at once on one connection
WAITING_LIMIT = 1024  # streams that nobody took yet
LINGER_SECONDS = 10.0  # for a client to read to the end
OPEN_SECONDS = 30.0  # for a client to open the streams that it has said
NAMES = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}
# What a client may ask for in X-Stream-Protocol-Version, the newest first.
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")


class Link(Protocol):
    """A byte stream both ways. What `write` gets is in order as soon as it is called."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


class MessageLink:
    """Implements Link over the binary messages of a WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while (message := await self._socket.receive()) is not None:
            if message:
                return message
        return b""

    async def write(self, data: bytes) -> None:
        await self._socket.send(data)

    async def close(self) -> None:
        await self._socket.close()


class SpdyStream:
    """One stream, both ways. `headers` have lower-case names."""

    def __init__(self, connection: "SpdyConnection", number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = headers
        self._connection = connection
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.input_ended = False
        self.output_ended = False
        self.was_reset = False

    async def read(self) -> bytes:
        """What came; b"" when nothing more will."""
        while not self._pieces:
            if self.input_ended:
                return b""
            self._news.clear()
            await self._news.wait()
        piece = self._pieces.popleft()
        self._held -= len(piece)
        if self._held <= HELD_BYTES // 2:
            self._room.set()
        return piece

    async def write(self, data: bytes) -> None:
        """Raises Canceled when the client is away or wants no more of it."""
        for start in range(0, len(data), spdy.PIECE_BYTES):
            if self.was_reset or self.output_ended:
                raise client_gone("the client has reset the stream")
            await self._connection.write(spdy.data(self.number, data[start : start + spdy.PIECE_BYTES]))

    async def end(self) -> None:
        """Nothing more is sent on it."""
        if not self.output_ended:
            self.output_ended = True
            self._connection.forget(self)
            if not self.was_reset:
                await self._connection.write(spdy.data(self.number, b"", ends=True))

    async def reset(self) -> None:
        """End it at once, both ways."""
        if self.was_reset or (self.input_ended and self.output_ended):
            return
        self.drop()
        await self._connection.write(spdy.reset(self.number))

    def discard(self) -> None:
        """Nobody reads it any more: what else comes is dropped."""
        self.input_ended = True
        self._pieces.clear()
        self._held = 0
        self._news.set()
        self._room.set()

    # the connection's side

    async def take(self, data: bytes, *, ends: bool) -> None:
        """Wait while there is too much that nobody has read."""
        if self.input_ended:
            return
        if data:
            self._pieces.append(data)
            self._held += len(data)
        if ends:
            self.input_ended = True
            self._connection.forget(self)
        self._news.set()
        if self._held > HELD_BYTES:
            self._room.clear()
            await self._room.wait()

    def drop(self) -> None:
        """It is reset, or its connection is lost."""
        self.was_reset = self.output_ended = True
        self.discard()
        self._connection.forget(self)


class SpdyConnection:
    """Keep `run` running; it returns when the client is away."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._reader = spdy.Reader()
        self._writer = spdy.Writer()
        self._streams: dict[int, SpdyStream] = {}
        self._opened: asyncio.Queue[SpdyStream | None] = asyncio.Queue(WAITING_LIMIT)
        self.gone = asyncio.Event()

    async def run(self) -> None:
        """Raises Invalid for what is not SPDY."""
        try:
            while data := await self._link.read():
                for frame in self._reader.feed(data):
                    await self._handle(frame)
        except ValueError as error:
            raise Invalid(f"cannot read SPDY: {error}") from None
        except Canceled:
            return
        finally:
            self.gone.set()
            for stream in list(self._streams.values()):
                stream.drop()
            with contextlib.suppress(asyncio.QueueFull):
                self._opened.put_nowait(None)

    async def opened(self) -> AsyncIterator[SpdyStream]:
        """The streams as the client opens them, until it is away."""
        while not (self.gone.is_set() and self._opened.empty()):
            stream = await self._opened.get()
            if stream is None:
                return
            yield stream

    async def write(self, data: bytes) -> None:
        if self.gone.is_set():
            raise client_gone()
        await self._link.write(data)

    def forget(self, stream: SpdyStream) -> None:
        """A stream that has ended both ways is no longer ours."""
        if stream.input_ended and stream.output_ended:
            self._streams.pop(stream.number, None)

    async def finish(self) -> None:
        """All streams have ended: the client is told, and gets the time to read them. Clients drop what they have not
        read when their connection ends."""
        for stream in list(self._streams.values()):
            stream.discard()
        with contextlib.suppress(Canceled, TimeoutError):
            await self.write(spdy.goaway(0))
            async with asyncio.timeout(LINGER_SECONDS):
                await self.gone.wait()

    async def close(self) -> None:
        """End all. May be called twice."""
        self.gone.set()
        await self._link.close()

    async def _handle(self, frame: spdy.Frame) -> None:
        stream = self._streams.get(frame.stream)
        if frame.kind == 0:
            if stream is not None:
                await stream.take(frame.data, ends=frame.ends)
        elif frame.kind == spdy.SYN_STREAM:
            await self._open(frame)
        elif frame.kind == spdy.RST_STREAM:
            if stream is not None:
                stream.drop()
        elif frame.kind == spdy.HEADERS:
            if stream is not None and frame.ends:
                await stream.take(b"", ends=True)
        elif frame.kind == spdy.PING and frame.data[-1] % 2:  # the client's own are odd
            await self._link.write(spdy.ping(frame.data))

    async def _open(self, frame: spdy.Frame) -> None:
        if frame.stream in self._streams or not frame.stream % 2:
            raise ValueError(f"a stream {frame.stream} that there cannot be")
        if len(self._streams) >= STREAMS_LIMIT:
            await self._link.write(spdy.reset(frame.stream, spdy.REFUSED))
            return
        stream = SpdyStream(self, frame.stream, frame.headers)
        self._streams[frame.stream] = stream
        if frame.ends:
            await stream.take(b"", ends=True)
        await self._link.write(self._writer.reply(frame.stream))
        await self._opened.put(stream)


def choose(offered: str) -> str | None:
    """The protocol of those in the X-Stream-Protocol-Version fields; None: none that we speak. Without such a field it
    is the oldest."""
    words = [word.strip() for word in offered.split(",") if word.strip()]
    if not words:
        return "channel.k8s.io"
    return next((protocol for protocol in PROTOCOLS if protocol in words), None)


def streams_of(protocol: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> frozenset[int]:
    """Which streams a client opens for exec or attach."""
    resizes = tty and protocol.startswith(("v3.", "v4.", "v5."))
    wanted = {STDIN: stdin, STDOUT: stdout, STDERR: stderr and not tty, ERROR: True, RESIZE: resizes}
    return frozenset(channel for channel, is_there in wanted.items() if is_there)


class SpdyEnd:
    """Implements ClientEnd over a SPDY connection with the streams of `meet`. Keep `listen` running."""

    def __init__(self, connection: SpdyConnection, protocol: str, streams: Mapping[int, SpdyStream]) -> None:
        self._connection = connection
        self._streams = streams
        self._sent: asyncio.Queue[Sent | None] = asyncio.Queue(4)
        self.tells_status = protocol.startswith(("v4.", "v5."))

    async def listen(self) -> None:
        """Until the client is away."""
        reading = [asyncio.ensure_future(self._read(channel)) for channel in (STDIN, RESIZE)]
        try:
            await self._connection.gone.wait()
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
        await self._sent.put(None)

    async def _read(self, channel: int) -> None:
        stream = self._streams.get(channel)
        if stream is None:
            return
        while data := await stream.read():
            await self._sent.put(Sent(channel, data))
        if not stream.was_reset:
            await self._sent.put(Sent(channel, ends=True))

    async def receive(self) -> Sent | None:
        return await self._sent.get()

    async def send(self, channel: int, data: bytes) -> None:
        stream = self._streams.get(channel)
        if stream is not None and data:
            await stream.write(data)

    async def close(self) -> None:
        with contextlib.suppress(Canceled):
            for stream in self._streams.values():
                await stream.end()
            await self._connection.finish()
        await self._connection.close()


async def meet(connection: SpdyConnection, wanted: frozenset[int]) -> Mapping[int, SpdyStream]:
    """The streams that a client has said it would open. Raises Canceled where it goes or takes too long."""
    found: dict[int, SpdyStream] = {}
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            async for stream in connection.opened():
                channel = NAMES.get(stream.headers.get("streamtype", ""))
                if channel is None:
                    await stream.reset()
                    continue
                found[channel] = stream
                if wanted <= found.keys():
                    return found
    except TimeoutError:
        raise client_gone("timed out waiting for client to create streams") from None
    raise client_gone()

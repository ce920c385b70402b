"""`POST /boxship/build`: a build over a connection of several streams, for our own command line.

Client to daemon: ORDER; DATA and END of the contexts that are wanted; DATA and END of agent connections. Daemon to
client: WANT (which contexts to send), EVENT (one BuildEvent each), DATA and END of output archives, OPEN of an agent
connection, and at last DONE or FAILED. A client that goes away cancels its build.

A folder is read by its path for clients on a unix socket alone: those may do anything on this machine anyway.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from boxship.builder.failures import BuildFailed
from boxship.builder.model import BuildEvent, Noticed, OutputData
from boxship.builder.operations import AgentStream, FolderTree
from boxship.doors.docker.build_order import Order, build_request, decode_order, is_here
from boxship.doors.docker.builds import Builds
from boxship.doors.docker.call import Call
from boxship.doors.docker.errors import error_reply
from boxship.doors.docker.router import Route
from boxship.errors import BoxshipError, Canceled, Exhausted, Invalid, Timeout
from boxship.transport.exchange import RawStream
from boxship.waiting import to_the_end
from boxship.wire.channels import DATA, END, MESSAGE, OPEN, PIECE_BYTES, ChannelReader, frame

# Messages by their number.
ORDER, WANT, EVENT, DONE, FAILED = range(5)
OUTPUTS = 0x4000  # the number of the first output's stream
AGENTS = 0x8000  # of the first agent connection
AGENT_CONNECTIONS = 1024  # of one build
ORDER_SECONDS = 60.0
HELD_PIECES = 64  # of one stream, before the client has to wait
DATA_BYTES = 4 * PIECE_BYTES  # the longest piece that is taken
PROTOCOL = "boxship-build"
UPGRADE = {"Content-Type": "application/vnd.boxship.build", "Connection": "Upgrade", "Upgrade": PROTOCOL}

_encode = msgspec.json.Encoder().encode


class Incoming:
    """What the client sends on one stream, in order; the connection waits while it is not read."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(HELD_PIECES)
        self._closed = False
        self._rest = b""

    async def put(self, data: bytes | None) -> None:
        """None is the end."""
        if not self._closed:
            await self._pieces.put(data)

    def close(self) -> None:
        """What still comes is thrown away."""
        self._closed = True
        while not self._pieces.empty():
            self._pieces.get_nowait()

    async def read(self, limit: int) -> bytes:
        if not self._rest:
            self._rest = await self._pieces.get() or b""
        data, self._rest = self._rest[:limit], self._rest[limit:]
        return data

    async def chunks(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            yield piece


class SessionAgent:
    """One connection to the client's ssh agent."""

    def __init__(self, session: "Session", number: int) -> None:
        self._session = session
        self._number = number
        self.incoming = Incoming()

    async def read(self, limit: int) -> bytes:
        return await self.incoming.read(limit)

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            await self._session.send(DATA, self._number, data[start : start + PIECE_BYTES])

    async def close(self) -> None:
        if self._session.streams.pop(self._number, None) is not None:
            self.incoming.close()
            with contextlib.suppress(Canceled):
                await self._session.send(END, self._number)


class SessionAgents:
    """The agents that the client offers."""

    def __init__(self, session: "Session", offered: tuple[str, ...]) -> None:
        self._session = session
        self._offered = offered
        self._count = 0

    def offers(self, identifier: str) -> bool:
        return identifier in self._offered

    async def connect(self, identifier: str) -> AgentStream:
        if self._count >= AGENT_CONNECTIONS:
            raise Exhausted(f"cannot connect to ssh agent {identifier}: more than {AGENT_CONNECTIONS} connections")
        number = AGENTS + self._count
        self._count += 1
        agent = SessionAgent(self._session, number)
        self._session.streams[number] = agent.incoming
        await self._session.send(OPEN, number, identifier.encode())
        return agent


class Session:
    """One connection: reads frames in a task of its own, while the build goes on."""

    def __init__(self, stream: RawStream, builds: Builds, *, local: bool) -> None:
        self._stream = stream
        self._builds = builds
        self._local = local
        self._frames = ChannelReader()
        self._ready: list[tuple[int, int, bytes]] = []
        self.streams: dict[int, Incoming] = {}

    async def send(self, kind: int, number: int, data: bytes = b"") -> None:
        await self._stream.write(frame(kind, number, data))

    async def tell(self, message: int, value: object) -> None:
        await self.send(MESSAGE, message, _encode(value))

    async def _next(self) -> tuple[int, int, bytes] | None:
        """The client's next frame; None when it is gone."""
        while not self._ready:
            data = await self._stream.read()
            if not data:
                return None
            try:
                self._ready = list(self._frames.feed(data))
            except ValueError as error:
                raise Invalid(f"cannot read the client's frames: {error}") from None
        return self._ready.pop(0)

    async def order(self) -> Order:
        """The first message."""
        try:
            async with asyncio.timeout(ORDER_SECONDS):
                first = await self._next()
        except TimeoutError:
            raise Timeout(f"cannot build: no options after {ORDER_SECONDS:g} s") from None
        if first is None:
            raise Canceled("cannot build: the client closed the connection")
        if first[:2] != (MESSAGE, ORDER):
            raise Invalid("cannot build: the options have to come first")
        return decode_order(first[2], local=self._local)

    async def read_frames(self) -> None:
        """Give out what the client sends until it is gone."""
        while (found := await self._next()) is not None:
            kind, number, data = found
            incoming = self.streams.get(number)
            if kind not in (DATA, END):
                raise Invalid(f"cannot read the client's frames: kind {kind} on stream {number}")
            if len(data) > DATA_BYTES:
                raise Invalid(f"cannot read the client's frames: a piece of {len(data)} bytes, at most {DATA_BYTES}")
            if incoming is not None:
                await incoming.put(data or None if kind == DATA else None)

    async def run(self) -> None:
        """The whole build, told to the client."""
        order = await self.order()
        folders = order.folders()
        wanted = [folder.stream for folder in folders if not (self._local and is_here(folder))]
        for number in wanted:
            self.streams[number] = Incoming()
        reading = asyncio.ensure_future(self.read_frames())
        working = asyncio.ensure_future(self._work(order, wanted))
        try:
            await self.tell(WANT, wanted)
            await asyncio.wait((reading, working), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            else:
                reading.result()  # an error of it, or nothing: the client has gone
        finally:
            for task in (reading, working):
                task.cancel()
            await asyncio.gather(reading, working, return_exceptions=True)

    async def _work(self, order: Order, wanted: list[int]) -> None:
        trees: dict[int, FolderTree] = {}
        try:
            for number in wanted:
                trees[number] = await self._builds.contexts.receive(self.streams[number].chunks())
                self.streams.pop(number).close()
            if order.check:
                for finding in await self._builds.builder.check(build_request(order, trees)):
                    await self.tell(EVENT, Noticed(finding))
            else:
                await self._build(order, trees)
            await self.tell(DONE, {})
        finally:
            for tree in trees.values():
                await to_the_end(self._builds.contexts.drop(tree))

    async def _build(self, order: Order, trees: dict[int, FolderTree]) -> None:
        running = self._builds.start(build_request(order, trees), agents=SessionAgents(self, order.agents))
        try:
            while (event := await running.next()) is not None:
                await self._pass_on(event)
        finally:
            await running.close()

    async def _pass_on(self, event: BuildEvent) -> None:
        if not isinstance(event, OutputData):
            await self.tell(EVENT, event)
            return
        number = OUTPUTS + event.index
        for start in range(0, len(event.data), PIECE_BYTES):
            await self.send(DATA, number, event.data[start : start + PIECE_BYTES])
        if not event.data:
            await self.send(END, number)


def failure(error: Exception, call: Call) -> dict[str, Any]:
    """What went wrong, in parts that the client lays out."""
    if isinstance(error, BuildFailed):
        return {
            "message": error.reason,
            "excerpt": error.excerpt,
            "step": error.step,
            "code": error.code,
            "command": error.command,
        }
    if isinstance(error, BoxshipError):
        return {"message": str(error)}
    body = error_reply(error, call.request).body
    assert isinstance(body, bytes)
    decoded: dict[str, Any] = msgspec.json.decode(body)
    return {"message": decoded["message"]}


async def build(call: Call) -> None:
    builds = call.builds
    if call.request.headers.get("Upgrade", "").lower() != PROTOCOL:
        raise Invalid(f"cannot build: the connection has to be upgraded to {PROTOCOL}")
    stream = await call.request.hijack(101, "UPGRADED", UPGRADE)
    session = Session(stream, builds, local=call.request.local)
    try:
        await session.run()
    except Canceled:
        return
    except Exception as error:  # the border of a request, whose head has gone out
        with contextlib.suppress(Canceled):
            await session.tell(FAILED, failure(error, call))
    finally:
        await stream.close()


ROUTES = (Route("POST", "/boxship/build", build),)

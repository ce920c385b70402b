"""Port-forward: connections of a client, each to a port of a pod as the pod's own containers see it.

Over SPDY (`portforward.k8s.io`) a connection is a pair of streams with the same request number: one for data, one that
says why there is no connection. Over a WebSocket (`v4.channel.k8s.io`) each port that was asked for is one connection,
with two channels. Bytes go at the pace of whoever reads them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from boxship.cluster.node.runtime import Sink
from boxship.cluster.node.server.spdy import SpdyConnection, SpdyStream
from boxship.errors import BoxshipError, Canceled, Invalid
from boxship.transport.exchange import WebSocket, close_stream
from boxship.waiting import to_the_end

Connect = Callable[[int], Awaitable[tuple[AsyncIterator[bytes], Sink]]]
PROTOCOL = "portforward.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"
PORT_BYTES = 2
QUEUED_MESSAGES = 16  # of one port of a WebSocket


async def forward_spdy(connection: SpdyConnection, connect: Connect, pod: str) -> None:
    """Until the client is away."""
    pairs: dict[str, dict[str, SpdyStream]] = {}
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(_run(connection))
        working: set[asyncio.Task[None]] = set()
        async for stream in connection.opened():
            kind = stream.headers.get("streamtype", "")
            number = stream.headers.get("requestid") or str(stream.number - 2 * (kind == "data"))
            pair = pairs.setdefault(number, {})
            if kind not in ("error", "data") or kind in pair:
                await _quietly(stream.reset())
                continue
            pair[kind] = stream
            if len(pair) == 2:
                del pairs[number]
                task = tasks.create_task(_serve(pair["data"], pair["error"], connect, pod))
                working.add(task)
                task.add_done_callback(working.discard)
        for each in (*working, running):
            each.cancel()


async def _run(connection: SpdyConnection) -> None:
    with contextlib.suppress(Invalid):  # who does not speak SPDY gets no answer
        await connection.run()


async def _serve(data: SpdyStream, error: SpdyStream, connect: Connect, pod: str) -> None:
    """One connection. What goes wrong is told on its own error stream, and ends it alone."""
    try:
        try:
            port = read_port(data.headers.get("port", ""))
            incoming, sink = await connect(port)
        except (BoxshipError, OSError, ValueError) as why:
            await error.write(refusal(data.headers.get("port", ""), pod, str(why)).encode())
            return
        await _join(data, incoming, sink)
    except Canceled:
        pass  # the client is away
    finally:
        for stream in (error, data):
            await _quietly(stream.end())


async def _join(stream: SpdyStream, incoming: AsyncIterator[bytes], sink: Sink) -> None:
    """Both ways until both have ended; an end of one way leaves the other open."""

    async def back() -> None:
        async for piece in incoming:
            await stream.write(piece)
        await stream.end()

    async def forth() -> None:
        while piece := await stream.read():
            await sink.write(piece)
        if not stream.was_reset:
            await sink.end()

    await _both(back(), forth(), incoming, sink)


async def _both(back: Any, forth: Any, incoming: AsyncIterator[bytes], sink: Sink) -> None:
    """`back` is the server's way: when it ends, so does the connection. When `forth` fails, too."""
    backward, forward = asyncio.ensure_future(back), asyncio.ensure_future(forth)
    try:
        done, _ = await asyncio.wait((backward, forward), return_when=asyncio.FIRST_COMPLETED)
        if backward not in done and forward.exception() is None:
            await backward
    except (BoxshipError, OSError):
        pass
    finally:
        for task in (backward, forward):
            task.cancel()
        await asyncio.gather(backward, forward, return_exceptions=True)
        await to_the_end(_let_go(incoming, sink))


async def _let_go(incoming: AsyncIterator[bytes], sink: Sink) -> None:
    with contextlib.suppress(BoxshipError, OSError):
        await sink.close()
    with contextlib.suppress(BoxshipError, OSError):
        await close_stream(incoming)


async def _quietly(work: Awaitable[None]) -> None:
    with contextlib.suppress(Canceled):
        await work


def read_port(text: str) -> int:
    """Raises ValueError with the original's words."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ValueError(f'unable to parse port "{text[:32]}"')
    return int(text)


def refusal(port: str, pod: str, why: str) -> str:
    """What clients print where nobody listens."""
    return f"error forwarding port {port} to pod {pod}, uid : {why}"


async def forward_messages(socket: WebSocket, ports: Sequence[int], connect: Connect, pod: str) -> None:
    """One connection for each port, on the channels 2n (data) and 2n + 1 (errors), which begin with the port."""
    queues: list[asyncio.Queue[bytes] | None] = [asyncio.Queue(QUEUED_MESSAGES) for _ in ports]
    for place, port in enumerate(ports):
        for channel in (2 * place, 2 * place + 1):
            await socket.send(bytes((channel,)) + port.to_bytes(PORT_BYTES, "little"))

    async def serve(place: int, port: int, queue: asyncio.Queue[bytes]) -> None:
        try:
            await _serve_messages(socket, place, port, queue, connect, pod)
        finally:  # the client may send on to a connection that has ended: it reaches nobody, and holds nobody up
            queues[place] = None
            while not queue.empty():
                queue.get_nowait()

    async def receive() -> None:
        while (message := await socket.receive()) is not None:
            place = message[0] // 2 if message else len(ports)
            queue = queues[place] if place < len(ports) else None
            if queue is not None and not message[0] % 2 and len(message) > 1:
                await queue.put(message[1:])

    serving = [
        asyncio.ensure_future(serve(place, port, queue))
        for place, (port, queue) in enumerate(zip(ports, queues, strict=True))
        if queue is not None
    ]
    together = asyncio.gather(*serving, return_exceptions=True)
    receiving = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((together, receiving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (*serving, receiving):
            task.cancel()
        await asyncio.gather(*serving, receiving, return_exceptions=True)


async def _serve_messages(
    socket: WebSocket, place: int, port: int, sent: asyncio.Queue[bytes], connect: Connect, pod: str
) -> None:
    try:
        incoming, sink = await connect(port)
    except (BoxshipError, OSError) as why:
        await _quietly(socket.send(bytes((2 * place + 1,)) + refusal(str(port), pod, str(why)).encode()))
        return

    async def back() -> None:
        async for piece in incoming:
            await socket.send(bytes((2 * place,)) + piece)

    async def forth() -> None:
        while True:
            await sink.write(await sent.get())

    await _both(back(), forth(), incoming, sink)

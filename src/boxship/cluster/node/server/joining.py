"""From a request for exec, attach or port-forward to a client that is joined to it: over a WebSocket or over SPDY/3.1.

What can be refused is refused before the connection is taken over, because a client reads a refusal only then.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from boxship.cluster.node.runtime import RUNNING, ContainerStatus, Runtime, Sink
from boxship.cluster.node.server import PodsHere, channels, ports, spdy
from boxship.cluster.node.server.channels import Channels, ClientEnd
from boxship.cluster.node.server.idle import IDLE_SECONDS, Idle, WatchedLink, WatchedSocket, until_idle
from boxship.cluster.node.server.sessions import ExitCode, Resize, Wanted, carry, failed, tell
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, bad_request
from boxship.engine.attachments import Streams
from boxship.errors import BoxshipError, Canceled
from boxship.transport.exchange import Request, WebSocket

SPDY = "spdy/3.1"
PORTS_LIMIT = 127  # of one WebSocket: two channels each, one byte for their number


class Joining:
    """Answers exec, attach and portForward."""

    def __init__(self, runtime: Runtime, pods: PodsHere, idle_seconds: float = IDLE_SECONDS) -> None:
        self._runtime = runtime
        self._pods = pods
        self._idle_seconds = idle_seconds

    async def execute(self, request: Request, words: list[str]) -> None:
        container = await self._container(words)
        command = request.query.get("command") or []
        if not command:
            raise bad_request("you must specify a command to run in the container")
        wanted = _wanted(request)
        idle = Idle(self._idle_seconds)
        async with _met(request, wanted, idle) as client:

            async def begin() -> tuple[Streams, Resize, ExitCode]:
                id, streams = await self._runtime.exec(container.id, command, tty=wanted.tty, stdin=wanted.stdin)
                return streams, _resizing(self._runtime, id), _exit_code(self._runtime, id)

            work = _carried(client, wanted, begin, request.client_gone)
            await until_idle(asyncio.ensure_future(work), idle)

    async def attach(self, request: Request, words: list[str]) -> None:
        container = await self._container(words)
        wanted = _wanted(request)
        idle = Idle(self._idle_seconds)
        async with _met(request, wanted, idle) as client:

            async def begin() -> tuple[Streams, Resize, ExitCode]:
                streams = await self._runtime.attach(container.id, stdin=wanted.stdin)
                return streams, _resizing(self._runtime, container.id), _no_code

            work = _carried(client, wanted, begin, request.client_gone)
            await until_idle(asyncio.ensure_future(work), idle)

    async def forward(self, request: Request, words: list[str]) -> None:
        if len(words) not in (2, 3):
            raise Failure(404, "NotFound", "404 page not found")
        pod = self._pod(words)
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]

        async def connect(port: int) -> tuple[AsyncIterator[bytes], Sink]:
            return await self._runtime.connect(uid, port)

        if is_websocket(request):
            await self._forward_messages(request, connect, name)
            return
        _check_spdy(request)
        idle = Idle(self._idle_seconds)
        stream = await request.hijack(101, "Switching Protocols", _switched(ports.PROTOCOL))
        await _forward(spdy.SpdyConnection(WatchedLink(stream, idle)), connect, name, idle)

    async def _forward_messages(self, request: Request, connect: ports.Connect, pod: str) -> None:
        idle = Idle(self._idle_seconds)
        offered = [word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        if ports.TUNNEL in offered:
            socket: WebSocket = await request.websocket({"Sec-WebSocket-Protocol": ports.TUNNEL})
            link = WatchedLink(spdy.MessageLink(socket), idle)
            await _forward(spdy.SpdyConnection(link), connect, pod, idle)
            return
        protocol = channels.choose(request.headers.get("Sec-WebSocket-Protocol", ""))
        if protocol is None or "base64" in protocol:
            raise bad_request("none of the offered WebSocket protocols is supported for port-forward")
        texts = [text for value in request.query.get("port") or () for text in value.split(",")]
        try:
            numbers = [ports.read_port(text) for text in texts]
        except ValueError as error:
            raise bad_request(str(error)) from None
        if not 0 < len(numbers) <= PORTS_LIMIT:
            raise bad_request('query parameter "port" is required')
        socket = WatchedSocket(await request.websocket({"Sec-WebSocket-Protocol": protocol} if protocol else {}), idle)
        try:
            work = ports.forward_messages(socket, numbers, connect, pod)
            await until_idle(asyncio.ensure_future(work), idle)
        finally:
            await socket.close()

    def _pod(self, words: list[str]) -> Object:
        pod = self._pods.find(words[0], words[1])
        if pod is None or (len(words) == 3 and pod["metadata"].get("uid") != words[2]):
            raise Failure(404, "NotFound", "pod does not exist")
        return pod

    async def _container(self, words: list[str]) -> ContainerStatus:
        """The container that runs; words are NAMESPACE, POD, perhaps the pod's uid, CONTAINER."""
        if len(words) not in (3, 4):
            raise Failure(404, "NotFound", "404 page not found")
        pod = self._pod([*words[:2], *words[2:-1]])
        for each in await self._runtime.containers(pod["metadata"]["uid"]):
            if each.name == words[-1] and each.phase == RUNNING:
                return each
        raise Failure(500, "InternalError", f'container not found ("{words[-1]}")')


async def _forward(connection: spdy.SpdyConnection, connect: ports.Connect, pod: str, idle: Idle) -> None:
    try:
        await until_idle(asyncio.ensure_future(ports.forward_spdy(connection, connect, pod)), idle)
    finally:
        await connection.close()


def _wanted(request: Request) -> Wanted:
    """Raises Failure 400."""
    query = request.query
    stdin, stdout, stderr, tty = ((query.get(name) or [""])[0] == "1" for name in ("input", "output", "error", "tty"))
    if not (stdin or stdout or stderr):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    return Wanted(stdin, stdout, stderr and not tty, tty)


def is_websocket(request: Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _check_spdy(request: Request) -> None:
    """Raises Failure 400 for a request that asks for no connection of its own."""
    if "upgrade" not in request.headers.get("Connection", "").lower():
        raise bad_request("unable to upgrade: missing upgrade headers in request")
    if request.headers.get("Upgrade", "").lower() != SPDY:
        raise bad_request("unable to upgrade: unsupported upgrade protocol")


def _switched(protocol: str) -> dict[str, str]:
    return {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": protocol}


def _all_values(request: Request, name: str) -> str:
    """A field that may have come several times, as one."""
    return ",".join(value for key, value in request.headers.items() if key.lower() == name)


@asynccontextmanager
async def _met(request: Request, wanted: Wanted, idle: Idle) -> AsyncIterator[ClientEnd]:
    """The client's end, once its streams are open. Raises Failure for who asks for what we do not speak."""
    if is_websocket(request):
        protocol = channels.choose(request.headers.get("Sec-WebSocket-Protocol", ""))
        if protocol is None:
            raise bad_request("none of the offered WebSocket protocols is supported")
        socket = await request.websocket({"Sec-WebSocket-Protocol": protocol} if protocol else {})
        client = Channels(WatchedSocket(socket, idle), protocol)
        try:
            await client.greet(wanted.stdout, wanted.stderr)
            yield client
        finally:
            await client.close()
        return
    _check_spdy(request)
    protocol = spdy.choose(_all_values(request, "x-stream-protocol-version"))
    if protocol is None:
        raise Failure(
            403, "Forbidden", f"unable to upgrade: unable to negotiate protocol: server supports {spdy.PROTOCOLS}"
        )
    stream = await request.hijack(101, "Switching Protocols", _switched(protocol))
    connection = spdy.SpdyConnection(WatchedLink(stream, idle))
    running = asyncio.ensure_future(connection.run())
    listening: asyncio.Future[None] | None = None
    try:
        expected = spdy.streams_of(
            protocol, stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr, tty=wanted.tty
        )
        end = spdy.SpdyEnd(connection, protocol, await spdy.meet(connection, expected))
        listening = asyncio.ensure_future(end.listen())
        yield end
    finally:
        await connection.close()
        for task in (running, *([listening] if listening is not None else [])):
            task.cancel()
        await asyncio.gather(running, *([listening] if listening is not None else []), return_exceptions=True)


async def _carried(
    client: ClientEnd,
    wanted: Wanted,
    begin: Callable[[], Awaitable[tuple[Streams, Resize, ExitCode]]],
    gone: asyncio.Event,
) -> None:
    """Begin it and carry it; why it could not begin is told to the client."""
    try:
        streams, resize, exit_code = await begin()
    except BoxshipError as error:
        if isinstance(error, Canceled):
            raise
        with contextlib.suppress(Canceled):
            await tell(client, failed(str(error)))
        await client.close()
        return
    await carry(client, streams, wanted, resize, exit_code, gone)


def _resizing(runtime: Runtime, id: str) -> Resize:
    async def resize(rows: int, columns: int) -> None:
        await runtime.resize(id, rows, columns)

    return resize


def _exit_code(runtime: Runtime, id: str) -> ExitCode:
    async def exit_code() -> int:
        return await runtime.exit_code(id)

    return exit_code


async def _no_code() -> int:
    """How a container ended is told by its status, not by who was attached to it."""
    return 0

"""Files as bodies, sent past Python; plain TCP; bodies that break off."""

import asyncio
import contextlib
import hashlib
import io
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from boxship.errors import Canceled, Invalid
from boxship.transport.exchange import FileBody, Handler, Limits, Reply, Request
from boxship.transport.listen import PlainAddress, UnixAddress
from boxship.transport.server import Server

SIZE = 30_000_000


@pytest.fixture(
    scope="module", params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"]
)
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """The daemon runs on uvloop, whose transports are others."""
    policy: asyncio.AbstractEventLoopPolicy = request.param()
    return policy


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "data"
    path.write_bytes(os.urandom(SIZE))
    return path


@contextlib.asynccontextmanager
async def serving(handler: Handler, limits: Limits | None = None) -> AsyncIterator[int]:
    server = Server(handler, limits)
    await server.start([PlainAddress("127.0.0.1", 0)])
    try:
        yield server.addresses[0][1]
    finally:
        await server.stop()


def sends(path: Path, offset: int = 0, size: int = SIZE) -> Handler:
    async def handle(request: Request) -> Reply:
        assert request.peer == "127.0.0.1" and not request.secure and not request.local
        return Reply(200, {"X-Kind": "file"}, FileBody(io.FileIO(path), offset, size))

    return handle


async def ask(port: int, *, close: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"Connection: close\r\n" if close else b"") + b"\r\n")
    return reader, writer


async def test_a_file_comes_whole(file: Path) -> None:
    async with serving(sends(file)) as port:
        reader, writer = await ask(port)
        head = await reader.readuntil(b"\r\n\r\n")
        assert f"Content-Length: {SIZE}".encode() in head and b"X-Kind: file" in head
        assert hashlib.sha256(await reader.read()).digest() == hashlib.sha256(file.read_bytes()).digest()
        writer.close()


async def test_parts_of_files_over_one_connection(file: Path) -> None:
    async with serving(sends(file, 1_000_003, 500_001)) as port:
        reader, writer = await ask(port, close=False)
        for _ in range(5):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(500_001) == file.read_bytes()[1_000_003:1_500_004]
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.close()


async def test_many_slow_clients_at_once(file: Path) -> None:
    async with serving(sends(file, 0, 3_000_000)) as port:
        expected = hashlib.sha256(file.read_bytes()[:3_000_000]).digest()

        async def one(number: int) -> None:
            reader, writer = await ask(port)
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.01 * (number % 10))
            assert hashlib.sha256(await reader.read()).digest() == expected
            writer.close()

        await asyncio.gather(*(one(number) for number in range(60)))


async def test_a_client_that_goes_away_frees_everything(file: Path) -> None:
    async with serving(sends(file)) as port:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            reader, writer = await ask(port)
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.abort()
        async with asyncio.timeout(10):
            while len(os.listdir("/proc/self/fd")) > before:
                await asyncio.sleep(0.01)


async def test_a_client_that_does_not_read_is_cut_off(file: Path) -> None:
    async with serving(sends(file), Limits(send_stall_seconds=0.2)) as port:
        reader, writer = await ask(port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        before = len(os.listdir("/proc/self/fd"))
        async with asyncio.timeout(10):
            while len(os.listdir("/proc/self/fd")) >= before:  # the file's, its socket's, and the duplicate
                await asyncio.sleep(0.01)
        writer.close()
        assert not reader.at_eof()


async def test_a_file_that_is_too_short_cuts_the_connection(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"abc")
    async with serving(sends(tmp_path / "short", 0, 10)) as port:
        reader, writer = await ask(port)
        with contextlib.suppress(ConnectionError):
            assert len((await reader.read()).partition(b"\r\n\r\n")[2]) < 10
        writer.close()


async def test_an_empty_part(file: Path) -> None:
    async with serving(sends(file, 0, 0)) as port:
        reader, writer = await ask(port)
        assert (await reader.read()).endswith(b"\r\n\r\n")
        writer.close()


async def test_a_file_over_a_unix_socket(file: Path, tmp_path: Path) -> None:
    async def handle(request: Request) -> Reply:
        assert request.peer == "" and request.local
        return Reply(200, {}, FileBody(io.FileIO(file), 0, SIZE))

    server = Server(handle)
    await server.start([UnixAddress(tmp_path / "s")])
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).partition(b"\r\n\r\n")[2] == file.read_bytes()
    writer.close()
    await server.stop()


async def test_stopping_ends_files_on_their_way(file: Path) -> None:
    server = Server(sends(file))
    await server.start([PlainAddress("127.0.0.1", 0)])
    reader, writer = await ask(server.addresses[0][1])
    await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(4):
        await server.stop()
    writer.close()


async def test_plain_tcp_stays_here_unless_asked_for() -> None:
    async def handle(request: Request) -> Reply:
        return Reply(200)

    for host in ("0.0.0.0", "", "::"):
        server = Server(handle)
        with pytest.raises(Invalid, match="without TLS"):
            await server.start([PlainAddress(host, 0)])
    server = Server(handle)
    await server.start([PlainAddress("0.0.0.0", 0, anywhere=True), PlainAddress("localhost", 0)])
    assert len(server.addresses) == 2
    await server.stop()


async def test_what_came_of_a_broken_body_is_handed_out() -> None:
    got = bytearray()
    ended = asyncio.Event()

    async def handle(request: Request) -> Reply:
        await asyncio.sleep(0.05)  # the client is gone before the body is read
        try:
            async for piece in request.chunks():
                got.extend(piece)
        except Canceled:
            ended.set()
            raise
        return Reply(200)

    async with serving(handle) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * 400)
        async with asyncio.timeout(5):
            await ended.wait()
    assert got == b"x" * 400

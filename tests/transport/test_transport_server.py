"""The server over real sockets, on both event loops: replies, streams, taken-over connections, limits, shutdown."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from boxship.errors import Conflict, Invalid
from boxship.transport.exchange import Handler, Limits, Reply, Request
from boxship.transport.listen import UnixAddress
from boxship.transport.server import Server

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Scenario = Callable[[Path], Coroutine[Any, Any, None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run(scenario: Scenario) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(scenario(tmp_path / "s"), 30))

    return run


@contextlib.asynccontextmanager
async def serving(path: Path, handler: Handler, limits: Limits | None = None) -> AsyncIterator[Server]:
    server = Server(handler, limits)
    await server.start([UnixAddress(path)])
    try:
        yield server
    finally:
        await server.stop()


async def connect(path: Path) -> Stream:
    return await asyncio.open_unix_connection(str(path))


async def head_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    return int(lines[0].split()[1]), {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
    }


async def exchange(stream: Stream, request: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = stream
    writer.write(request)
    status, headers = await head_of(reader)
    return status, headers, await reader.readexactly(int(headers.get("content-length", "0")))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_no_query_is_in_the_log(on_loop: Callable[[Scenario], None], caplog: pytest.LogCaptureFixture) -> None:
    """Build arguments come in it, and addresses with passwords."""

    async def fail(request: Request) -> Reply:
        if "stream" not in request.path:
            raise RuntimeError("a mistake")

        async def body() -> AsyncIterator[bytes]:
            yield b"x"
            raise Invalid("broken")

        return Reply(body=body())

    async def scenario(path: Path) -> None:
        async with serving(path, fail):
            for name in ("whole", "stream"):
                reader, writer = await connect(path)
                writer.write(f"GET /{name}%0aforged?buildargs=secret HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                await head_of(reader)
                await until(lambda name=name: f"GET /{name}%0aforged" in caplog.text)  # type: ignore[misc]
                writer.close()

    on_loop(scenario)
    assert "secret" not in caplog.text


async def echo(request: Request) -> Reply:
    body = await request.body(1000)
    text = f"{request.method} {request.path} {sorted(request.query.items())} ".encode()
    return Reply(200, {"Content-Type": "text/plain"}, text + body)


def test_replies_carry_method_path_query_and_body(on_loop: Callable[[Scenario], None]) -> None:
    async def scenario(path: Path) -> None:
        async with serving(path, echo):
            stream = await connect(path)
            answer = await exchange(stream, b"GET /a%2Fb?x=1&x=2&y HTTP/1.1\r\nHost: d\r\n\r\n")
            assert answer[2] == b"GET /a/b [('x', ['1', '2']), ('y', [''])] "
            answer = await exchange(stream, b"POST /c HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n\r\nabc")
            assert answer[2] == b"POST /c [] abc"
            chunked = (
                b"POST /c HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            )
            assert (await exchange(stream, chunked))[2] == b"POST /c [] abcde"
            stream[1].close()

    on_loop(scenario)


def test_pipelined_requests_are_answered_in_order(on_loop: Callable[[Scenario], None]) -> None:
    async def scenario(path: Path) -> None:
        async with serving(path, echo):
            stream = await connect(path)
            one = b"POST /1 HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\nab"
            stream[1].write(one * 3 + b"GET /2 HTTP/1.1\r\nHost: d\r\n\r\n")
            for wanted in (b"POST /1 [] ab", b"POST /1 [] ab", b"POST /1 [] ab", b"GET /2 [] "):
                assert (await exchange(stream, b""))[2] == wanted
            stream[1].close()

    on_loop(scenario)


def test_a_reply_reaches_a_client_that_half_closed(on_loop: Callable[[Scenario], None]) -> None:
    async def slow(request: Request) -> Reply:
        await asyncio.wait_for(request.client_gone.wait(), 20)
        return Reply(200, {}, b"done")

    async def scenario(path: Path) -> None:
        async with serving(path, slow):
            reader, writer = await connect(path)
            writer.write(b"GET / HTTP/1.1\r\nHost: d\r\n\r\n")
            writer.write_eof()
            assert (await reader.read()).endswith(b"done")

    on_loop(scenario)


def test_expect_continue_is_answered_before_the_body(on_loop: Callable[[Scenario], None]) -> None:
    async def scenario(path: Path) -> None:
        async with serving(path, echo):
            reader, writer = await connect(path)
            writer.write(b"POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            assert (await head_of(reader))[0] == 100
            assert (await exchange((reader, writer), b"ok"))[2].endswith(b"ok")

    on_loop(scenario)


def test_malformed_and_oversized_requests_get_400_and_the_server_goes_on(on_loop: Callable[[Scenario], None]) -> None:
    async def scenario(path: Path) -> None:
        async with serving(path, echo, Limits(head_bytes=2000)):
            for bad in (b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", b"NO\r\n\r\n"):
                reader, writer = await connect(path)
                writer.write(bad)
                assert (await head_of(reader))[0] == 400
                writer.close()
            stream = await connect(path)
            assert (await exchange(stream, b"GET / HTTP/1.1\r\nHost: d\r\n\r\n"))[0] == 200

    on_loop(scenario)


def hijacker(log: list[str]) -> Handler:
    async def handler(request: Request) -> Reply | None:
        await request.body(1000)
        if request.headers.get("Upgrade"):
            stream = await request.hijack(101, "UPGRADED", {"Connection": "Upgrade", "Upgrade": "tcp"})
        else:
            stream = await request.hijack(200, "OK", {"Content-Type": "application/vnd.docker.raw-stream"})
        while data := await stream.read():
            await stream.write(data.upper())
        log.append("eof")
        await stream.write(b"bye")
        await stream.close()
        return None

    return handler


@pytest.mark.parametrize("upgrade", [b"", b"Connection: Upgrade\r\nUpgrade: tcp\r\n"])
@pytest.mark.parametrize("body", [b"", b"{}"])
@pytest.mark.parametrize("early", [b"", b"early "])
def test_hijack_in_both_forms_with_half_close(
    on_loop: Callable[[Scenario], None], upgrade: bytes, body: bytes, early: bytes
) -> None:
    async def scenario(path: Path) -> None:
        log: list[str] = []
        async with serving(path, hijacker(log)):
            reader, writer = await connect(path)
            length = b"Content-Length: %d\r\n\r\n" % len(body)
            writer.write(b"POST /attach HTTP/1.1\r\nHost: d\r\n" + upgrade + length + body + early)
            status, headers = await head_of(reader)
            assert status == (101 if upgrade else 200)
            assert "content-length" not in headers and "transfer-encoding" not in headers
            assert await reader.readexactly(len(early)) == early.upper()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"HELLO"
            writer.write_eof()
            assert await reader.read() == b"bye"
            assert log == ["eof"]
            writer.close()

    on_loop(scenario)


def test_output_goes_on_after_half_close_until_the_client_is_away(on_loop: Callable[[Scenario], None]) -> None:
    async def scenario(path: Path) -> None:
        seen: list[str] = []

        async def handler(request: Request) -> None:
            stream = await request.hijack(101, "UPGRADED", {})
            assert await stream.read() == b""
            await stream.write(b"still here")
            seen.append("half")
            await stream.gone.wait()
            seen.append("gone")

        async with serving(path, handler):
            reader, writer = await connect(path)
            writer.write(
                b"POST / HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
            )
            await head_of(reader)
            writer.write_eof()
            assert await reader.readexactly(10) == b"still here"
            assert seen == ["half"]
            writer.close()
            await until(lambda: seen == ["half", "gone"])

    on_loop(scenario)


def test_a_reader_that_does_not_read_stops_the_writer(on_loop: Callable[[Scenario], None]) -> None:
    async def scenario(path: Path) -> None:
        written = {"stream": 0, "raw": 0}

        async def endless(kind: str) -> AsyncIterator[bytes]:
            try:
                while True:
                    written[kind] += 1
                    yield b"x" * 65536
            finally:
                written[kind] = -1

        async def handler(request: Request) -> Reply | None:
            if request.path == "/stream":
                return Reply(200, {}, endless("stream"))
            stream = await request.hijack(200, "OK", {})
            with contextlib.suppress(Exception):
                async for piece in endless("raw"):
                    await stream.write(piece)
            written["raw"] = -1
            return None

        async with serving(path, handler):
            for kind in written:
                reader, writer = await connect(path)
                writer.write(f"GET /{kind} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
                await reader.readexactly(100)
                previous = -1
                while written[kind] != previous:
                    previous = written[kind]
                    await asyncio.sleep(0.05)
                assert 0 < written[kind] * 65536 < 4 << 20
                writer.transport.abort()
                await until(lambda kind=kind: written[kind] == -1)  # type: ignore[misc]

    on_loop(scenario)


def test_a_vanishing_client_ends_a_quiet_stream(on_loop: Callable[[Scenario], None]) -> None:
    async def scenario(path: Path) -> None:
        ended = asyncio.Event()

        async def quiet() -> AsyncIterator[bytes]:
            try:
                await asyncio.Event().wait()
                yield b""
            finally:
                ended.set()

        async def handler(request: Request) -> Reply:
            return Reply(200, {"Content-Type": "application/json"}, quiet())

        async with serving(path, handler):
            reader, writer = await connect(path)
            writer.write(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
            status, headers = await head_of(reader)
            assert (status, headers["transfer-encoding"]) == (200, "chunked")
            writer.close()
            await asyncio.wait_for(ended.wait(), 20)

    on_loop(scenario)


def test_a_body_that_breaks_off_cancels_its_reader(on_loop: Callable[[Scenario], None]) -> None:
    async def scenario(path: Path) -> None:
        seen: list[str] = []

        async def handler(request: Request) -> Reply:
            try:
                async for _ in request.chunks():
                    seen.append("chunk")
            except Exception as error:
                seen.append(type(error).__name__)
            return Reply()

        async with serving(path, handler):
            _, writer = await connect(path)
            writer.write(b"POST /load HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\nabc")
            await until(lambda: seen == ["chunk"])
            writer.close()
            await until(lambda: seen == ["chunk", "Canceled"])

    on_loop(scenario)


def test_a_dribbling_json_body_is_given_up(on_loop: Callable[[Scenario], None]) -> None:
    async def scenario(path: Path) -> None:
        errors: list[str] = []

        async def handler(request: Request) -> Reply:
            try:
                await request.body(100)
            except Exception as error:
                errors.append(type(error).__name__)
            return Reply(400, {}, b"no")

        limits = Limits(body_stall_seconds=0.05, discard_seconds=0.05)
        async with serving(path, handler, limits):
            answer = await exchange(await connect(path), b"POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\nabc")
            assert answer[0] == 400 and errors == ["Timeout"]
            answer = await exchange(await connect(path), b"POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 101\r\n\r\n")
            assert answer[0] == 400 and errors == ["Timeout", "BodyTooLarge"]

    on_loop(scenario)


def test_a_client_that_does_not_read_its_stream_is_cut_off_where_that_was_asked(
    on_loop: Callable[[Scenario], None],
) -> None:
    async def scenario(path: Path) -> None:
        closed = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
            finally:
                closed.set()

        async def handler(request: Request) -> Reply:
            return Reply(200, {}, endless(), 0.1)

        async with serving(path, handler):
            reader, writer = await connect(path)
            writer.write(b"GET / HTTP/1.1\r\nHost: d\r\n\r\n")
            await head_of(reader)
            await asyncio.wait_for(closed.wait(), 20)
            writer.close()

    on_loop(scenario)


def test_a_connection_that_asks_nothing_ends_where_that_was_asked(on_loop: Callable[[Scenario], None]) -> None:
    async def scenario(path: Path) -> None:
        async def handler(request: Request) -> Reply:
            await asyncio.sleep(0)
            return Reply(200, {}, b"yes")

        async with serving(path, handler, Limits(first_seconds=0.15)):
            silent, dribbling, busy = [await connect(path) for _ in range(3)]
            dribbling[1].write(b"GET / HT")
            assert (await exchange(busy, b"GET / HTTP/1.1\r\nHost: d\r\n\r\n"))[0] == 200
            for reader, writer in (silent, dribbling):
                assert await asyncio.wait_for(reader.read(), 20) == b""
                writer.close()
            assert (await exchange(busy, b"GET / HTTP/1.1\r\nHost: d\r\n\r\n"))[0] == 200
            busy[1].close()

    on_loop(scenario)


def test_a_thousand_idle_connections_do_not_disturb(on_loop: Callable[[Scenario], None]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2200:
        pytest.skip("too few file descriptors allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard) if hard > 0 else 4096), hard))

    async def scenario(path: Path) -> None:
        async with serving(path, echo):
            idle = [await connect(path) for _ in range(1000)]
            stream = await connect(path)
            assert (await exchange(stream, b"GET / HTTP/1.1\r\nHost: d\r\n\r\n"))[0] == 200
            assert (await exchange(idle[500], b"GET / HTTP/1.1\r\nHost: d\r\n\r\n"))[0] == 200
            for _, writer in idle:
                writer.close()

    on_loop(scenario)


def test_stop_ends_streams_and_raw_connections_and_finishes_replies(on_loop: Callable[[Scenario], None]) -> None:
    async def scenario(path: Path) -> None:
        go = asyncio.Event()

        async def quiet() -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

        async def handler(request: Request) -> Reply | None:
            if request.path == "/stream":
                return Reply(200, {}, quiet())
            if request.path == "/raw":
                await (await request.hijack(200, "OK", {})).read()
                return None
            await go.wait()
            return Reply(200, {}, b"whole")

        server = Server(handler)
        await server.start([UnixAddress(path)])
        streams = [await connect(path) for _ in range(3)]
        for (reader, writer), target in zip(streams, ("stream", "raw", "reply"), strict=True):
            writer.write(f"GET /{target} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
            if target != "reply":
                await head_of(reader)
        await asyncio.sleep(0.02)
        stopping = asyncio.ensure_future(server.stop())
        for reader, _ in streams[:2]:
            await asyncio.wait_for(reader.read(), 20)
        go.set()
        assert (await streams[2][0].read()).endswith(b"whole")
        await asyncio.wait_for(stopping, 20)
        assert not path.exists()

    on_loop(scenario)


def test_websocket_messages_both_ways(on_loop: Callable[[Scenario], None]) -> None:
    async def scenario(path: Path) -> None:
        async def handler(request: Request) -> None:
            socket = await request.websocket()
            while (message := await socket.receive()) is not None:
                await socket.send(message.upper())
            await socket.close()

        async with (
            serving(path, handler),
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            session.ws_connect("http://d/attach/ws") as client,
        ):
            await client.send_bytes(b"hello")
            assert await client.receive_bytes() == b"HELLO"
            await client.send_str("text")
            assert await client.receive_bytes() == b"TEXT"

    on_loop(scenario)


async def test_unix_socket_has_its_mode_and_replaces_a_dead_one_only(tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = Server(echo)
    await server.start([UnixAddress(path, mode=0o600, group=0)])
    assert path.stat().st_mode & 0o777 == 0o600
    other = Server(echo)
    with pytest.raises(Conflict):
        await other.start([UnixAddress(path)])
    assert path.exists()
    await server.stop()
    (tmp_path / "file").write_text("precious")
    with pytest.raises(Conflict):
        await other.start([UnixAddress(tmp_path / "file")])
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(Invalid):
        await other.start([UnixAddress(tmp_path / ("d" * 100) / "s")])
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    await server.start([UnixAddress(path)])
    await server.stop()


async def test_handlers_that_raise_answer_500(tmp_path: Path) -> None:
    async def broken(request: Request) -> Awaitable[Any]:
        raise KeyError("oops")

    async with serving(tmp_path / "s", broken):  # type: ignore[arg-type]
        answer = await exchange(await connect(tmp_path / "s"), b"GET / HTTP/1.1\r\nHost: d\r\n\r\n")
        assert answer[0] == 500 and b"internal error" in answer[2]
